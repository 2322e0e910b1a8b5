"""AWS's services as callers: whether a resource's own policy lets one do something for a source."""

from __future__ import annotations

from typing import Any

from ministack.core import iam_evaluator as evaluator
from ministack.core.responses import get_account_id, get_region

from . import audit


def may(service: str, action: str, resource: str, source_arn: str, policy: Any, **context: str) -> bool:
    """Judges by `policy` alone: a service has no policy of its own. Written to the audit log."""
    facts = evaluator.EvalContext(
        principal_arn=f"service:{service}",
        principal_type="Service",
        principal_account=get_account_id(),
        action=action,
        resource_arn=resource,
        region=get_region(),
        service_context={
            "aws:sourcearn": source_arn,
            "aws:sourceaccount": get_account_id(),
            **{key.lower(): value for key, value in context.items()},
        },
    )
    allowed = evaluator.evaluate_resource_policy(policy, facts, service=service).decision == "Allow"
    audit.write("allow" if allowed else "deny", action, resource, who=service, reason=source_arn)
    return bool(allowed)
