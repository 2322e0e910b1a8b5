"""Probes of a stack that has a lock and a key; options.py deploys it and asks them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from testbed.common.shell import wait_until
from tests.policy.catalogue.requests import Request, get, put
from tests.policy.probe import Family, Place

EVERYBODY = ("box", "create", "cleanup", "admin", "deployer", "cloudformation", "root")
INSIDE = {"where": Place.ENDPOINT}
KEY = "clusters/{cluster}/probe/existing"


def families(world: Any) -> list[Family]:
    return [*_locks(world), *key_families()]


def _locks(world: Any) -> list[Family]:
    """Made by the box in each way in which it stores: whole with a lock, in parts with a lock, and silent of it."""
    made = {
        "put": world.within(Place.ENDPOINT, lambda: _put(world, **_lock(days=0.5))),
        "uploaded in parts": world.within(Place.ENDPOINT, lambda: _upload(world, **_lock(days=0.5))),
        "put without a word of a lock": world.within(Place.ENDPOINT, lambda: _put(world)),
    }
    over = world.within(Place.ENDPOINT, lambda: _put(world, **_lock(seconds=2)))
    families = []
    for how, version in made.items():
        family = Family(f"lock of an object {how}")
        for who in EVERYBODY:
            where = INSIDE if who == "box" else {}
            for what, attempt in ATTEMPTS.items():
                family.denied(who, what, attempt(who, version, **where), **where)
                if who in ("admin", "root"):
                    without = _without_policy(attempt(who, version))
                    family.denied(who, f"{what}, without the bucket's policy", without)
        families.append(family.allowed("root", "lengthen it", _retain("root", version, "COMPLIANCE", days=1.5)))
    families[0].allowed("admin", "delete one whose lock is over", _without_policy(_when_over(_delete("admin", over))))
    return families


def _lock(days: float = 0, seconds: float = 0) -> dict[str, Any]:
    return {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": _in(days, seconds)}


def _in(days: float = 0, seconds: float = 0) -> datetime:
    return datetime.now(timezone.utc) + timedelta(days=days, seconds=seconds)


def _put(world: Any, **lock: Any) -> dict[str, str]:
    named = {"Bucket": world.outputs["BackupBucket"], "Key": f"clusters/{world.cluster}/probe/{world.fresh()}"}
    answer = world.client("s3", "box", Place.ENDPOINT).put_object(**named, Body=b"x", IfNoneMatch="*", **lock)
    return {**named, "VersionId": answer["VersionId"]}


def _upload(world: Any, **lock: Any) -> dict[str, str]:
    s3 = world.client("s3", "box", Place.ENDPOINT)
    named = {"Bucket": world.outputs["BackupBucket"], "Key": f"clusters/{world.cluster}/probe/{world.fresh()}"}
    upload = {**named, "UploadId": s3.create_multipart_upload(**named, **lock)["UploadId"]}
    part = {"PartNumber": 1, "ETag": s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]}
    answer = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]}, IfNoneMatch="*")
    return {**named, "VersionId": answer["VersionId"]}


def _delete(who: str, version: dict[str, str], where: Place = Place.INTERNET, **how: Any) -> Request:
    return lambda world: world.client("s3", who, where).delete_object(**version, **how)


def _delete_many(who: str, version: dict[str, str], where: Place = Place.INTERNET) -> Request:
    """S3 answers well and says for each object what became of it."""

    def request(world: Any) -> None:
        s3 = world.client("s3", who, where)
        one = {"Key": version["Key"], "VersionId": version["VersionId"]}
        answer = s3.delete_objects(Bucket=version["Bucket"], Delete={"Objects": [one]})
        for error in answer.get("Errors", []):
            raise s3.exceptions.ClientError({"Error": {"Code": error["Code"], "Message": error["Message"]}}, "Delete")

    return request


def _retain(
    who: str, version: dict[str, str], mode: str, where: Place = Place.INTERNET, days: float = 0.01, **how: Any
) -> Request:
    def request(world: Any) -> None:
        retention = {"Mode": mode, "RetainUntilDate": _in(days)}
        world.client("s3", who, where).put_object_retention(**version, Retention=retention, **how)

    return request


ATTEMPTS: dict[str, Callable[..., Request]] = {
    "delete": _delete,
    "delete, bypassing what can be bypassed": lambda who, version, **place: _delete(
        who, version, BypassGovernanceRetention=True, **place
    ),
    "delete among many": _delete_many,
    "shorten": lambda who, version, **place: _retain(who, version, "COMPLIANCE", **place),
    "loosen": lambda who, version, **place: _retain(
        who, version, "GOVERNANCE", days=0.9, BypassGovernanceRetention=True, **place
    ),
}


def _without_policy(request: Request) -> Request:
    """The lock alone."""

    def wrapped(world: Any) -> None:
        root, bucket = world.client("s3", "root"), world.outputs["BackupBucket"]
        policy = root.get_bucket_policy(Bucket=bucket)["Policy"]
        root.delete_bucket_policy(Bucket=bucket)
        try:
            request(world)
        finally:
            root.put_bucket_policy(Bucket=bucket, Policy=policy)

    return wrapped


def _when_over(request: Request) -> Request:
    over = _in(seconds=3)

    def wrapped(world: Any) -> None:
        wait_until("a lock is over", lambda: _in() > over, seconds=10)
        request(world)

    return wrapped


def key_families() -> list[Family]:
    return [_use(), _end(), _change()]


def _use() -> Family:
    own = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": lambda world: world.outputs["BackupKeyArn"]}
    other = {**own, "SSEKMSKeyId": lambda world: world.belongings.open_key}
    return (
        Family("key: use")
        .allowed("box", "put, nothing said", put("box", "backup", KEY, **INSIDE), **INSIDE)
        .allowed("box", "upload in parts", lambda world: _upload(world), **INSIDE)
        .allowed("box", "put, the bucket's key", put("box", "backup", KEY, **INSIDE, **own), **INSIDE)
        .denied("box", "put, another key", put("box", "backup", KEY, **INSIDE, **other), **INSIDE)
        .denied("box", "put, no key", put("box", "backup", KEY, **INSIDE, ServerSideEncryption="AES256"), **INSIDE)
        .denied("box", "a data key, not through S3", _kms("box", "generate_data_key", KeySpec="AES_256"))
        .allowed("admin", "a data key", _kms("admin", "generate_data_key", KeySpec="AES_256"))
        .denied("create", "a data key", _kms("create", "generate_data_key", KeySpec="AES_256"))
        .allowed("admin", "read, as a recovering engineer", get("admin", "backup", KEY))
    )


def _end() -> Family:
    family = Family("key: end")
    for call, undo, arguments in (
        ("schedule_key_deletion", "cancel_key_deletion", {"PendingWindowInDays": 30}),
        ("disable_key", "enable_key", {}),
    ):
        for who in ("admin", "deployer", "cloudformation", "create"):
            family.denied(who, call, _undone(who, call, undo, **arguments))
        family.allowed("break-glass", call, _undone("break-glass", call, undo, **arguments))
    return family


def _change() -> Family:
    family = Family("key: change")
    for call, request in {
        "put_key_policy": _same_policy,
        "create_grant": _grant,
        "disable_key_rotation": lambda who: _undone(who, "disable_key_rotation", "enable_key_rotation"),
    }.items():
        for who in ("admin", "break-glass", "create"):
            family.denied(who, call, request(who))
        for who in ("deployer", "cloudformation"):
            family.allowed(who, call, request(who))
    return family


def _kms(who: str, call: str, **arguments: Any) -> Request:
    return lambda world: getattr(world.client("kms", who), call)(KeyId=world.outputs["BackupKeyArn"], **arguments)


def _undone(who: str, call: str, undo: str, **arguments: Any) -> Request:
    """What is allowed is undone at once, by the root."""

    def request(world: Any) -> None:
        _kms(who, call, **arguments)(world)
        _kms("root", undo)(world)
        if undo == "cancel_key_deletion":  # which leaves the key disabled
            _kms("root", "enable_key")(world)

    return request


def _same_policy(who: str) -> Request:
    def request(world: Any) -> None:
        policy = world.client("kms", "root").get_key_policy(KeyId=world.outputs["BackupKeyArn"])["Policy"]
        _kms(who, "put_key_policy", PolicyName="default", Policy=policy)(world)

    return request


def _grant(who: str) -> Request:
    def request(world: Any) -> None:
        grantee = f"arn:aws:iam::{world.stack.account}:role/nobody"
        made = world.client("kms", who).create_grant(
            KeyId=world.outputs["BackupKeyArn"], GranteePrincipal=grantee, Operations=["Decrypt"]
        )
        world.client("kms", "root").revoke_grant(KeyId=world.outputs["BackupKeyArn"], GrantId=made["GrantId"])

    return request
