"""The audit log: one JSON line for every decision, with who, what, on what, from where, through which endpoint."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

from . import request

_lock = threading.Lock()
_file = open(os.environ["DRAWBRIDGE_AUDIT_LOG"], "a", buffering=1) if "DRAWBRIDGE_AUDIT_LOG" in os.environ else None


def write(decision: str, action: str, resource: str, **more: Any) -> None:
    """`decision` is allow, deny or error; `more` says who and why."""
    if _file is None:
        return
    now = request.current()
    line = {
        "time": round(time.time(), 3),
        "decision": decision,
        "action": action,
        "resource": resource,
        "source": now.source,
        "endpoint": now.endpoint,
        "plain_http": True if now.source and not now.secure else None,
        **more,
    }
    with _lock:
        _file.write(json.dumps({key: value for key, value in line.items() if value is not None}) + "\n")
