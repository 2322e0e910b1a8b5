"""The buckets' settings: who may change them besides CloudFormation. What is allowed sets again what stands, or is
refused by S3 itself after the policies were asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.policy.catalogue.requests import Request, bucket_of, delete, list_objects, put
from tests.policy.probe import Family, Place

Change = Callable[[Any, Any, str], Any]
"""Of S3 as root, S3 as the one who asks, and the bucket."""


def families() -> list[Family]:
    return [_settings(bucket) for bucket in ("backup", "state", "log")] + [_log_bucket()]


def _settings(bucket: str) -> Family:
    family = Family(f"{bucket} bucket: settings")
    for action, (change, past) in CHANGES.items():
        if bucket == "log" and action == "PutBucketNotification":
            continue  # who hears of records changes nothing
        family.denied("admin", action, _on(bucket, "admin", change))
        for who in ("deployer", "cloudformation"):
            family.allowed(who, action, _on(bucket, who, change), past_the_door=past)
    return family


def _log_bucket() -> Family:
    records = "AWSLogs/probe"
    return (
        Family("log bucket: records")
        .denied("admin", "put", put("admin", "log", records))
        .denied("create", "put", put("create", "log", records))
        .denied("admin", "delete", delete("admin", "log", records + "-gone"))
        .denied("admin", "delete a version", delete("admin", "log", records + "-gone", version="null"))
        .allowed("admin", "put elsewhere", put("admin", "drawbridge-probe-elsewhere", "probe"))
        .allowed("admin", "list, as an auditor", list_objects("admin", "log", "AWSLogs/"))
    )


NO_KEY = ("NoSuchKey", "AccessControlListNotSupported")


def object_acl(who: str, bucket: str, where: Place = Place.INTERNET, **which: Any) -> Request:
    """Of an object that there is not: S3 asks the policies first."""

    def request(world: Any) -> None:
        named = {"Bucket": bucket_of(world, bucket), "Key": "probe-gone", "ACL": "bucket-owner-full-control"}
        world.client("s3", who, where).put_object_acl(**named, **which)

    return request


def _on(bucket: str, who: str, change: Change) -> Request:
    def request(world: Any) -> None:
        change(world.client("s3", "root"), world.client("s3", who), bucket_of(world, bucket))

    return request


def _same(read: str, write: str, argument: str, answer: str | None = None) -> Change:
    """Reads a setting as root and sets it again."""

    def change(root: Any, s3: Any, bucket: str) -> None:
        found = getattr(root, read)(Bucket=bucket)
        found.pop("ResponseMetadata")
        getattr(s3, write)(Bucket=bucket, **{argument: found if answer is None else found[answer]})

    return change


def _remove_policy(root: Any, s3: Any, bucket: str) -> None:
    policy = root.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=bucket)
    root.put_bucket_policy(Bucket=bucket, Policy=policy)


def _lifecycle(root: Any, s3: Any, bucket: str) -> None:
    rules = root.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def _version(_root: Any, s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Nothing"})


def _lock(_root: Any, s3: Any, bucket: str) -> None:
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Nothing"})


# Action -> the change, and what S3 itself says to it when no policy did.
CHANGES: dict[str, tuple[Change, tuple[str, ...]]] = {
    "DeleteBucket": (lambda _root, s3, bucket: s3.delete_bucket(Bucket=bucket), ("BucketNotEmpty",)),
    "DeleteBucketPolicy": (_remove_policy, ()),
    "PutBucketPolicy": (_same("get_bucket_policy", "put_bucket_policy", "Policy", "Policy"), ()),
    "PutLifecycleConfiguration": (_lifecycle, ()),
    "PutEncryptionConfiguration": (
        _same(
            "get_bucket_encryption",
            "put_bucket_encryption",
            "ServerSideEncryptionConfiguration",
            "ServerSideEncryptionConfiguration",
        ),
        (),
    ),
    "PutBucketVersioning": (_version, ("MalformedXML", "InvalidBucketState")),
    "PutBucketObjectLockConfiguration": (_lock, ("MalformedXML", "InvalidBucketState")),
    "PutBucketPublicAccessBlock": (
        _same(
            "get_public_access_block",
            "put_public_access_block",
            "PublicAccessBlockConfiguration",
            "PublicAccessBlockConfiguration",
        ),
        (),
    ),
    "PutBucketNotification": (
        _same(
            "get_bucket_notification_configuration",
            "put_bucket_notification_configuration",
            "NotificationConfiguration",
        ),
        (),
    ),
    "PutReplicationConfiguration": (lambda _root, s3, bucket: s3.delete_bucket_replication(Bucket=bucket), ()),
    "PutBucketAcl": (
        lambda _root, s3, bucket: s3.put_bucket_acl(Bucket=bucket, ACL="private"),
        ("AccessControlListNotSupported",),
    ),
    "PutBucketOwnershipControls": (
        _same(
            "get_bucket_ownership_controls",
            "put_bucket_ownership_controls",
            "OwnershipControls",
            "OwnershipControls",
        ),
        (),
    ),
}
