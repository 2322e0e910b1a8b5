"""KMS keys and their policies."""

from __future__ import annotations

from typing import Any

from testbed.aws.cloudformation.errors import TemplateError
from testbed.aws.cloudformation.properties import Properties
from testbed.aws.cloudformation.resources.kind import Clients, Kind, Made, document


def _key(clients: Clients, wanted: Properties) -> Made:
    _check_not_locked_out(wanted)
    if not 7 <= wanted.number("PendingWindowInDays", 30) <= 30:
        raise TemplateError("a key's PendingWindowInDays is 7 to 30")
    tags = [{"TagKey": tag.text("Key"), "TagValue": tag.text("Value")} for tag in wanted.objects("Tags", [])]
    made = clients("kms").create_key(
        Description=wanted.text("Description", ""),
        KeySpec=wanted.text("KeySpec", "SYMMETRIC_DEFAULT"),
        KeyUsage=wanted.text("KeyUsage", "ENCRYPT_DECRYPT"),
        Policy=document(wanted, "KeyPolicy"),
        Tags=tags,
    )["KeyMetadata"]
    if wanted.has("EnableKeyRotation") and wanted.flag("EnableKeyRotation"):
        clients("kms").enable_key_rotation(KeyId=made["KeyId"])
    return Made(made["KeyId"], {"Arn": made["Arn"], "KeyId": made["KeyId"]})


def _update_key(clients: Clients, standing: Made, wanted: Properties) -> None:
    _check_not_locked_out(wanted)
    kms, key = clients("kms"), standing.reference
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(wanted, "KeyPolicy"))
    kms.update_key_description(KeyId=key, Description=wanted.text("Description", ""))


def _check_not_locked_out(wanted: Properties) -> None:
    """KMS takes no policy after which nobody could change it, unless told to; the local one takes any."""
    told = wanted.flag("BypassPolicyLockoutSafetyCheck", False)
    if not told and not any(_lets_change(statement) for statement in wanted.raw("KeyPolicy")["Statement"]):
        raise TemplateError("the key policy lets nobody call kms:PutKeyPolicy: KMS refuses that")


def _lets_change(statement: dict[str, Any]) -> bool:
    actions = statement.get("Action", [])
    actions = actions if isinstance(actions, list) else [actions]
    allowed = {"kms:PutKeyPolicy", "kms:Put*", "kms:*", "*"} & set(actions)
    return statement["Effect"] == "Allow" and bool(allowed)


KINDS = {"AWS::KMS::Key": Kind(_key, frozenset({"KeyPolicy", "Description"}), _update_key)}
