"""ClientToken: the same request again gives what the first one made; another request under the token is refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Callable

from .errors import refuse
from .registry import LOCK

_answers: dict[tuple[str, str, str, str], tuple[str, Any]] = {}


def idempotent(action: str, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wraps a moto response method. Dry runs make nothing, so they are never remembered."""

    def wrapped(response: Any) -> Any:
        token = response._get_param("ClientToken")
        if not token or str(response._get_param("DryRun")).lower() == "true":
            return call(response)
        key = (response.current_account, response.region, action, token)
        request = {k: v for k, v in sorted(response.data.items()) if k != "ClientToken"}
        digest = hashlib.sha256(json.dumps(request, default=str).encode()).hexdigest()
        with LOCK:
            if key in _answers:
                first_digest, answer = _answers[key]
                if first_digest != digest:
                    raise refuse(
                        "IdempotentParameterMismatch",
                        "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
                    )
                return answer
            answer = call(response)
            _answers[key] = (digest, answer)
            return answer

    return wrapped
