"""The front of the emulator: which addresses serve what, where a request comes from, and failures that must be seen.

The local address of the connection decides: 198.51.100.3 serves S3 and nothing else, 198.51.100.2 every service, and only
loopback and the host's link reach the emulator's own administration and the testbed's private paths. Whether the connection
is TLS decides `aws:SecureTransport`; a header that says so is dropped. Plain HTTP is for S3 alone.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from typing import Any, Awaitable, Callable
from urllib.parse import parse_qs

from ministack import app as ministack
from ministack.core.router import detect_service

from ..layout import API_ADDRESS, CLIENTS_RANGE, INTERNET_RANGE, PRIVATE_PORT, S3_ADDRESS
from . import answers, asynchronous, audit, clock, concurrency, control, faults, functions, instance_credentials, pod_identity
from .conditions import UnjudgeablePolicy
from .request import Request, begin

PRIVATE_PATH = "/_testbed/"
ADMINISTRATION = ("/_ministack", "/_localstack", "/_aws", PRIVATE_PATH.rstrip("/"))
# Sources that are no address of a VPC: the run's internet, the host's link, loopback.
NOT_VPC = [ipaddress.ip_network(r) for r in (INTERNET_RANGE, CLIENTS_RANGE, "172.29.0.0/16", "127.0.0.0/8")]

CALLED_VIA = b"x-testbed-called-via"

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        if scope["type"] == "lifespan" or scope["server"][0] not in (API_ADDRESS, S3_ADDRESS):
            await ministack.app(scope, receive, send)
        return
    source, local, path = scope["client"][0], scope["server"][0], scope["path"]
    secure = scope["scheme"] == "https"
    scope = {**scope, "headers": _without_claims(scope["headers"])}
    public = local in (API_ADDRESS, S3_ADDRESS)
    # Only the host's link may say that CloudFormation speaks: nobody inside a run can.
    called_via = None if public else _header(scope, CALLED_VIA)
    origin, method = await _origin(source), scope["method"]
    begin(Request(source=source, local=local, method=method, secure=secure, origin=origin, called_via=called_via))
    if public and path.startswith(ADMINISTRATION):
        return await _refuse(send, 403, "AccessDenied", "this path serves the testbed's host only")
    only_s3 = local == S3_ADDRESS or not (secure or scope["server"][1] == PRIVATE_PORT)
    if only_s3 and (wrong := _not_s3(scope, local)):
        audit.write("deny", wrong, path, reason="not S3, where only S3 answers")
        return await _refuse(send, 403, "AccessDenied", f"only S3 answers here, not {wrong}")
    if path.startswith(PRIVATE_PATH):
        return await _private(path, receive, send)
    if skewed := clock.refusal(scope["headers"]):
        await _drain(receive)
        return await answers.error(send, skewed.service, 403, skewed.code, skewed.message)
    started = False

    async def watched_send(message: dict[str, Any]) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        await faults.serve(ministack.app, scope, receive, watched_send)
    except UnjudgeablePolicy as error:
        if started:
            raise
        await _refuse(send, 500, "UnjudgeablePolicy", str(error))


async def _origin(source: str) -> dict[str, Any]:
    """Of a private address, its VPC and endpoint, asked anew each time: route tables and policies may change."""
    address = ipaddress.ip_address(source)
    if any(address in known for known in NOT_VPC):
        return {}
    return await asyncio.to_thread(control.get, "/origin", address=source)


def _without_claims(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers but those by which a proxy would say how the client reached it: there is no proxy."""
    return [header for header in headers if not header[0].lower().startswith(b"x-forwarded-")]


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), None)


def _not_s3(scope: Scope, local: str) -> str | None:
    """The service that a request is really for, if it is not S3."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = parse_qs(scope.get("query_string", b"").decode(), keep_blank_values=True)
    if headers.get("host", "").partition(":")[0] != local:
        return f"host {headers.get('host')}"
    form = scope["method"] == "POST" and "x-www-form-urlencoded" in headers.get("content-type", "")
    if "x-amz-target" in headers or "Action" in query or form:
        return "an action"
    credential = (query.get("X-Amz-Credential") or [headers.get("authorization", "")])[0]
    parts = credential.split("Credential=")[-1].split(",")[0].split("/")
    if len(parts) == 5 and parts[3] != "s3":
        return parts[3]
    service = detect_service(scope["method"], scope["path"], headers, query)
    return None if service == "s3" else service


async def _drain(receive: Receive) -> None:
    """Reads a request that is refused to its end, so that its sender sees the answer and no reset."""
    while (await receive()).get("more_body", False):
        pass


async def _refuse(send: Send, status: int, code: str, message: str) -> None:
    """An error that S3 and query clients read as XML; the message is escaped by having no markup in it."""
    text = message.replace("&", "and").replace("<", "(").replace(">", ")")
    error = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
    body = f'<?xml version="1.0"?><ErrorResponse>{error}<Errors>{error}</Errors></ErrorResponse>'.encode()
    headers = [
        (b"content-type", b"application/xml"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-errortype", code.encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _private(path: str, receive: Receive, send: Send) -> None:
    """What the instance host asks and reports."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    asked = json.loads(body or b"{}")
    result: Any = {}
    match path.removeprefix(PRIVATE_PATH):
        case "credentials":
            result = instance_credentials.issue(asked["instance"], asked["seconds"])
        case "pod-identity":
            result = pod_identity.issue(**asked)
        case "instance-state":
            await asyncio.to_thread(
                functions.instance_state_changed, asked["instance"], asked["state"], asked["account"]
            )
        case "concurrency":
            result = concurrency.control(asked)
        case "queue":
            result = asynchronous.control(asked)
        case "faults":
            result = faults.control(asked)
        case "ready":
            pass
        case _:
            return await _refuse(send, 404, "NotFound", f"no private path {path}")
    payload = json.dumps(result).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": payload})
