"""Failures on demand: what AWS answers now and then, answered when a test asks for it.

A rule names a service, an operation and a pattern of what it is about (the object's key, the function's name), and how
often it strikes. The request is read to its end first, as AWS does, so that the caller sees the answer and no reset.

    {"service": "s3", "operation": "UploadPart", "match": "clusters/demo/shop/*", "answer": "SlowDown",
     "times": 3, "effect": false}

`answer` is an error code of ANSWERS, or `stall` (headers, some of the body, then nothing), or `silence` (no answer),
or `hold` (nothing until the rule is taken back, then the true answer). With `effect` the request is carried out first,
and its true answer is kept from the caller. `newer` makes the request one of the protocol's next version. `source` limits a
rule to one address, `skip` lets so many pass first.
"""

from __future__ import annotations

import asyncio
import contextvars
import fnmatch
import itertools
from dataclasses import asdict, dataclass, field
from typing import Any, Awaitable, Callable
from urllib.parse import parse_qs, unquote

from . import answers

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Status and words, as the services' error references have them.
ANSWERS = {
    "AccessDenied": (403, "Access Denied"),
    "SlowDown": (503, "Please reduce your request rate."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "ServiceUnavailable": (503, "Reduce your request rate."),
    "TooManyRequestsException": (429, "Rate Exceeded."),
    "ServiceException": (500, "The service encountered an internal error."),
    "RequestLimitExceeded": (503, "Request limit exceeded."),
    "ResourceNotFoundException": (404, "Function not found."),
    "NoSuchUpload": (404, "The specified upload does not exist."),
}
SPECIAL = ("stall", "silence", "hold", "newer")
FUNCTIONS = "/2015-03-31/functions/"
# A caller that never gives up is let go at last.
LONGEST = 900


@dataclass
class Rule:
    """One kind of request that fails, and how."""

    service: str
    operation: str
    answer: str
    match: str = "*"
    times: int | None = None
    skip: int = 0
    effect: bool = False
    source: str | None = None
    seen: int = 0
    struck: int = 0
    id: int = field(default_factory=itertools.count(1).__next__)

    def strikes(self, asked: tuple[str, str, str], source: str) -> bool:
        """Whether this request fails; counts it."""
        service, operation, about = asked
        if (service, operation) != (self.service, self.operation) or not fnmatch.fnmatchcase(about, self.match):
            return False
        if self.source not in (None, source) or (self.times is not None and self.struck >= self.times):
            return False
        self.seen += 1
        if self.seen <= self.skip:
            return False
        self.struck += 1
        return True


_rules: list[Rule] = []

newer: contextvars.ContextVar[bool] = contextvars.ContextVar("drawbridge_newer", default=False)
"""Whether the function is to be shown a request of the protocol's next version."""


def control(asked: dict[str, Any]) -> Any:
    """`{}` lists, `{"add": {...}}` adds and gives the id, `{"remove": id}` and `{"clear": true}` take back."""
    if "add" in asked:
        rule = Rule(**asked["add"])
        if rule.answer not in ANSWERS and rule.answer not in SPECIAL:
            raise ValueError(f"unknown answer {rule.answer!r}; there are {[*ANSWERS, *SPECIAL]}")
        _rules.append(rule)
        return {"id": rule.id}
    if "remove" in asked:
        _rules[:] = [rule for rule in _rules if rule.id != asked["remove"]]
    if asked.get("clear"):
        _rules.clear()
    return {"rules": [asdict(rule) for rule in _rules]}


async def serve(application: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers as `application` would, or as a rule says."""
    if not _rules:
        return await application(scope, receive, send)
    asked, receive = await _operation(scope, receive)
    source = scope["client"][0]
    rule = next((rule for rule in _rules if asked and rule.strikes(asked, source)), None)
    if rule is None:
        return await application(scope, receive, send)
    body, receive = await _read(receive)
    if rule.answer == "hold":
        await _until_removed(rule)
        return await application(scope, _replay(body, receive), send)
    if rule.answer == "newer":
        # Past the signature, which is the sender's: see functions.py.
        newer.set(True)
        return await application(scope, _replay(body, receive), send)
    if rule.effect:
        await application(scope, _replay(body, receive), _nowhere)
    if rule.answer in ANSWERS:
        return await answers.error(send, rule.service, ANSWERS[rule.answer][0], rule.answer, ANSWERS[rule.answer][1])
    if rule.answer == "stall":
        headers = [(b"content-type", b"application/xml"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'<?xml version="1.0"?>', "more_body": True})
    await _hang(receive)


async def _operation(scope: Scope, receive: Receive) -> tuple[tuple[str, str, str] | None, Receive]:
    """Service, operation and what it is about; a form's body is read for it."""
    path, method = unquote(scope["path"]), scope["method"]
    query = parse_qs(scope.get("query_string", b"").decode(), keep_blank_values=True)
    headers = {name.lower(): value for name, value in scope["headers"]}
    if path.startswith(FUNCTIONS) and path.endswith("/invocations"):
        name = path.removeprefix(FUNCTIONS).removesuffix("/invocations")
        return ("lambda", "Invoke", name.rpartition(":")[2]), receive
    if b"x-www-form-urlencoded" in headers.get(b"content-type", b""):
        body, receive = await _read(receive)
        form = parse_qs(body.decode("latin-1"))
        about = form.get("InstanceType", form.get("ClientToken", [""]))[0]
        return ("ec2", form.get("Action", [""])[0], about), _replay(body, receive)
    bucket, _, key = path.lstrip("/").partition("/")
    if not bucket:
        return None, receive
    return ("s3", _s3(method, query, key), key or bucket), receive


def _s3(method: str, query: dict[str, list[str]], key: str) -> str:
    match method:
        case "POST" if "uploads" in query:
            return "CreateMultipartUpload"
        case "POST" if "uploadId" in query:
            return "CompleteMultipartUpload"
        case "PUT" if "partNumber" in query:
            return "UploadPart"
        case "PUT" if key:
            return "PutObject"
        case "GET" if key:
            return "GetObject"
        case "GET":
            return "ListMultipartUploads" if "uploads" in query else "ListObjectsV2"
        case "DELETE":
            return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    return method


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body, receive


def _replay(body: bytes, receive: Receive) -> Receive:
    """A request that was read once, to be read again."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> dict[str, Any]:
        return first.pop() if first else await receive()

    return again


async def _nowhere(_: dict[str, Any]) -> None:
    """The true answer of a request whose answer gets lost."""


async def _hang(receive: Receive) -> None:
    """Until the caller has given up."""
    try:
        async with asyncio.timeout(LONGEST):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass


async def _until_removed(rule: Rule) -> None:
    for _ in range(LONGEST * 20):
        if rule not in _rules:
            return
        await asyncio.sleep(0.05)
