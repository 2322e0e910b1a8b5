"""How many invocations run at once: reserved concurrency as Lambda has it.

ministack bounds a function by what is reserved for it, and all of them together by the account's limit. In AWS what one
function reserves is taken from all others whether it runs or not, and an account keeps 100 for functions that reserve
nothing: a small account cannot reserve at all.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

# What every account keeps for functions that reserve nothing.
UNRESERVED_AT_LEAST = 100
# The account's limit, as most have it; new ones have 10.
_limit = 1000


def control(asked: dict[str, Any]) -> Any:
    """`{"limit": n}` makes the account one of that limit; says how many invocations run, and of which function."""
    global _limit
    _limit = int(asked.get("limit", _limit))
    lambda_svc._ACCOUNT_CONCURRENCY_CAP = _limit
    running = {key.rpartition(":")[2]: count for key, count in lambda_svc._inflight.items()}
    return {"limit": _limit, "reserved": _reserved(), "running": running}


def _reserved() -> dict[str, int]:
    """What each function has reserved."""
    found = {name: lambda_svc._reserved_concurrency(f, f.get("config") or {}) for name, f in lambda_svc._functions.items()}
    return {name: count for name, count in found.items() if count is not None}


def _acquire(func: dict[str, Any], config: dict[str, Any]) -> tuple[str | None, str | None]:
    """A unit of the function's own reservation, or of what nobody has reserved."""
    own, key = lambda_svc._reserved_concurrency(func, config), lambda_svc._inflight_key(config)
    with lambda_svc._inflight_lock:
        if own is not None:
            if lambda_svc._inflight.get(key, 0) >= own:
                return None, "function"
        else:
            reserved = _reserved()
            open_to_all = sum(
                count for running, count in lambda_svc._inflight.items() if running.rpartition(":")[2] not in reserved
            )
            if open_to_all >= _limit - sum(reserved.values()):
                return None, "account"
        lambda_svc._inflight[key] = lambda_svc._inflight.get(key, 0) + 1
        lambda_svc._inflight_total += 1
    return key, None


def _put(name: str, data: dict[str, Any]) -> Any:
    """Refuses what would leave too little for the functions that reserve nothing."""
    wanted = int(data.get("ReservedConcurrentExecutions", 0))
    others = sum(count for other, count in _reserved().items() if other != name)
    if wanted > 0 and _limit - others - wanted < UNRESERVED_AT_LEAST:
        message = (
            "Specified ReservedConcurrentExecutions for function decreases account's "
            f"UnreservedConcurrentExecution below its minimum value of [{UNRESERVED_AT_LEAST}]."
        )
        return error_response_json("InvalidParameterValueException", message, 400)
    return _original_put(name, data)


_original_put: Any = None


def install() -> None:
    global _original_put
    _original_put = lambda_svc._put_function_concurrency
    lambda_svc._put_function_concurrency = _put
    lambda_svc._acquire_execution_slot = _acquire
    lambda_svc._ACCOUNT_CONCURRENCY_CAP = _limit
