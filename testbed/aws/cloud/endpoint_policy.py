"""The gateway endpoint's policy, which a request through the endpoint needs besides what its identity may do.

It judges every request that comes through, the account root's and unsigned ones too; there must be an Allow.
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
    facts = evaluator.EvalContext(
        principal_arn=principal.arn if principal else ANONYMOUS,
        principal_type=principal.type if principal else "Anonymous",
        principal_account=principal.account if principal else "",
        action=action,
        resource_arn=resource,
        region=region,
        service_context={key.lower(): value for key, value in context.items()},
        principal_keys=principal.keys if principal else {},
    )
    result = evaluator.evaluate_resource_policy(now.origin["policy"], facts)
    if result.decision == "Allow":
        return None
    result.principal_arn = facts.principal_arn
    result.reason = f"the policy of {now.endpoint} does not allow it"
    return result
