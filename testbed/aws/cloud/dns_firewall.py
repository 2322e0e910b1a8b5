"""Route 53 Resolver: calls of DNS Firewall go on to the back end, which has the VPCs, after they were authorized."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import get_account_id, get_region

from ..layout import CONTROL_PORT

SERVICE = "route53resolver"
Answer = tuple[int, dict[str, str], bytes]


def _forward(call: dict[str, Any]) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", CONTROL_PORT, timeout=20)
    try:
        connection.request("POST", f"/{SERVICE}", json.dumps(call))
        response = connection.getresponse()
        return response.status, {"Content-Type": "application/x-amz-json-1.1"}, response.read()
    finally:
        connection.close()


async def _handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Answer:
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    call = {"action": action, "parameters": json.loads(body or b"{}")}
    return await asyncio.to_thread(_forward, {**call, "account": get_account_id(), "region": get_region()})


def install() -> None:
    router.SERVICE_PATTERNS[SERVICE] = {"target_prefixes": ["Route53Resolver"], "host_patterns": [r"route53resolver\."]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE[SERVICE] = SERVICE
    iam_actions._SERVICE_PROTOCOL[SERVICE] = "json"
    app.SERVICE_HANDLERS[SERVICE] = _handle
