"""Condition keys: those that ministack does not know, and a loud failure for those that nobody here knows.

ministack takes an unknown key for one that is absent from the request, so a Deny that hangs on it never bites and
an Allow with a negated operator always does. Here a policy that names an unknown key or operator ends the request
with an error that names it, whether or not the statement would have mattered.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from ministack.core import iam_evaluator as evaluator

from . import audit, request, web_identity

# Each of these is resolved, by ministack or below. A key that is only listed here would lie.
KNOWN_KEYS = frozenset(
    key.lower()
    for key in (
        "aws:PrincipalArn aws:PrincipalAccount aws:PrincipalType aws:PrincipalOrgID aws:PrincipalIsAWSService "
        "aws:CurrentTime aws:EpochTime aws:RequestedRegion aws:SecureTransport aws:SourceIp aws:TagKeys "
        "aws:ResourceAccount aws:userid aws:username aws:MultiFactorAuthPresent aws:TokenIssueTime "
        "aws:SourceVpce aws:SourceVpc aws:VpcSourceIp aws:SourceArn aws:SourceAccount aws:SourceOwner aws:ViaAWSService "
        "aws:CalledViaFirst aws:Ec2InstanceSourceVpc aws:Ec2InstanceSourcePrivateIPv4 ec2:SourceInstanceARN "
        "s3:ResourceAccount s3:prefix s3:delimiter s3:max-keys s3:x-amz-acl s3:x-amz-grant-read s3:x-amz-grant-write "
        "s3:x-amz-grant-read-acp s3:x-amz-grant-write-acp s3:x-amz-grant-full-control "
        "s3:x-amz-server-side-encryption s3:x-amz-server-side-encryption-aws-kms-key-id s3:x-amz-storage-class "
        "s3:x-amz-copy-source s3:x-amz-content-sha256 s3:authType s3:signatureversion s3:if-none-match s3:if-match "
        "s3:ObjectCreationOperation s3:object-lock-mode s3:object-lock-legal-hold s3:object-lock-remaining-retention-days "
        "s3:x-amz-server-side-encryption-customer-algorithm "
        "ec2:Region ec2:Vpc ec2:Subnet ec2:CreateAction ec2:InstanceType ec2:InstanceProfile ec2:AvailabilityZone "
        "ec2:MetadataHttpTokens ec2:MetadataHttpEndpoint ec2:MetadataHttpPutResponseHopLimit ec2:ImageID ec2:Owner "
        "ec2:AssociatePublicIpAddress ec2:NetworkInterfaceID ec2:SecurityGroupID ec2:SubnetID ec2:InstanceID "
        "ec2:Encrypted ec2:VolumeSize ec2:VolumeType ec2:KeyPairName "
        "iam:PassedToService sts:ExternalId sts:RoleSessionName kms:ViaService kms:SigningAlgorithm kms:MessageType kms:KeySpec kms:KeyUsage lambda:FunctionUrlAuthType"
    ).split()
)
KNOWN_FAMILIES = (
    "aws:requesttag/",
    "aws:resourcetag/",
    "aws:principaltag/",
    "ec2:resourcetag/",
    "s3:existingobjecttag/",
    "s3:requestobjecttag/",
)

# Context of a check on a resource that does not exist: what its tags and place would be, nobody can say.
MISSING = "drawbridge:missing"
OF_THE_RESOURCE = (
    "aws:resourcetag/",
    "ec2:resourcetag/",
    "ec2:vpc",
    "ec2:subnet",
    "ec2:availabilityzone",
    "ec2:instance",
)

_original_first_match = evaluator._first_match
_original_resolve = evaluator._resolve_condition_key
_original_parse = evaluator.parse_policy_document
_original_resource_policy = evaluator.evaluate_resource_policy
_original_trust_policy = evaluator.evaluate_trust_policy


class UnjudgeablePolicy(Exception):
    """A policy that is being evaluated names something that the testbed does not model."""


def _refuse(what: str) -> None:
    message = (
        f"{what} is not modelled by the testbed: teach testbed/aws/cloud/conditions.py, or take it out of the policy"
    )
    audit.write("error", "-", "-", reason=message)
    raise UnjudgeablePolicy(message)


def check_key(key: str) -> None:
    lower = key.lower()
    if lower not in KNOWN_KEYS and not lower.startswith(KNOWN_FAMILIES) and not web_identity.condition_key(key):
        _refuse(f"condition key {key!r}")


def check_operator(operator: str) -> None:
    plain = operator.lower().removeprefix("forallvalues:").removeprefix("foranyvalue:").removesuffix("ifexists")
    if plain != "null" and plain not in evaluator._CONDITION_OPS:
        _refuse(f"condition operator {operator!r}")


def check(statements: Any) -> None:
    """Refuses unknown keys and operators in a policy's statements."""
    for statement in statements if isinstance(statements, list) else [statements]:
        for operator, pairs in (statement.get("Condition") or {}).items():
            check_operator(operator)
            for key in pairs:
                check_key(key)


def _check_document(document: Any) -> None:
    plain = json.loads(document) if isinstance(document, str) and document else document
    if isinstance(plain, dict):
        check(plain.get("Statement", []))


def _parse(document: str | dict[str, Any]) -> Any:
    _check_document(document)
    return _original_parse(document)


def _resource_policy(document: Any, *args: Any, **options: Any) -> Any:
    _check_document(document)
    return _original_resource_policy(document, *args, **options)


def _trust_policy(document: Any, *args: Any, **options: Any) -> Any:
    _check_document(document)
    return _original_trust_policy(document, *args, **options)


def _first_match(context: Any, statements: list[Any], effect: str) -> Any:
    """For a missing resource, conditions on the resource itself hold in an Allow and do not in a Deny."""
    if context.service_context.get(MISSING):
        statements = [s for s in (_without_resource(s) for s in statements) if s is not None]
    return _original_first_match(context, statements, effect)


def _without_resource(statement: Any) -> Any:
    kept: dict[str, Any] = {}
    for operator, pairs in statement.conditions.items():
        kept[operator] = {k: v for k, v in pairs.items() if not k.lower().startswith(OF_THE_RESOURCE)}
        if statement.effect == "Deny" and len(kept[operator]) < len(pairs):
            return None
    return dataclasses.replace(statement, conditions=kept)


def _resolve(key: str, context: Any) -> Any:
    check_key(key)
    lower = key.lower()
    now = request.current()
    origin = now.origin
    match lower:
        case "aws:principalarn" if context.principal_type == "AssumedRole":
            account, resource = context.principal_arn.split(":", 5)[4:6]
            return f"arn:aws:iam::{account}:role/{resource.split('/')[1]}"
        case "aws:sourcevpce":
            return origin.get("endpoint")
        case "aws:sourcevpc":
            return origin.get("vpc") if origin.get("endpoint") else None
        case "aws:vpcsourceip":
            return now.source if origin.get("endpoint") else None
        case "aws:sourceip" if origin.get("endpoint"):
            return None  # a request through an endpoint has a private address, which this key never holds
        case "aws:securetransport":  # AWS's services speak nothing else
            return str(now.secure or context.principal_type == "Service").lower()
        case "aws:principalisawsservice":
            return "true" if context.principal_type == "Service" else "false"
        case "aws:viaawsservice":
            return "true" if now.called_via else "false"
        case "aws:sourceowner":
            return context.principal_account
        case "aws:calledviafirst":
            return now.called_via
    if lower.startswith("ec2:resourcetag/"):
        return context.service_context.get("aws:resourcetag/" + lower.partition("/")[2])
    return _original_resolve(key, context)


def install() -> None:
    evaluator.parse_policy_document = _parse
    evaluator.evaluate_resource_policy = _resource_policy
    evaluator.evaluate_trust_policy = _trust_policy
    evaluator._resolve_condition_key = _resolve
    evaluator._first_match = _first_match
