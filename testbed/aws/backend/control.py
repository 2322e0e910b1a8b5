"""The control API: what the instance host reports and asks, what the emulator asks, what tests look at and inject.

GET  /instances                          everything, as the instance host needs it
POST /instances/ID   {state, reason, code}   a state that the machine reached
GET  /resources?account=A&id=ID&id=ID    tags and properties, for condition keys
GET  /origin?address=A                   VPC and endpoint of a private address
GET|POST /capacity   {type, available}   RunInstances of a type gives InsufficientInstanceCapacity
POST /visibility     {milliseconds}      a new instance is unknown for so long
POST /route53resolver  {action, parameters, account, region}   a call of DNS Firewall that was authorized
"""

from __future__ import annotations

import json
import traceback
from typing import Any, Callable, Iterable
from urllib.parse import parse_qs

from . import dns_firewall, filters, lifecycle, snapshot
from .registry import LOCK, instances

Answer = tuple[int, Any]


def _report(instance_id: str, body: dict[str, Any]) -> Answer:
    for _, _, _, instance in instances():
        if instance.id == instance_id:
            lifecycle.report(instance, body["state"], body.get("reason"), body.get("code"))
            return 200, {"state": instance._state.name}
    return 404, {"error": f"no instance {instance_id}"}


def _capacity(body: dict[str, Any] | None) -> Answer:
    if body is not None:
        (lifecycle.no_capacity.discard if body["available"] else lifecycle.no_capacity.add)(body["type"])
    return 200, {"unavailable": sorted(lifecycle.no_capacity)}


def _visibility(body: dict[str, Any]) -> Answer:
    filters.hidden_seconds = float(body["milliseconds"]) / 1000
    return 200, {"milliseconds": body["milliseconds"]}


def _firewall(body: dict[str, Any]) -> Answer:
    try:
        with LOCK:
            return 200, dns_firewall.STATE.call(**body)
    except dns_firewall.Refused as refused:
        return 400, {"__type": refused.code, "message": str(refused)}


def answer(method: str, path: str, query: dict[str, list[str]], body: Any) -> Answer:
    parts = path.strip("/").split("/")
    match (method, *parts):
        case ("GET", "instances"):
            lifecycle.forget_ended()
            return 200, snapshot.everything()
        case ("POST", "instances", instance_id):
            return _report(instance_id, body)
        case ("GET", "resources"):
            return 200, snapshot.resources(query["account"][0], query.get("id", []))
        case ("GET", "origin"):
            return 200, snapshot.origin(query["address"][0])
        case ("GET", "capacity"):
            return _capacity(None)
        case ("POST", "capacity"):
            return _capacity(body)
        case ("POST", "visibility"):
            return _visibility(body)
        case ("POST", "route53resolver"):
            return _firewall(body)
    return 404, {"error": f"the control API has no {method} {path}"}


def application(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """The control API as a WSGI application."""
    length = int(environment.get("CONTENT_LENGTH") or 0)
    try:
        body = json.loads(environment["wsgi.input"].read(length)) if length else None
        query = parse_qs(environment.get("QUERY_STRING", ""))
        status, result = answer(environment["REQUEST_METHOD"], environment["PATH_INFO"], query, body)
    except Exception as error:
        traceback.print_exc()
        status, result = 500, {"error": repr(error)}
    payload = json.dumps(result).encode()
    start(f"{status} -", [("Content-Type", "application/json"), ("Content-Length", str(len(payload)))])
    return [payload]
