"""Who sits between: what he could read if anybody spoke to S3 without TLS, or believed whoever answers."""

from __future__ import annotations

from collections.abc import Callable

from tests.attacks.attack import Attack, Control, Thief, asks
from tests.attacks.controls import Statement
from tests.attacks.documents import BACKUP_BUCKET, LOG_BUCKET, STATE_BUCKET
from tests.attacks.middle import Booting, Trusted
from tests.policy.catalogue.requests import Request, get, list_objects, put
from tests.policy.probe import Place

OWN, SESSION = "clusters/{cluster}/probe/", "sessions/probe.json"


def attacks() -> list[Attack]:
    backups, state, records = (Statement(document, "OnlyTls") for document in (BACKUP_BUCKET, STATE_BUCKET, LOG_BUCKET))
    return [
        _row(
            "a-backup-as-it-is-put",
            "box",
            "s3:PutObject",
            lambda plain: put("box", "backup", OWN, Place.SIDE, plain=plain),
            backups,
            Place.SIDE,
        ),
        _row(
            "a-backup-as-it-is-restored",
            "admin",
            "s3:GetObject of a backup",
            lambda plain: get("admin", "backup", OWN + "existing", plain=plain),
            backups,
        ),
        _row(
            "the-names-of-backups",
            "admin",
            "s3:ListObjectsV2 of backups",
            lambda plain: list_objects("admin", "backup", plain=plain),
            backups,
        ),
        _row(
            "a-session-s-state-as-it-is-read",
            "create",
            "s3:GetObject of sessions/",
            lambda plain: get("create", "state", SESSION, plain=plain),
            state,
        ),
        _row(
            "a-session-s-state-as-it-is-written",
            "create",
            "s3:PutObject into sessions/",
            lambda plain: put("create", "state", "sessions/probe", plain=plain),
            state,
        ),
        _row(
            "the-records-of-who-did-what",
            "admin",
            "s3:GetObject of a record",
            lambda plain: get("admin", "log", "probe", plain=plain),
            records,
        ),
    ]


def in_the_middle() -> list[Attack]:
    """On a `tests.attacks.middle.Middle`."""
    return [
        Attack(
            "middle-answers-for-s3",
            Thief.MIDDLE,
            Booting("a box's fetch of its program, answered under the thief's certificate", between=True),
            "TLSV1_ALERT_UNKNOWN_CA",
            Booting("the same, answered by S3", between=False),
            (Trusted(),),
        )
    ]


def _row(
    name: str, who: str, call: str, request: Callable[[bool], Request], control: Control, where: Place = Place.INTERNET
) -> Attack:
    """He strips TLS; the request is the same but for that."""
    return Attack(
        f"middle-sees-{name}",
        Thief.MIDDLE,
        asks(who, f"{call} over plain HTTP", request(True), where),
        "AccessDenied",
        asks(who, "the same over TLS", request(False), where),
        (control,),
    )
