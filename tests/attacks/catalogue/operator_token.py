"""The operator's AWS identity, used from anywhere: what a thief has who has read one Secret."""

from __future__ import annotations

import json
from typing import Any

from tests.attacks.attack import Attack, Control, Thief, Try, asks
from tests.attacks.controls import Bounds, Statement, Trust
from tests.attacks.documents import BACKUP_BUCKET, BOX_TRUST, OPERATOR, RECEIPT_KEY, STATE_BUCKET
from tests.policy.catalogue.receipt_key import sign_with
from tests.policy.catalogue.requests import Request, delete, dry_run, get, invoke, list_objects, put, run_box
from tests.policy.probe import Place

WHO = "operator"
BACKUP, ELSEWHERE = "clusters/{cluster}/probe/existing", "drawbridge-probe-elsewhere"
SESSION = "sessions/probe.json"
DENIED, NOT_AUTHORISED = "AccessDenied", "AccessDeniedException"
FUNCTIONS_ALONE = Statement(STATE_BUCKET, "OnlyTheFunctions")
ONLY_THE_BOX = Statement(BACKUP_BUCKET, "OnlyTheBoxPuts")


def attacks() -> list[Attack]:
    return [*_backups(), *_state(), *_functions(), *_boxes(), *_keys(), *_services()]


def _row(name: str, attempt: Try, error: str, twin: Try, *controls: Control) -> Attack:
    return Attack(f"token-{name}", Thief.TOKEN, attempt, error, twin, controls)


def _no(*actions: str) -> Bounds:
    return Bounds(OPERATOR, actions)


def _backups() -> list[Attack]:
    admin, inside = "admin", {"where": Place.ENDPOINT}
    box_puts = asks("box", "PutObject by the box, through the endpoint", put("box", "backup", BACKUP, **inside), **inside)
    gone = BACKUP + "-gone"
    return [
        _row(
            "reads-a-backup",
            asks(WHO, "s3:GetObject of a backup", get(WHO, "backup", BACKUP)),
            DENIED,
            asks(admin, "GetObject by a recovering engineer", get(admin, "backup", BACKUP)),
            _no("s3:GetObject"),
        ),
        _row(
            "lists-backups",
            asks(WHO, "s3:ListObjectsV2 of the backup bucket", list_objects(WHO, "backup")),
            DENIED,
            asks(admin, "ListObjectsV2 by a recovering engineer", list_objects(admin, "backup")),
            _no("s3:ListBucket"),
        ),
        _row(
            "puts-a-backup",
            asks(WHO, "s3:PutObject of a new backup", put(WHO, "backup", BACKUP)),
            DENIED,
            box_puts,
            _no("s3:PutObject"),
            ONLY_THE_BOX,
        ),
        _row(
            "overwrites-a-backup",
            asks(WHO, "s3:PutObject over a backup", put(WHO, "backup", BACKUP, once=False, fresh=False)),
            DENIED,
            box_puts,
            _no("s3:PutObject"),
            ONLY_THE_BOX,
            Statement(BACKUP_BUCKET, "WriteOnce"),
        ),
        _row(
            "deletes-a-backup",
            asks(WHO, "s3:DeleteObject of a backup", delete(WHO, "backup", gone)),
            DENIED,
            asks(admin, "DeleteObject elsewhere by an administrator", delete(admin, ELSEWHERE, "probe-gone")),
            _no("s3:DeleteObject"),
            Statement(BACKUP_BUCKET, "NobodyDeletes"),
        ),
        _row(
            "deletes-a-version",
            asks(WHO, "s3:DeleteObject of a backup's version", delete(WHO, "backup", gone, version="null")),
            DENIED,
            asks(admin, "DeleteObject elsewhere by an administrator", delete(admin, ELSEWHERE, "probe-gone")),
            _no("s3:DeleteObjectVersion"),
            Statement(BACKUP_BUCKET, "NobodyDeletes"),
        ),
    ]


def _state() -> list[Attack]:
    create, inside = "create", Place.ENDPOINT
    return [
        _row(
            "reads-a-session-s-state",
            asks(WHO, "s3:GetObject of sessions/", get(WHO, "state", SESSION)),
            DENIED,
            asks(create, "GetObject by create", get(create, "state", SESSION)),
            _no("s3:GetObject"),
            FUNCTIONS_ALONE,
        ),
        _row(
            "lists-the-state",
            asks(WHO, "s3:ListObjectsV2 of the state bucket", list_objects(WHO, "state")),
            DENIED,
            asks(create, "ListObjectsV2 by create", list_objects(create, "state")),
            _no("s3:ListBucket"),
            Statement(STATE_BUCKET, "OnlyTheFunctionsList"),
        ),
        _row(
            "forges-a-session-s-state",
            asks(WHO, "s3:PutObject into sessions/", put(WHO, "state", "sessions/probe")),
            DENIED,
            asks(create, "PutObject by create", put(create, "state", "sessions/probe")),
            _no("s3:PutObject"),
            FUNCTIONS_ALONE,
        ),
        _row(
            "reports-a-box-of-its-own",
            asks(WHO, "s3:PutObject into ready/", put(WHO, "state", "ready/probe")),
            DENIED,
            asks(create, "PutObject by create, who presigns it", put(create, "state", "ready/probe", inside), inside),
            _no("s3:PutObject"),
            FUNCTIONS_ALONE,
            Statement(STATE_BUCKET, "ReportsThroughTheEndpoint"),
        ),
        _row(
            "frees-a-slot",
            asks(WHO, "s3:DeleteObject of slots/", delete(WHO, "state", "slots/probe-gone")),
            DENIED,
            asks("cleanup", "DeleteObject by cleanup", delete("cleanup", "state", "slots/probe-gone")),
            _no("s3:DeleteObject"),
            FUNCTIONS_ALONE,
        ),
        _row(
            "lifts-an-administrator-s-stop",
            asks(WHO, "s3:DeleteObject of switch/", delete(WHO, "state", "switch/probe-gone")),
            DENIED,
            asks("admin", "DeleteObject by an administrator", delete("admin", "state", "switch/probe-gone")),
            _no("s3:DeleteObject"),
        ),
    ]


def _functions() -> list[Attack]:
    cleanup = asks(WHO, "Invoke of cleanup", invoke(WHO, lambda ground: ground.outputs["CleanupFunctionArn"]))

    def sweeper(ground: Any) -> str:
        return str(ground.outputs["SweepFunctionArn"])

    def mark(ground: Any) -> None:
        key = f"clusters/{ground.cluster}/ended/{'0' * 32}"
        marker = {"bucket": {"name": ground.outputs["BackupBucket"]}, "object": {"key": key}}
        event = json.dumps({"Records": [{"s3": marker}]})
        ground.client("lambda", WHO).invoke(FunctionName=ground.outputs["MarkerFunctionArn"], Payload=event)

    def read(who: str) -> Request:
        return lambda ground: ground.client("lambda", who).get_function(FunctionName=ground.outputs["CreateFunctionArn"])

    return [
        _row(
            "starts-the-sweeper",
            asks(WHO, "lambda:Invoke of the sweeper", invoke(WHO, sweeper)),
            NOT_AUTHORISED,
            cleanup,
            _no("lambda:InvokeFunction"),
        ),
        _row(
            "sends-a-marker-event",
            asks(WHO, "lambda:Invoke of the marker function, with S3's event of a marker", mark),
            NOT_AUTHORISED,
            cleanup,
            _no("lambda:InvokeFunction"),
        ),
        _row(
            "reads-create-s-code",
            asks(WHO, "lambda:GetFunction of create", read(WHO)),
            NOT_AUTHORISED,
            asks("admin", "GetFunction by an administrator", read("admin")),
            _no("lambda:GetFunction"),
        ),
    ]


def _boxes() -> list[Attack]:
    def own(who: str, call: str) -> Request:
        form = {"InstanceIds": lambda ground: [ground.belongings.own_instance]}
        return dry_run(who, call, **form)

    def assume(who: str, role: Any) -> Request:
        return lambda ground: ground.client("sts", who).assume_role(RoleArn=role(ground), RoleSessionName="thief")

    return [
        _row(
            "runs-a-box-of-its-own",
            asks(WHO, "ec2:RunInstances with the box's profile", run_box(WHO)),
            "UnauthorizedOperation",
            asks("create", "RunInstances by create", run_box("create")),
            _no("ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"),
        ),
        _row(
            "ends-another-session-s-box",
            asks(WHO, "ec2:TerminateInstances", own(WHO, "terminate_instances")),
            "UnauthorizedOperation",
            asks("cleanup", "TerminateInstances by cleanup", own("cleanup", "terminate_instances")),
            _no("ec2:TerminateInstances"),
        ),
        _row(
            "looks-at-boxes",
            asks(WHO, "ec2:DescribeInstances", dry_run(WHO, "describe_instances")),
            "UnauthorizedOperation",
            asks("create", "DescribeInstances by create", dry_run("create", "describe_instances")),
            _no("ec2:DescribeInstances"),
        ),
        _row(
            "becomes-a-box",
            asks(WHO, "sts:AssumeRole of the box role", assume(WHO, lambda ground: ground.outputs["JumpBoxRoleArn"])),
            DENIED,
            asks("admin", "AssumeRole of a role that trusts him", assume("admin", lambda ground: ground.belongings.role_arn)),
            _no("sts:AssumeRole"),
            Trust(BOX_TRUST),
        ),
    ]


def _keys() -> list[Attack]:
    return [
        _row(
            "certifies-a-session",
            asks(WHO, "kms:Sign with the receipt key", sign_with(WHO)),
            NOT_AUTHORISED,
            asks("create", "Sign by create", sign_with("create")),
            _no("kms:Sign"),
            Statement(RECEIPT_KEY, "CreateSigns", ("Condition",)),
        ),
        _row(
            "makes-another-key-for-itself",
            asks(WHO, "iam:CreateAccessKey", _access_key(WHO), past_the_door=("NoSuchEntity",)),
            DENIED,
            asks("admin", "CreateAccessKey by an administrator", _access_key("admin"), past_the_door=("NoSuchEntity",)),
            _no("iam:CreateAccessKey"),
        ),
    ]


def _access_key(who: str) -> Request:
    return lambda ground: ground.client("iam", who).create_access_key(UserName="nobody-drawbridge-probe")


def _services() -> list[Attack]:
    """Calls of other services, by what each needs."""
    calls: dict[str, tuple[str, str, Any]] = {
        "reads-parameters": (
            "ssm:GetParameter",
            NOT_AUTHORISED,
            lambda ground, who: ground.client("ssm", who).get_parameter(
                Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
            ),
        ),
        "reads-create-s-log": (
            "logs:FilterLogEvents",
            NOT_AUTHORISED,
            lambda ground, who: ground.client("logs", who).filter_log_events(
                logGroupName=ground.stack.resources["CreateLog"]["reference"]
            ),
        ),
        # Disabled while the suite runs, so that its getting through changes nothing.
        "stops-the-sweeper-s-schedule": (
            "events:DisableRule",
            NOT_AUTHORISED,
            lambda ground, who: ground.client("events", who).disable_rule(Name=ground.stack.resources["Sweep"]["reference"]),
        ),
    }

    def by(who: str, call: Any) -> Request:
        return lambda ground: call(ground, who)

    return [
        _row(
            name,
            asks(WHO, action, by(WHO, call)),
            error,
            asks("admin", f"{action.partition(':')[2]} by an administrator", by("admin", call)),
            _no(action),
        )
        for name, (action, error, call) in calls.items()
    ]
