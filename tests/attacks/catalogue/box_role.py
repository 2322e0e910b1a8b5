"""The box's role: its credentials used on the box, through the endpoint, or carried away."""

from __future__ import annotations

from typing import Any

from tests.attacks.attack import Attack, Control, Thief, Try, asks
from tests.attacks.controls import Bounds, Statement
from tests.attacks.documents import BACKUP_BUCKET, ENDPOINT, JUMPBOX, RECEIPT_KEY, STATE_BUCKET
from tests.attacks.markers import LIVES_ON, Marking
from tests.attacks.sessions import Comparison
from tests.policy.catalogue.buckets import retained_put
from tests.policy.catalogue.receipt_key import sign_with
from tests.policy.catalogue.requests import abort, delete, dry_run, get, invoke, list_objects, put, upload
from tests.policy.catalogue.settings import NO_KEY, object_acl
from tests.policy.probe import Place

WHO, DENIED = "box", "AccessDenied"
OWN, OTHER = "clusters/{cluster}/probe/", "clusters/another/probe/"
ELSEWHERE = "drawbridge-probe-elsewhere"
INSIDE: dict[str, Any] = {"where": Place.ENDPOINT}
ONLY_THROUGH = Statement(BACKUP_BUCKET, "BoxOnlyThroughEndpoint")
PUTS = asks(WHO, "PutObject under its prefix, write-once", put(WHO, "backup", OWN, **INSIDE), **INSIDE)


def attacks() -> list[Attack]:
    return [*_reading(), *_writing(), *_beside(), *_carried_away(), *_services()]


def with_an_open_session() -> list[Attack]:
    """On a `tests.attacks.sessions.Sessions`: the put itself is allowed."""
    return [
        _row(
            "marks-another-session-ended",
            Marking("s3:PutObject of another session's `ended` marker"),
            LIVES_ON,
            Marking("the same for a session past its deadline", over=True),
            Comparison("cleanup compares with the saved deadline (crates/lambdas/src/cleanup.rs)"),
        )
    ]


def _row(name: str, attempt: Try, error: str, twin: Try, *controls: Control) -> Attack:
    return Attack(f"role-{name}", Thief.BOX_ROLE, attempt, error, twin, controls)


def _no(*actions: str) -> tuple[Control, Control]:
    """On the box two policies say what leaves it."""
    return Bounds(JUMPBOX, actions), Bounds(ENDPOINT, actions)


def _reading() -> list[Attack]:
    existing = OWN + "existing"
    by_engineer = asks("admin", "GetObject by a recovering engineer", get("admin", "backup", existing))
    lists = asks(WHO, "ListObjectsV2 of its prefix", list_objects(WHO, "backup", OWN, **INSIDE), **INSIDE)
    return [
        _row(
            "reads-a-backup",
            asks(WHO, "s3:GetObject of a backup", get(WHO, "backup", existing, **INSIDE), **INSIDE),
            DENIED,
            by_engineer,
            *_no("s3:GetObject"),
        ),
        _row(
            "reads-another-session-s-orders",
            asks(WHO, "s3:GetObject of boot/", get(WHO, "state", "boot/probe/orders.json", **INSIDE), **INSIDE),
            DENIED,
            asks("create", "GetObject by create", get("create", "state", "boot/probe/orders.json")),
            *_no("s3:GetObject"),
            Statement(STATE_BUCKET, "OnlyTheFunctions"),
        ),
        _row(
            "lists-every-backup",
            asks(WHO, "s3:ListObjectsV2 of the whole bucket", list_objects(WHO, "backup", "", **INSIDE), **INSIDE),
            DENIED,
            lists,
            Statement(JUMPBOX, "ListOwnPrefix", ("Condition",)),
        ),
        _row(
            "lists-another-cluster-s-backups",
            asks(WHO, "s3:ListObjectsV2 of another prefix", list_objects(WHO, "backup", OTHER, **INSIDE), **INSIDE),
            DENIED,
            lists,
            Statement(JUMPBOX, "ListOwnPrefix", ("Condition",)),
        ),
    ]


def _writing() -> list[Attack]:
    gone = OWN + "gone"
    parts = asks(WHO, "an upload in parts, completed write-once", upload(WHO, OWN, Place.ENDPOINT, once=True), **INSIDE)
    once = Statement(BACKUP_BUCKET, "WriteOnce")
    elsewhere = asks("admin", "DeleteObject elsewhere by an administrator", delete("admin", ELSEWHERE, "probe-gone"))
    return [
        _row(
            "overwrites-a-backup",
            asks(
                WHO,
                "s3:PutObject over a backup, without if-none-match",
                put(WHO, "backup", OWN + "existing", once=False, fresh=False, **INSIDE),
                **INSIDE,
            ),
            DENIED,
            PUTS,
            once,
        ),
        _row(
            "overwrites-by-parts",
            asks(
                WHO,
                "s3:CompleteMultipartUpload without if-none-match",
                upload(WHO, OWN, Place.ENDPOINT, once=False),
                **INSIDE,
            ),
            DENIED,
            parts,
            once,
        ),
        _row(
            "deletes-a-backup",
            asks(WHO, "s3:DeleteObject of a backup", delete(WHO, "backup", gone, **INSIDE), **INSIDE),
            DENIED,
            elsewhere,
            *_no("s3:DeleteObject"),
            Statement(BACKUP_BUCKET, "NobodyDeletes"),
        ),
        _row(
            "writes-under-another-cluster-s-prefix",
            asks(WHO, "s3:PutObject under another prefix", put(WHO, "backup", OTHER, **INSIDE), **INSIDE),
            DENIED,
            PUTS,
            *_no("s3:PutObject"),
        ),
        _row(
            "writes-under-no-prefix",
            asks(WHO, "s3:PutObject at the bucket's root", put(WHO, "backup", "probe", **INSIDE), **INSIDE),
            DENIED,
            PUTS,
            *_no("s3:PutObject"),
        ),
        _row(
            "aborts-another-cluster-s-upload",
            asks(
                WHO,
                "s3:AbortMultipartUpload under another prefix",
                abort(WHO, "backup", OTHER + "x", **INSIDE),
                past_the_door=("NoSuchUpload",),
                **INSIDE,
            ),
            DENIED,
            asks(
                WHO,
                "AbortMultipartUpload under its prefix",
                abort(WHO, "backup", OWN + "x", **INSIDE),
                past_the_door=("NoSuchUpload",),
                **INSIDE,
            ),
            *_no("s3:AbortMultipartUpload"),
        ),
        _row(
            "gives-a-backup-away",
            asks(
                WHO,
                "s3:PutObjectAcl of a backup",
                object_acl(WHO, "backup", **INSIDE),
                past_the_door=NO_KEY,
                **INSIDE,
            ),
            DENIED,
            asks(
                "admin",
                "PutObjectAcl elsewhere by an administrator",
                object_acl("admin", ELSEWHERE),
                past_the_door=NO_KEY,
            ),
            *_no("s3:PutObjectAcl"),
            Statement(BACKUP_BUCKET, "NobodyOpens"),
        ),
    ]


def _beside() -> list[Attack]:
    """Writes of its own right, with headers that make them worthless to the owner."""
    sender = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    # A bucket without a lock says so after the policies were asked.
    locked = {"past_the_door": ("InvalidRequest",), **INSIDE}
    short = asks(WHO, "PutObject, locked for no longer than the stack says", retained_put("COMPLIANCE", -0.01), **locked)
    return [
        _row(
            "encrypts-with-a-key-of-its-own",
            asks(WHO, "s3:PutObject with the sender's key", put(WHO, "backup", OWN, **INSIDE, **sender), **INSIDE),
            DENIED,
            PUTS,
            Statement(BACKUP_BUCKET, "NoKeyOfTheSender"),
        ),
        _row(
            "encrypts-with-another-account-s-key",
            asks(
                WHO,
                "s3:PutObject under somebody's KMS key",
                put(
                    WHO,
                    "backup",
                    OWN,
                    **INSIDE,
                    ServerSideEncryption="aws:kms",
                    SSEKMSKeyId=lambda ground: ground.belongings.open_key,
                ),
                **INSIDE,
            ),
            DENIED,
            PUTS,
            Statement(BACKUP_BUCKET, "OwnEncryption"),
            Statement(BACKUP_BUCKET, "OwnKey"),
        ),
        _row(
            "locks-a-backup-for-a-year",
            asks(WHO, "s3:PutObject, locked for longer than the stack says", retained_put("COMPLIANCE", 400), **locked),
            DENIED,
            short,
            Statement(BACKUP_BUCKET, "NoLongerThanTheStackSays"),
        ),
        _row(
            "locks-so-that-it-can-be-undone",
            asks(WHO, "s3:PutObject, locked in governance mode", retained_put("GOVERNANCE", -0.01), **locked),
            DENIED,
            short,
            Statement(BACKUP_BUCKET, "OnlyCompliance"),
        ),
    ]


def _carried_away() -> list[Attack]:
    """The same credentials from the internet."""
    lists = asks(WHO, "ListObjectsV2 of its prefix, through the endpoint", list_objects(WHO, "backup", OWN, **INSIDE), **INSIDE)
    return [
        _row(
            "writes-from-the-internet",
            asks(WHO, "s3:PutObject around the endpoint", put(WHO, "backup", OWN)),
            DENIED,
            PUTS,
            ONLY_THROUGH,
        ),
        _row(
            "lists-from-the-internet",
            asks(WHO, "s3:ListObjectsV2 around the endpoint", list_objects(WHO, "backup", OWN)),
            DENIED,
            lists,
            ONLY_THROUGH,
        ),
        _row(
            "reads-from-the-internet",
            asks(WHO, "s3:GetObject around the endpoint", get(WHO, "backup", OWN + "existing")),
            DENIED,
            asks("admin", "GetObject by a recovering engineer", get("admin", "backup", OWN + "existing")),
            Bounds(JUMPBOX, ("s3:GetObject",)),
            ONLY_THROUGH,
        ),
        _row(
            "carries-data-into-another-bucket",
            asks(WHO, "s3:PutObject elsewhere, through the endpoint", put(WHO, ELSEWHERE, "probe", **INSIDE), **INSIDE),
            DENIED,
            PUTS,
            *_no("s3:PutObject"),
        ),
    ]


def _services() -> list[Attack]:
    def cleanup(ground: Any) -> str:
        return str(ground.outputs["CleanupFunctionArn"])

    no_door = "AccessDeniedException"
    return [
        _row(
            "invokes-cleanup",
            asks(WHO, "lambda:Invoke of cleanup", invoke(WHO, cleanup)),
            no_door,
            asks("operator", "Invoke by the operator", invoke("operator", cleanup)),
            Bounds(JUMPBOX, ("lambda:InvokeFunction",)),
        ),
        _row(
            "looks-at-other-boxes",
            asks(WHO, "ec2:DescribeInstances", dry_run(WHO, "describe_instances")),
            "UnauthorizedOperation",
            asks("create", "DescribeInstances by create", dry_run("create", "describe_instances")),
            Bounds(JUMPBOX, ("ec2:DescribeInstances",)),
        ),
        _row(
            "certifies-itself",
            asks(WHO, "kms:Sign with the receipt key", sign_with(WHO)),
            no_door,
            asks("create", "Sign by create", sign_with("create")),
            Bounds(JUMPBOX, ("kms:Sign",)),
            Statement(RECEIPT_KEY, "CreateSigns", ("Condition",)),
        ),
    ]
