"""What KMS tells the policies of a request, which ministack leaves out: how to sign, and with what kind of key.

https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html. A parameter that the request does not carry
has no value here, so that a policy which wants one sees only what was said outright.
"""

from __future__ import annotations

import json
from typing import Any

from ministack import app

from . import request

# Parameter of the request -> condition key, for the actions that have it.
OF_THE_REQUEST = {"SigningAlgorithm": "kms:SigningAlgorithm", "MessageType": "kms:MessageType"}
SIGNING = frozenset({"kms:Sign", "kms:Verify"})


def facts(action: str) -> dict[str, Any]:
    """The condition keys of the request that is being served."""
    body = _body()
    found = {key: body[name] for name, key in OF_THE_REQUEST.items() if action in SIGNING and name in body}
    key = app._get_module("kms")._resolve_key(str(body.get("KeyId", ""))) or body
    # A key that is being made is described by the request.
    return found | {f"kms:{name}": key[name] for name in ("KeySpec", "KeyUsage") if name in key}


def _body() -> dict[str, Any]:
    try:
        found = json.loads(request.current().body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
