"""Every action's decision: identity and resource policies by ministack, the rest by what stands here.

One API call may need several permissions: on each resource that it names, on tags that it sets, on a role that it
passes, on headers that it carries. All of them must be allowed, and each by the endpoint's policy too when the
request came through an endpoint.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator as evaluator
from ministack.core.responses import get_account_id

from . import audit, ec2_authorization, encryption, kms_context, request, trail
from .anyones_policy import is_unsigned, refused_by_endpoint, refused_to_nobody
from .s3_context import HEADER_ACTIONS, retention

_original_enforce = evaluator.enforce
_original_tags = iam_actions.request_tag_context

# Action -> where its JSON body names the role that it hands to a service.
PASSES_ROLE = {
    "lambda:CreateFunction": (("Role",), "lambda.amazonaws.com"),
    "lambda:UpdateFunctionConfiguration": (("Role",), "lambda.amazonaws.com"),
    "scheduler:CreateSchedule": (("Target", "RoleArn"), "scheduler.amazonaws.com"),
    "scheduler:UpdateSchedule": (("Target", "RoleArn"), "scheduler.amazonaws.com"),
}


@dataclass(frozen=True)
class Check:
    """One permission that a call needs."""

    action: str
    resource: str
    context: dict[str, Any]

    @property
    def service(self) -> str:
        return self.action.partition(":")[0]


def _remember(service: str, action: str, body: bytes, parameters: dict[str, Any]) -> dict[str, Any]:
    """ministack calls this with every request's parameters before it enforces."""
    now = request.current()
    now.parameters, now.body = parameters, body
    found = dict(_original_tags(service, action, body, parameters) or {})
    return {**found, **ec2_authorization.request_tags(now)} if service == "ec2" else found


def enforce(
    access_key: str,
    action: str,
    service: str,
    region: str,
    resource_arn: str = "*",
    service_context: dict[str, Any] | None = None,
) -> Any:
    """Takes the place of ministack's own; None is yes."""
    context = {**_instance_context(access_key), **(service_context or {})}
    if service == "kms":
        context |= kms_context.facts(action)
    if action == "s3:PutObjectRetention":
        context |= retention(request.current().body)
    checks = [Check(action, resource_arn, context)]
    if service == "ec2":
        found = ec2_authorization.checks(action, region, get_account_id(), context)
        checks = [Check(*check) for check in found] if found is not None else checks
    elif service == "s3":
        if action == "s3:PutObject" and "/" in resource_arn:
            headers = request.current().headers
            # AWS does not say that the further right is judged with the request's lock, so nothing may lean on it.
            plain = {key: value for key, value in context.items() if not key.startswith("s3:object-lock-")}
            checks += [
                Check(needed, resource_arn, plain) for header, needed in HEADER_ACTIONS.items() if headers.get(header)
            ]
        checks += [Check(*check) for check in encryption.needs(action, resource_arn, region, context)]
    checks += _passed_roles(action, context)
    for check in checks:
        # The first check keeps ministack's name of the service, by which it finds the resource's own policy.
        used = service if check.action.partition(":")[0] == action.partition(":")[0] else check.service
        if is_unsigned(access_key, service):
            denied = refused_to_nobody(check.action, region, check.resource, check.context)
        else:
            denied = _original_enforce(access_key, check.action, used, region, check.resource, check.context)
        if check.service != "kms":  # S3 asks KMS itself, and not through anybody's endpoint
            denied = denied or refused_by_endpoint(access_key, check.action, region, check.resource, check.context)
        _audit(check, denied)
        if denied:
            return denied
    return None


def _passed_roles(action: str, context: dict[str, Any]) -> list[Check]:
    if action not in PASSES_ROLE:
        return []
    path, service = PASSES_ROLE[action]
    try:
        value = json.loads(request.current().body or b"{}")
        for name in path:
            value = (value or {}).get(name)
    except ValueError:
        return []
    return [Check("iam:PassRole", value, {**context, "iam:PassedToService": service})] if value else []


def _instance_context(access_key: str) -> dict[str, Any]:
    """Credentials that the metadata service delivered carry where they were delivered to."""
    session = app._get_module("sts")._sessions.get(access_key) or {}
    return session.get("DrawbridgeInstance", {})


def _audit(check: Check, denied: Any) -> None:
    reason = None
    if denied:
        reason = getattr(denied, "reason", None) or getattr(denied, "code", None)
    audit.write("deny" if denied else "allow", check.action, check.resource, who=evaluator.caller_arn(), reason=reason)
    trail.record(check.action, check.resource, evaluator.caller_arn(), "AccessDenied" if denied else None)


def install() -> None:
    evaluator.enforce = enforce
    iam_actions.request_tag_context = _remember
