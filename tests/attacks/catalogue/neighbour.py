"""The operator of another cluster, and all that its stack has in the same account."""

from __future__ import annotations

from typing import Any

from tests.attacks.attack import Attack, Control, Thief, Try, asks
from tests.attacks.controls import Bounds, Statement
from tests.attacks.documents import BACKUP_BUCKET, CLEANUP, CREATE, ENDPOINT, JUMPBOX, OPERATOR, RECEIPT_KEY, STATE_BUCKET
from tests.policy.catalogue.receipt_key import sign_with
from tests.policy.catalogue.requests import abort, dry_run, get, invoke, list_objects, put
from tests.policy.probe import Place

OPERATOR_THERE, CREATE_THERE = OPERATOR.of_the_neighbour(), CREATE.of_the_neighbour()
CLEANUP_THERE, JUMPBOX_THERE = CLEANUP.of_the_neighbour(), JUMPBOX.of_the_neighbour()
INVOKES = ("lambda:InvokeFunction",)
BY_TAG = ("Condition",)
OWN = "clusters/{cluster}/probe/"


def attacks() -> list[Attack]:
    return [*_functions(), *_boxes(), *_objects()]


def _row(name: str, attempt: Try, error: str, twin: Try, *controls: Control) -> Attack:
    return Attack(f"neighbour-{name}", Thief.OTHER_CLUSTER, attempt, error, twin, controls)


def _functions() -> list[Attack]:
    """Invoke does not tell the function who called; so who may call is all there is."""
    who, made = "neighbour-operator", []
    for name, output in (("create", "CreateFunctionArn"), ("cleanup", "CleanupFunctionArn"), ("posture", "PostureFunctionArn")):

        def ours(ground: Any, output: str = output) -> str:
            return str(ground.outputs[output])

        made.append(
            _row(
                f"invokes-{name}",
                asks(who, f"lambda:Invoke of {name}", invoke(who, ours)),
                "AccessDeniedException",
                asks("operator", f"Invoke by this cluster's operator ({name})", invoke("operator", ours)),
                Bounds(OPERATOR_THERE, INVOKES),
            )
        )
    return made


def _boxes() -> list[Attack]:
    """What carries this stack's tag, by roles that may do the same to what carries theirs."""
    ssh = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    calls: dict[str, tuple[str, str, str, dict[str, Any], Control]] = {
        "ends-a-box": (
            "cleanup",
            "terminate_instances",
            "ec2:TerminateInstances of this stack's box",
            {"InstanceIds": lambda ground: [ground.belongings.own_instance]},
            Statement(CLEANUP_THERE, "EndBox", BY_TAG),
        ),
        "removes-a-box-s-interface": (
            "cleanup",
            "delete_network_interface",
            "ec2:DeleteNetworkInterface of this stack's",
            {"NetworkInterfaceId": lambda ground: ground.belongings.own_interface},
            Statement(CLEANUP_THERE, "RemoveInterface", BY_TAG),
        ),
        "removes-a-session-s-group": (
            "cleanup",
            "delete_security_group",
            "ec2:DeleteSecurityGroup of this stack's session",
            {"GroupId": lambda ground: ground.belongings.own_group},
            Statement(CLEANUP_THERE, "RemoveSessionGroup", BY_TAG),
        ),
        "opens-a-box-s-door": (
            "create",
            "authorize_security_group_ingress",
            "ec2:AuthorizeSecurityGroupIngress of this stack's session",
            {"GroupId": lambda ground: ground.belongings.own_group, "IpPermissions": ssh},
            Statement(CREATE_THERE, "ShapeSessionGroup", BY_TAG),
        ),
        "attaches-an-interface-to-a-box": (
            "create",
            "attach_network_interface",
            "ec2:AttachNetworkInterface to this stack's box",
            {
                "DeviceIndex": 1,
                "NetworkInterfaceId": lambda ground: ground.belongings.own_interface,
                "InstanceId": lambda ground: ground.belongings.own_instance,
            },
            Statement(CREATE_THERE, "AttachPrivateInterface", BY_TAG),
        ),
    }
    return [
        _row(
            name,
            asks(f"neighbour-{role}", what, dry_run(f"neighbour-{role}", call, **arguments)),
            "UnauthorizedOperation",
            asks(role, f"the same by this stack's {role}", dry_run(role, call, **arguments)),
            control,
        )
        for name, (role, call, what, arguments, control) in calls.items()
    ]


def _objects() -> list[Attack]:
    session, box, inside = "sessions/probe.json", "neighbour-box", Place.ENDPOINT
    ours = asks("box", "PutObject by this cluster's box", put("box", "backup", OWN, inside), inside)
    read = asks("create", "GetObject by this stack's create", get("create", "state", session))
    no_upload = ("NoSuchUpload",)
    ours_aborts = abort("cleanup", "backup", OWN + "x")
    aborted = asks("cleanup", "the same by this stack's cleanup", ours_aborts, past_the_door=no_upload)
    functions = Statement(STATE_BUCKET, "OnlyTheFunctions")
    only_the_box = Statement(BACKUP_BUCKET, "OnlyTheBoxPuts")
    lists_own = asks("box", "ListObjectsV2 by this cluster's box", list_objects("box", "backup", OWN, inside), inside)
    return [
        _row(
            "reads-a-session-s-state",
            asks("neighbour-create", "s3:GetObject of this stack's sessions/", get("neighbour-create", "state", session)),
            "AccessDenied",
            read,
            Bounds(CREATE_THERE, ("s3:GetObject",)),
            functions,
        ),
        _row(
            "reports-a-box-of-its-own",
            asks("neighbour-create", "s3:PutObject into this stack's ready/", put("neighbour-create", "state", "ready/probe")),
            "AccessDenied",
            asks("create", "PutObject by this stack's create", put("create", "state", "ready/probe", inside), inside),
            Bounds(CREATE_THERE, ("s3:PutObject",)),
            functions,
            Statement(STATE_BUCKET, "ReportsThroughTheEndpoint"),
        ),
        _row(
            "writes-backups-as-this-cluster",
            asks(box, "s3:PutObject under this cluster's prefix", put(box, "backup", OWN)),
            "AccessDenied",
            ours,
            Bounds(JUMPBOX_THERE, ("s3:PutObject",)),
            only_the_box,
        ),
        _row(
            "writes-through-this-stack-s-endpoint",
            asks(box, "s3:PutObject through this stack's endpoint", put(box, "backup", OWN, inside), inside),
            "AccessDenied",
            ours,
            Bounds(JUMPBOX_THERE, ("s3:PutObject",)),
            only_the_box,
            Bounds(ENDPOINT, ("s3:PutObject",)),
        ),
        _row(
            "lists-this-cluster-s-backups",
            asks(box, "s3:ListObjectsV2 of this cluster's prefix", list_objects(box, "backup", OWN)),
            "AccessDenied",
            lists_own,
            Bounds(JUMPBOX_THERE, ("s3:ListBucket",)),
        ),
        _row(
            "aborts-this-cluster-s-upload",
            asks(
                "neighbour-cleanup",
                "s3:AbortMultipartUpload under this cluster's prefix",
                abort("neighbour-cleanup", "backup", OWN + "x"),
                past_the_door=no_upload,
            ),
            "AccessDenied",
            aborted,
            Bounds(CLEANUP_THERE, ("s3:AbortMultipartUpload",)),
        ),
        _row(
            "certifies-sessions-of-this-cluster",
            asks("neighbour-create", "kms:Sign with this stack's receipt key", sign_with("neighbour-create")),
            "AccessDeniedException",
            asks("create", "Sign by this stack's create", sign_with("create")),
            Bounds(CREATE_THERE, ("kms:Sign",)),
            Statement(RECEIPT_KEY, "CreateSigns", ("Condition",)),
        ),
    ]
