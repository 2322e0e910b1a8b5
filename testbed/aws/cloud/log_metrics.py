"""What CloudWatch makes of logs: metric filters, and metrics embedded in a function's lines (EMF). ministack stores
both and counts neither. A filter pattern that is not modelled is refused as it is made.
"""

from __future__ import annotations

import fnmatch
import json
import re
from dataclasses import dataclass
from typing import Any

from ministack import app
from ministack.core.responses import error_response_json
from ministack.services import cloudwatch_logs, lambda_svc

TERM = re.compile(r'\s*\$\.([\w.\-]+)\s*(=|!=)\s*(?:"([^"]*)"|([\w.*/\-]+))\s*')


class UnknownPattern(Exception):
    """A filter pattern that is more than terms joined by `&&`."""


@dataclass(frozen=True)
class Term:
    """`$.path = "text with *"`."""

    path: tuple[str, ...]
    equal: bool
    pattern: str

    def holds(self, document: Any) -> bool:
        value = at(document, self.path)
        return value is not None and fnmatch.fnmatchcase(str(value), self.pattern) == self.equal


def at(document: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        document = document.get(step) if isinstance(document, dict) else None
    return document


def parse(pattern: str) -> list[Term]:
    """`{ $.a = "x" && $.b.c = "y*" }`."""
    inner = re.fullmatch(r"\s*\{(.*)\}\s*", pattern, re.DOTALL)
    if inner is None:
        raise UnknownPattern(f"the filter pattern {pattern!r} is not modelled by the testbed: see cloud/log_metrics.py")
    terms = []
    for part in inner[1].split("&&"):
        found = TERM.fullmatch(part)
        if found is None:
            raise UnknownPattern(f"{part.strip()!r} in a filter pattern is not modelled by the testbed")
        path, operator, quoted, bare = found.groups()
        terms.append(Term(tuple(path.split(".")), operator == "=", bare if quoted is None else quoted))
    return terms


def heed(group: str, messages: list[str]) -> None:
    """Counts what the filters of a log group find in new lines."""
    cloudwatch = app._get_module("cloudwatch")
    filters = [f for f in cloudwatch_logs._metric_filters.values() if f["logGroupName"] == group]
    for message in messages:
        document = _document(message)
        for found in filters if document is not None else []:
            if all(term.holds(document) for term in parse(found["filterPattern"])):
                for wanted in found["metricTransformations"]:
                    value = wanted["metricValue"]
                    number = at(document, tuple(value[2:].split("."))) if value.startswith("$.") else value
                    named = wanted.get("dimensions") or {}
                    dimensions = {key: str(at(document, tuple(path[2:].split(".")))) for key, path in named.items()}
                    cloudwatch.record_metric(
                        wanted["metricNamespace"], wanted["metricName"], float(number), dimensions=dimensions
                    )


def embedded(messages: list[str]) -> None:
    """CloudWatch's embedded metric format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/."""
    cloudwatch = app._get_module("cloudwatch")
    for message in messages:
        document = _document(message)
        for directive in (at(document, ("_aws", "CloudWatchMetrics")) or []) if document else []:
            for names in directive.get("Dimensions") or [[]]:
                dimensions = {name: str(document[name]) for name in names}
                for metric in directive["Metrics"]:
                    values = document[metric["Name"]]
                    for value in values if isinstance(values, list) else [values]:
                        unit = metric.get("Unit", "None")
                        cloudwatch.record_metric(directive["Namespace"], metric["Name"], float(value), unit, dimensions)


def _document(message: str) -> Any:
    try:
        found = json.loads(message)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def put_event(group: str, stream: str, message: str) -> None:
    """A line that a service writes."""
    data = {"logGroupName": group, "logStreamName": stream}
    cloudwatch_logs._create_log_stream(data)
    cloudwatch_logs._put_log_events({**data, "logEvents": [{"message": message}]})


def install() -> None:
    put, put_filter, emit = (
        cloudwatch_logs._put_log_events,
        cloudwatch_logs._put_metric_filter,
        lambda_svc._emit_lambda_logs,
    )

    def put_and_heed(data: dict[str, Any]) -> Any:
        answer = put(data)
        if answer[0] == 200:
            heed(data["logGroupName"], [event.get("message", "") for event in data.get("logEvents", [])])
        return answer

    def put_known_filter(data: dict[str, Any]) -> Any:
        try:
            parse(data.get("filterPattern", ""))
        except UnknownPattern as error:
            return error_response_json("InvalidParameterException", str(error), 400)
        return put_filter(data)

    def emit_and_heed(func: dict[str, Any], request_id: str, log_text: str, *args: Any, **options: Any) -> None:
        emit(func, request_id, log_text, *args, **options)
        lines = (log_text or "").splitlines()
        embedded(lines)
        heed(f"/aws/lambda/{(func.get('config') or func).get('FunctionName')}", lines)

    cloudwatch_logs._put_log_events = put_and_heed
    cloudwatch_logs._put_metric_filter = put_known_filter
    lambda_svc._emit_lambda_logs = emit_and_heed
