"""CloudWatch's alarms: ministack looks only at what arrives, over all dimensions, and knows no missing data.

Here every alarm is judged once a second, period by period, on the metric of its own dimensions, and what is missing
counts as the alarm says. Periods end now, not at full minutes; CloudWatch also takes points that are a little older
than the window where some are missing, so its silence may be noticed up to a few periods later.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from typing import Any

from ministack import app
from ministack.core.responses import request_scope

from ..layout import ACCOUNT, REGION
from . import services

logger = logging.getLogger("drawbridge.alarms")
SECONDS = 1.0
COMPARISONS = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


def verdict(values: list[float | None], alarm: dict[str, Any]) -> str | None:
    """The state that the periods' values give, missing ones being None; None where the alarm is to stay as it is."""
    compare, treat = COMPARISONS[alarm["ComparisonOperator"]], alarm.get("TreatMissingData", "missing")
    present = [value for value in values if value is not None]
    if not present and treat == "missing":
        return "INSUFFICIENT_DATA"
    if not present and treat == "ignore":
        return None
    breaching = sum(bool(compare(value, alarm["Threshold"])) for value in present)
    if treat == "breaching":
        breaching += len(values) - len(present)
    return "ALARM" if breaching >= alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]) else "OK"


def by_period(points: list[tuple[float, Any]], period: int, count: int, now: float) -> list[list[Any]]:
    """What was measured in each of the last `count` periods, the newest first."""
    found: list[list[Any]] = [[] for _ in range(count)]
    for moment, point in points:
        index = int((now - moment) // period)
        if 0 <= index < count:
            found[index].append(point)
    return found


def _evaluate(alarm: dict[str, Any]) -> None:
    cloudwatch = app._get_module("cloudwatch")
    wanted = {d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])}
    key = (alarm.get("Namespace"), alarm.get("MetricName"), cloudwatch._dims_key(wanted))
    points = [(point["Timestamp"], point) for point in list(cloudwatch._metrics.get(key, []))]
    values = []
    for measured in by_period(points, alarm["Period"], alarm["EvaluationPeriods"], time.time()):
        statistics = cloudwatch._calc_stats(measured) if measured else None
        values.append(cloudwatch._stat_value(statistics, alarm["Statistic"], measured) if statistics else None)
    state, before = verdict(values, alarm), alarm["StateValue"]
    if state is None or state == before:
        return
    reason = f"{alarm['Statistic']} of the last {len(values)} periods of {alarm['Period']} s, newest first: {values}"
    alarm["StateValue"], alarm["StateReason"], alarm["StateUpdatedTimestamp"] = state, reason, int(time.time())
    cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)


def _tell_whom_it_may(alarm: dict[str, Any], *change: str) -> None:
    """A topic whose policy does not let CloudWatch publish hears nothing, as in AWS."""
    sns = app._get_module("sns")
    allowed = copy.copy(alarm)
    for name in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        topics = [topic for topic in alarm.get(name) or [] if topic in sns._topics]
        allowed[name] = [
            topic
            for topic in topics
            if services.may(
                "cloudwatch.amazonaws.com",
                "sns:Publish",
                topic,
                alarm["AlarmArn"],
                sns._topics[topic].get("attributes", {}).get("Policy"),
            )
        ]
    _original_dispatch(allowed, *change)


def _watch(stop: threading.Event) -> None:
    cloudwatch = app._get_module("cloudwatch")
    while not stop.wait(SECONDS):
        with request_scope(ACCOUNT, REGION):
            for alarm in list(cloudwatch._alarms.values()):
                try:
                    _evaluate(alarm)
                except Exception:
                    logger.exception("alarm %s", alarm.get("AlarmName"))


_original_dispatch: Any = None


def install() -> None:
    global _original_dispatch
    cloudwatch = app._get_module("cloudwatch")
    _original_dispatch = cloudwatch._dispatch_alarm_actions
    cloudwatch._dispatch_alarm_actions = _tell_whom_it_may
    cloudwatch._evaluate_alarm = _evaluate
    threading.Thread(target=_watch, args=(threading.Event(),), name="alarms", daemon=True).start()
