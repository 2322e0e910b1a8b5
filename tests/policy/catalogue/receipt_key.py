"""The key that vouches for receipts: create signs with it, in one way; an administrator looks after it and signs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.policy.catalogue.requests import Request
from tests.policy.probe import Family

MESSAGE = b"a certificate's payload"
DIGEST = b"d" * 32
OTHER = "another key"


def families() -> list[Family]:
    return [_sign(), _sign_elsewhere(), _way_of_signing(), _administer(), _beyond()]


def _key(world: Any) -> str:
    return str(world.outputs["ReceiptKeyArn"])


def _other_key(world: Any) -> str:
    return str(world.belongings.other_key)


def sign_with(
    who: str,
    key: Callable[[Any], str] = _key,
    algorithm: str = "ECDSA_SHA_256",
    kind: str | None = "RAW",
    message: bytes = MESSAGE,
) -> Request:
    def request(world: Any) -> None:
        how = {"MessageType": kind} if kind else {}
        world.client("kms", who).sign(KeyId=key(world), Message=message, SigningAlgorithm=algorithm, **how)

    return request


def _sign() -> Family:
    family = Family("receipt key: sign").allowed("create", "Sign", sign_with("create"))
    for who in ("operator", "cleanup", "admin", "box"):
        family.denied(who, "Sign", sign_with(who))
    return family


def _sign_elsewhere() -> Family:
    return (
        Family("receipt key: sign with another")
        .allowed("admin", f"Sign with {OTHER}", sign_with("admin", _other_key))
        .denied("create", f"Sign with {OTHER}", sign_with("create", _other_key))
        .denied("operator", f"Sign with {OTHER}", sign_with("operator", _other_key))
    )


def _way_of_signing() -> Family:
    return (
        Family("receipt key: the way of signing")
        .allowed("create", "of a message, which KMS hashes", sign_with("create"))
        .denied("create", "of a digest that create made", sign_with("create", kind="DIGEST", message=DIGEST))
        .denied("create", "of what the request does not say", sign_with("create", kind=None))
        .denied("create", "with another algorithm", sign_with("create", algorithm="ECDSA_SHA_384"))
    )


def _administer() -> Family:
    """Everything that the key's policy lets an administrator do, and that create may do nothing of it."""
    calls: dict[str, Callable[[Any, Any, str], None]] = {
        "DescribeKey": lambda _world, kms, key: kms.describe_key(KeyId=key),
        "GetPublicKey": lambda _world, kms, key: kms.get_public_key(KeyId=key),
        "GetKeyPolicy": lambda _world, kms, key: kms.get_key_policy(KeyId=key),
        "ListResourceTags": lambda _world, kms, key: kms.list_resource_tags(KeyId=key),
        "PutKeyPolicy": _put_the_same_policy,
        "UpdateKeyDescription": _put_the_same_description,
        "TagResource": lambda _world, kms, key: kms.tag_resource(
            KeyId=key, Tags=[{"TagKey": "drawbridge:probe", "TagValue": "yes"}]
        ),
        "UntagResource": lambda _world, kms, key: kms.untag_resource(KeyId=key, TagKeys=["drawbridge:probe"]),
        "EnableKey": lambda _world, kms, key: kms.enable_key(KeyId=key),
        "DisableKey": _disable_and_enable,
    }
    family = Family("receipt key: administer")
    for name, call in calls.items():
        for who, add in (("admin", family.allowed), ("create", family.denied)):
            add(who, name, _calling(who, call))
    return family.denied("operator", "GetPublicKey", _calling("operator", calls["GetPublicKey"]))


def _beyond() -> Family:
    """What not even an administrator may do without changing the policy first, and with a key of his own may."""
    calls: dict[str, Callable[[Any, Any, str], None]] = {
        "ScheduleKeyDeletion": _schedule_and_cancel,
        "CreateGrant": lambda world, kms, key: kms.create_grant(
            KeyId=key, GranteePrincipal=world.belongings.role_arn, Operations=["Sign"]
        ),
    }
    family = Family("receipt key: beyond administration")
    for name, call in calls.items():
        family.denied("admin", name, _calling("admin", call))
        family.allowed("admin", f"{name} of {OTHER}", _calling("admin", call, _other_key))
    return family


def _calling(who: str, call: Callable[[Any, Any, str], None], key: Callable[[Any], str] = _key) -> Request:
    return lambda world: call(world, world.client("kms", who), key(world))


def _put_the_same_policy(world: Any, kms: Any, key: str) -> None:
    policy = world.client("kms", "root").get_key_policy(KeyId=key)["Policy"]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)


def _put_the_same_description(world: Any, kms: Any, key: str) -> None:
    found = world.client("kms", "root").describe_key(KeyId=key)["KeyMetadata"]
    kms.update_key_description(KeyId=key, Description=found["Description"])


def _disable_and_enable(world: Any, kms: Any, key: str) -> None:
    """The other probes need it enabled, whatever becomes of this one."""
    try:
        kms.disable_key(KeyId=key)
    finally:
        world.client("kms", "root").enable_key(KeyId=key)


def _schedule_and_cancel(world: Any, kms: Any, key: str) -> None:
    root = world.client("kms", "root")
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=30)
    root.cancel_key_deletion(KeyId=key)
    root.enable_key(KeyId=key)
