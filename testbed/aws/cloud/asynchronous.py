"""Asynchronous invocations: Lambda keeps an event until the function has taken it, or drops it.

ministack takes a throttled attempt for one that the function failed, and drops the event after the third. In AWS it goes
back into the queue for as long as `MaximumEventAgeInSeconds` lets it (six hours, if nobody said), and only the function's
own errors count against `MaximumRetryAttempts` (two). A function that may not run at all, its reserved concurrency being
0, keeps nothing. What is dropped goes nowhere: destinations are not modelled.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

RETRIES, AGE = "MaximumRetryAttempts", "MaximumEventAgeInSeconds"
DEFAULTS = {RETRIES: 2, AGE: 21_600}
BOUNDS = {RETRIES: (0, 2), AGE: (60, 21_600)}
# From a second on, twice as long each time.
LONGEST_PAUSE = 300.0


@dataclass(eq=False)
class Event:
    """One that Lambda has accepted. `due` is when it is tried again; None while the function has it."""

    function: str
    accepted: float = field(default_factory=time.monotonic)
    due: float | None = None


_kept: list[Event] = []
_changed = threading.Condition()
_original_put: Any = None


def control(asked: dict[str, Any]) -> dict[str, dict[str, int]]:
    """`{"age": n}` lets n seconds pass for every event; says how many are kept, and how many of them wait, by function."""
    with _changed:
        for event in _kept:
            event.accepted -= float(asked.get("age", 0))
            if event.due is not None:
                event.due -= float(asked.get("age", 0))
        _changed.notify_all()
        waiting = Counter(event.function for event in _kept if event.due is not None)
        return {"kept": dict(Counter(event.function for event in _kept)), "waiting": dict(waiting)}


def invoke(record: dict[str, Any], payload: Any) -> None:
    """Takes the place of ministack's `invoke_async_with_retry`."""
    config = record.get("config") or record
    event = Event(config["FunctionName"])
    with _changed:
        _kept.append(event)
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(_keep, event, config, payload), daemon=True).start()


def _keep(event: Event, config: dict[str, Any], payload: Any) -> None:
    account, region = lambda_svc._account_region_from_function_config(config)
    lambda_svc._request_account_id.set(account)
    lambda_svc._request_region.set(region)
    try:
        _serve(event, config["FunctionArn"], payload)
    finally:
        with _changed:
            _kept.remove(event)


def _serve(event: Event, arn: str, payload: Any) -> None:
    """Until the function took it, failed it too often, or it is too old."""
    errors, pause = 0, 1.0
    while (function := _function(arn)) and time.monotonic() - event.accepted <= _setting(function, AGE):
        result = lambda_svc._execute_function(function, payload)
        if not result.get("error"):
            return
        if result.get("throttle"):
            if lambda_svc._reserved_concurrency(function, function["config"]) == 0:
                return
            _wait(event, pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            continue
        errors += 1
        if errors > _setting(function, RETRIES):
            return
        # AWS waits a minute, then two.
        _wait(event, lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS * errors)


def _function(arn: str) -> dict[str, Any] | None:
    """As it is now, and not as it was when the event came; None if it is gone."""
    function, config, _ = lambda_svc._get_func_record_for_ref(arn)
    return lambda_svc._execution_record_for_config(function, config) if function and config else None


def _wait(event: Event, seconds: float) -> None:
    with _changed:
        event.due = time.monotonic() + seconds
        while (left := event.due - time.monotonic()) > 0:
            _changed.wait(left)
        event.due = None


def _setting(function: dict[str, Any], name: str) -> int:
    """`$LATEST` and no qualifier are the same function."""
    found = (lambda_svc._event_invoke_config(function, qualifier) for qualifier in ("$LATEST", None))
    return int(next((config[name] for config in found if config), DEFAULTS[name]))


def _put(name: str, qualifier: str | None, data: dict[str, Any]) -> Any:
    """Within the bounds that AWS sets."""
    for setting, (least, most) in BOUNDS.items():
        if not least <= int(data.get(setting, least)) <= most:
            message = f"{setting} is {data[setting]}; Lambda takes {least} to {most}"
            return error_response_json("InvalidParameterValueException", message, 400)
    return _original_put(name, qualifier, data)


def install() -> None:
    global _original_put
    _original_put = lambda_svc._put_event_invoke_config
    lambda_svc._put_event_invoke_config = _put
    lambda_svc.invoke_async_with_retry = invoke
