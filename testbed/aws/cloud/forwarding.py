"""EC2 calls go on to the back end, after ministack has authenticated and authorized them; so do instance profiles."""

from __future__ import annotations

import asyncio
import http.client
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from ministack import app
from ministack.core.responses import get_account_id

from ..layout import BACKEND_PORT

Answer = tuple[int, dict[str, str], bytes]

# The back end looks up instance profiles and their roles in its own IAM, which follows ministack's.
MIRRORED = frozenset(
    {
        "CreateRole",
        "DeleteRole",
        "CreateInstanceProfile",
        "DeleteInstanceProfile",
        "AddRoleToInstanceProfile",
        "RemoveRoleFromInstanceProfile",
    }
)
_HOP_HEADERS = {"host", "content-length", "transfer-encoding", "connection", "date", "server"}
_KEPT_BACK = {*_HOP_HEADERS, "x-amz-security-token", "x-moto-account-id"}


def _forward(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Answer:
    sent = {name: value for name, value in headers.items() if name.lower() not in _KEPT_BACK}
    sent["x-moto-account-id"] = get_account_id()
    # ministack merges a form body into the query, so a body stands for both
    pairs = [(k, v) for k, values in (query or {}).items() for v in (values if isinstance(values, list) else [values])]
    target = (quote(path).rstrip("/") or "/") + (f"?{urlencode(pairs)}" if pairs and not body else "")
    connection = http.client.HTTPConnection("127.0.0.1", BACKEND_PORT, timeout=60)
    try:
        connection.request(method, target, body=body or None, headers=sent)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    return response.status, {k: v for k, v in response.getheaders() if k.lower() not in _HOP_HEADERS}, content


async def _ec2(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Answer:
    return await asyncio.to_thread(_forward, method, path, headers, body, query)


def _form(body: bytes, query: dict[str, Any]) -> dict[str, str]:
    form = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True)) if body else {}
    form.update({k: v[0] if isinstance(v, list) else v for k, v in (query or {}).items()})
    return form


def install() -> None:
    app._get_module("ec2").handle_request = _ec2
    iam = app._get_module("iam")
    original = iam.handle_request

    async def handle_iam(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Answer:
        answer: Answer = await original(method, path, headers, body, query)
        form = _form(body, query)
        if answer[0] < 300 and form.get("Action") in MIRRORED:
            sent = {**headers, "content-type": "application/x-www-form-urlencoded"}
            await asyncio.to_thread(_forward, "POST", "/", sent, urlencode(form).encode(), {})
        return answer

    iam.handle_request = handle_iam
