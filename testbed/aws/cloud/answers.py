"""An error as the caller's protocol has it: S3's XML, the query services' XML, everyone else's JSON."""

from __future__ import annotations

import json
from typing import Any, Awaitable, Callable

Send = Callable[[dict[str, Any]], Awaitable[None]]
QUERY = ("ec2", "iam", "sts")


async def error(send: Send, service: str, status: int, code: str, message: str) -> None:
    """Sends the whole answer. The message has no markup in it, so nothing needs to be escaped."""
    xml = service == "s3" or service in QUERY
    if xml:
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        text = text if service == "s3" else f"<Response><Errors>{text}</Errors><RequestID>refused</RequestID></Response>"
        body = f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
    else:
        body = json.dumps({"Type": "User", "message": message}).encode()
    headers = [
        (b"content-type", b"application/xml" if xml else b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-errortype", code.encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
