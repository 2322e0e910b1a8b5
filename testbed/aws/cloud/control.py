"""Asks the EC2 back end's control API; blocking, so callers on the event loop use a thread."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlencode

from ..layout import CONTROL_PORT


class ControlError(Exception):
    """The control API did not answer as it should; nothing may be decided on a guess."""


def get(path: str, **query: str | list[str]) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", CONTROL_PORT, timeout=20)
    try:
        connection.request("GET", f"{path}?{urlencode(query, doseq=True)}")
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise ControlError(f"GET {path}: {response.status} {body[:200]!r}")
    return json.loads(body)
