"""What the instance host asks of the other two programs: the back end's control API and the emulator's private paths."""

from __future__ import annotations

import http.client
import json
from typing import Any

from ..layout import CONTROL_PORT, PRIVATE_PORT

Json = dict[str, Any]


class ServiceError(Exception):
    """One of the other programs did not answer as it should."""


def _call(port: int, method: str, path: str, body: Json | None = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body=json.dumps(body) if body is not None else None)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise ServiceError(f"{method} {path}: {response.status} {content[:300]!r}")
    return json.loads(content)


def snapshot() -> Json:
    return _call(CONTROL_PORT, "GET", "/instances")


def report(instance: Json, state: str, reason: str | None = None, code: str | None = None) -> None:
    """Tells the back end which state an instance reached."""
    _call(CONTROL_PORT, "POST", f"/instances/{instance['id']}", {"state": state, "reason": reason, "code": code})


def announce(instance: Json, state: str) -> None:
    """Puts EC2's state-change event on the event bus."""
    body = {"instance": instance["id"], "state": state, "account": instance["account"]}
    _call(PRIVATE_PORT, "POST", "/_testbed/instance-state", body)


def credentials(instance: Json, seconds: int) -> str:
    first = instance["nics"][0]
    known = {key: instance[key] for key in ("id", "account", "role", "region")}
    body = {"instance": {**known, "vpc": first["vpc"], "address": first["ip"]}, "seconds": seconds}
    return json.dumps(_call(PRIVATE_PORT, "POST", "/_testbed/credentials", body), indent=2)
