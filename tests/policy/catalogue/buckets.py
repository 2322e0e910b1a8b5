"""The buckets' own policies, against an identity whose own policy allows everything."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from tests.policy.catalogue.requests import Request, bucket_of, delete, get, list_objects, presigned, put
from tests.policy.catalogue.settings import NO_KEY, object_acl
from tests.policy.probe import Family, Place

BACKUP = "clusters/{cluster}/probe/existing"
INSIDE: dict[str, Any] = {"where": Place.ENDPOINT}
ELSEWHERE = "drawbridge-probe-elsewhere"


def families() -> list[Family]:
    return [
        _backup_bucket(),
        _opened(),
        _encryption("backup", "box", BACKUP, **INSIDE),
        _encryption("state", "create", "sessions/probe"),
        _retention(),
        _state_bucket(),
        _reports(),
        _write_once_state(),
    ]


def _backup_bucket() -> Family:
    return (
        Family("backup bucket")
        .denied("admin", "put", put("admin", "backup", BACKUP))
        .allowed("box", "put, through the endpoint", put("box", "backup", BACKUP, **INSIDE), **INSIDE)
        .allowed("admin", "put elsewhere", put("admin", ELSEWHERE, "probe"))
        .denied("admin", "delete", delete("admin", "backup", BACKUP + "-gone"))
        .denied("admin", "delete a version", delete("admin", "backup", BACKUP + "-gone", version="null"))
        .allowed("admin", "delete elsewhere", delete("admin", ELSEWHERE, "probe-gone"))
        .allowed("admin", "read, as a recovering engineer", get("admin", "backup", BACKUP))
    )


def _state_bucket() -> Family:
    key = "sessions/probe.json"
    family = Family("state bucket")
    for others in ("slots/", "boot/", "ready/", "closed/", "days/", "baselines/", "sweeps/", "elsewhere/"):
        family.denied("admin", f"put {others}", put("admin", "state", f"{others}probe"))
    # Who administers the account stops the stack, and starts it again.
    family.allowed("admin", "get switch/", get("admin", "state", "switch/probe"))
    family.allowed("admin", "put switch/", put("admin", "state", "switch/probe"))
    family.allowed("admin", "delete switch/", delete("admin", "state", "switch/probe-gone"))
    return (
        family
        .denied("admin", "get", get("admin", "state", key))
        .denied("admin", "put", put("admin", "state", key))
        .denied("admin", "delete", delete("admin", "state", key + "-gone"))
        .denied("admin", "get elsewhere/", get("admin", "state", "elsewhere/probe"))
        .denied("admin", "delete elsewhere/", delete("admin", "state", "elsewhere/probe-gone"))
        .allowed("create", "get", get("create", "state", key))
        .allowed("create", "put", put("create", "state", key))
        .allowed("cleanup", "get", get("cleanup", "state", key))
        .allowed("cleanup", "delete", delete("cleanup", "state", key + "-gone"))
        .denied("admin", "get a version", get("admin", "state", key, VersionId="null"))
        .denied("admin", "delete a version", delete("admin", "state", key + "-gone", version="null"))
        .denied("admin", "list", list_objects("admin", "state", "sessions/"))
        .denied("admin", "list versions", _list_versions("admin", "state"))
        .allowed("create", "list", list_objects("create", "state", "sessions/"))
        .allowed("cleanup", "list", list_objects("cleanup", "state", "sessions/"))
        .allowed("admin", "list versions elsewhere", _list_versions("admin", ELSEWHERE))
        .allowed("admin", "get a version elsewhere", get("admin", ELSEWHERE, "probe", VersionId="null"))
    )


def _list_versions(who: str, bucket: str) -> Request:
    def request(world: Any) -> None:
        world.client("s3", who).list_object_versions(Bucket=bucket_of(world, bucket), MaxKeys=1)

    return request


def _opened() -> Family:
    """Access lists, by which an object could be given away."""
    return (
        Family("backup bucket: access lists")
        .denied("admin", "of an object", object_acl("admin", "backup"))
        .denied("admin", "of a version", object_acl("admin", "backup", VersionId="null"))
        .allowed("admin", "of an object elsewhere", object_acl("admin", ELSEWHERE), past_the_door=NO_KEY)
        .allowed(
            "admin", "of a version elsewhere", object_acl("admin", ELSEWHERE, VersionId="null"), past_the_door=NO_KEY
        )
    )


def _encryption(bucket: str, who: str, key: str, **place: Any) -> Family:
    """What a sender says of encryption: nothing, or what the bucket does anyway."""
    open_key = lambda world: world.belongings.open_key  # noqa: E731 - one that lets everybody use it
    senders = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}

    def sent(**more: Any) -> Request:
        return put(who, bucket, key, **place, **more)

    return (
        Family(f"{bucket} bucket: encryption")
        .allowed(who, "put, nothing said", sent(), **place)
        .allowed(who, "put, the bucket's own", sent(ServerSideEncryption="AES256"), **place)
        .denied(who, "put, a key of KMS's", sent(ServerSideEncryption="aws:kms"), **place)
        .denied(who, "put, somebody's key alone", sent(SSEKMSKeyId=open_key), **place)
        .denied(who, "put, the sender's own key", sent(**senders), **place)
    )


def _retention() -> Family:
    """Locks. The bucket that the probes ask has none, which S3 says after the policies were asked."""
    no_lock = {"past_the_door": ("InvalidRequest", "NoSuchKey")}

    def retained(who: str, mode: str = "COMPLIANCE", days: float = -0.01, **place: Any) -> Request:
        def request(world: Any) -> None:
            until = datetime.now(timezone.utc) + timedelta(days=days)
            world.client("s3", who, *place.values()).put_object_retention(
                Bucket=world.outputs["BackupBucket"],
                Key=BACKUP.format(cluster=world.cluster),
                Retention={"Mode": mode, "RetainUntilDate": until},
            )

        return request

    return (
        Family("backup bucket: retention")
        .allowed(
            "box", "put, locked for no longer than the stack says", retained_put("COMPLIANCE", -0.01), **INSIDE, **no_lock
        )
        .denied("box", "put, locked for longer", retained_put("COMPLIANCE", 400), **INSIDE)
        .denied("box", "put, locked so that some can undo it", retained_put("GOVERNANCE", -0.01), **INSIDE)
        .allowed("box", "retain", retained("box", **INSIDE), **INSIDE, **no_lock)
        .denied("box", "retain for longer", retained("box", days=400, **INSIDE), **INSIDE)
        .denied("box", "retain so that some can undo it", retained("box", mode="GOVERNANCE", **INSIDE), **INSIDE)
        .denied("admin", "retain", retained("admin"))
        .denied("admin", "hold", _hold("admin", "backup"))
        .allowed("admin", "hold elsewhere", _hold("admin", ELSEWHERE), **no_lock)
    )


def retained_put(mode: str, days: float) -> Request:
    """By the box, with a lock of its own choice."""
    until = datetime.now(timezone.utc) + timedelta(days=days)
    return put("box", "backup", BACKUP, **INSIDE, ObjectLockMode=mode, ObjectLockRetainUntilDate=until)


def _hold(who: str, bucket: str) -> Request:
    def request(world: Any) -> None:
        named = {"Bucket": bucket_of(world, bucket), "Key": "probe-gone"}
        world.client("s3", who).put_object_legal_hold(**named, LegalHold={"Status": "ON"})

    return request


def _reports() -> Family:
    """What `create` presigned for the box's report: whoever holds the URL, it is taken from the private subnet alone."""
    key = "ready/probe"
    once: dict[str, Any] = {"IfNoneMatch": "*"}
    return (
        Family("state bucket: reports")
        .allowed("create", "presigned put of ready/ through the endpoint", presigned("put_object", key, **once), **INSIDE)
        .denied("create", "presigned put of ready/ around it", presigned("put_object", key, Place.INTERNET, **once))
        .allowed("create", "put ready/ with its own key through the endpoint", put("create", "state", key, **INSIDE), **INSIDE)
        .denied("create", "put ready/ with its own key around it", put("create", "state", key))
        .allowed("create", "put sessions/ around it", put("create", "state", "sessions/probe"))
    )


def _write_once_state() -> Family:
    family = Family("state bucket: write-once")
    places: dict[str, dict[str, Any]] = {"ready/probe": INSIDE, "boot/program/probe": {}}
    for key, place in places.items():
        family.allowed("create", f"put {key} with if-none-match", put("create", "state", key, **place), **place)
        family.denied("create", f"put {key} without", put("create", "state", key, once=False, **place), **place)
    return family.allowed("create", "put a session without", put("create", "state", "sessions/probe", once=False))
