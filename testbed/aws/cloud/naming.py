"""Actions and resources that ministack's IAM names otherwise than AWS does, put right before anything is decided."""

from __future__ import annotations

import json
from typing import Any

from ministack.core import iam_actions

# Method and last part of a path under /functions/NAME/ -> the action. ministack takes both for something else.
LAMBDA_ACTIONS = {
    ("GET", "concurrency"): "lambda:GetFunctionConcurrency",
    ("DELETE", "concurrency"): "lambda:DeleteFunctionConcurrency",
    ("GET", "urls"): "lambda:ListFunctionUrlConfigs",
}

_original_action = iam_actions.extract_iam_action
_original_resource = iam_actions.extract_resource_arn


def _action(service: str, method: str, path: str, *rest: Any, **named: Any) -> str | None:
    if service == "lambda":
        parts = [part for part in path.split("/") if part]
        if "functions" in parts and (known := LAMBDA_ACTIONS.get((method, parts[-1]))):
            return known
    return _original_action(service, method, path, *rest, **named)


def _resource(
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query: dict[str, Any],
    region: str,
    account: str,
) -> str:
    found: str = _original_resource(service, method, path, headers, body, query, region, account)
    if service == "events" and (rule := _rule(body)):
        # A rule of the default bus carries no bus in its name.
        return f"arn:aws:events:{region}:{account}:rule/{rule}"
    profile = query.get("InstanceProfileName") if service == "iam" and found == "*" else None
    if profile:
        name = profile[0] if isinstance(profile, list) else profile
        return f"arn:aws:iam::{account}:instance-profile/{name}"
    return found


def _rule(body: bytes) -> str | None:
    try:
        asked = json.loads(body or b"{}")
    except ValueError:
        return None
    if not isinstance(asked, dict) or asked.get("EventBusName", "default") != "default":
        return None
    return next((asked[key] for key in ("Rule", "RuleName", "Name") if isinstance(asked.get(key), str)), None)


def install() -> None:
    iam_actions.extract_iam_action = _action
    iam_actions.extract_resource_arn = _resource
