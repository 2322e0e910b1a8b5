"""Policies that judge a request whoever made it: the gateway endpoint's, and a bucket's when nobody signed.

The endpoint's policy judges every request that comes through, the account root's and unsigned ones too; there must be
an Allow. Unsigned requests to S3 are for ministack's evaluator the root's own, so most of them succeed there.
"""

from __future__ import annotations

from typing import Any

from ministack.core import iam_evaluator as evaluator
from ministack.core.responses import get_account_id

from . import request

ANONYMOUS = "*"


def refused_by_endpoint(access_key: str, action: str, region: str, resource: str, context: dict[str, Any]) -> Any:
    """None if the request did not come through an endpoint or its policy allows; else ministack's form of a denial."""
    now = request.current()
    if now.endpoint is None:
        return None
    principal = evaluator.resolve_principal(access_key, get_account_id()) if access_key else None
    if isinstance(principal, evaluator.AuthError):
        return principal
    result = evaluator.evaluate_resource_policy(
        now.origin["policy"], _facts(principal, action, region, resource, context)
    )
    if result.decision == "Allow":
        return None
    result.principal_arn = principal.arn if principal else ANONYMOUS
    result.reason = f"the policy of {now.endpoint} does not allow it"
    return result


def refused_to_nobody(action: str, region: str, resource: str, context: dict[str, Any]) -> Any:
    """Of an unsigned S3 request, whether the bucket's policy lets anyone do it; access lists are not looked at."""
    found = evaluator._resource_policy("s3", resource)
    facts = _facts(None, action, region, resource, context)
    result = evaluator.evaluate_resource_policy(found[0] if found else None, facts)
    if result.decision == "Allow":
        return None
    result.principal_arn, result.reason = ANONYMOUS, "the request is not signed"
    return result


def is_unsigned(access_key: str, service: str) -> bool:
    return service == "s3" and not access_key and evaluator._anonymous.get()


def _facts(principal: Any, action: str, region: str, resource: str, context: dict[str, Any]) -> Any:
    return evaluator.EvalContext(
        principal_arn=principal.arn if principal else ANONYMOUS,
        principal_type=principal.type if principal else "Anonymous",
        principal_account=principal.account if principal else "",
        action=action,
        resource_arn=resource,
        region=region,
        service_context={key.lower(): value for key, value in context.items()},
        principal_keys=principal.keys if principal else {},
    )
