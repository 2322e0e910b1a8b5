"""S3's condition keys that ministack lacks, and the further actions that a PutObject's headers need."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl

from ministack.core import iam_actions

from . import request

# A header of PutObject that sets something besides the object needs the right to set that, too.
HEADER_ACTIONS = {
    "x-amz-tagging": "s3:PutObjectTagging",
    "x-amz-object-lock-mode": "s3:PutObjectRetention",
    "x-amz-object-lock-legal-hold": "s3:PutObjectLegalHold",
}
_HEADER_KEYS = {
    "if-none-match": "s3:if-none-match",
    "if-match": "s3:if-match",
    "x-amz-server-side-encryption-aws-kms-key-id": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class": "s3:x-amz-storage-class",
    "x-amz-copy-source": "s3:x-amz-copy-source",
    "x-amz-object-lock-mode": "s3:object-lock-mode",
    "x-amz-object-lock-legal-hold": "s3:object-lock-legal-hold",
    "x-amz-server-side-encryption-customer-algorithm": "s3:x-amz-server-side-encryption-customer-algorithm",
}
RETAIN_UNTIL = "x-amz-object-lock-retain-until-date"
REMAINING = "s3:object-lock-remaining-retention-days"

_original = iam_actions.s3_service_context


def _context(
    action: str, query: dict[str, Any] | None, path: str = "", headers: dict[str, str] | None = None
) -> dict[str, Any]:
    query, headers = query or {}, headers or {}
    request.current().headers = dict(headers)
    found = dict(_original(action, query, path, headers) or {})
    found.update(_signature(query, headers))
    if action == "s3:PutObject":
        found.update({key: headers[header] for header, key in _HEADER_KEYS.items() if headers.get(header)})
        if headers.get(RETAIN_UNTIL):
            found[REMAINING] = str(remaining_days(headers[RETAIN_UNTIL]))
        found["s3:ObjectCreationOperation"] = str(creates_object(query)).lower()
        for name, value in parse_qsl(headers.get("x-amz-tagging", ""), keep_blank_values=True):
            found[f"s3:RequestObjectTag/{name}"] = value
    return found


def retention(body: bytes) -> dict[str, str]:
    """What PutObjectRetention asks for stands in its body."""
    found = {}
    text = body.decode(errors="replace")
    if mode := re.search(r"<Mode>\s*(\w+)", text):
        found["s3:object-lock-mode"] = mode[1]
    if until := re.search(r"<RetainUntilDate>\s*([^<\s]+)", text):
        found[REMAINING] = str(remaining_days(until[1]))
    return found


def remaining_days(until: str) -> int:
    """Whole days from now; AWS does not say how it rounds, so the stricter way is taken."""
    moment = datetime.fromisoformat(until)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    seconds = (moment - datetime.now(timezone.utc)).total_seconds()
    return -int(-seconds // 86_400)


def creates_object(query: dict[str, Any]) -> bool:
    """Starting an upload and uploading a part need s3:PutObject but create no object; completing it does."""
    return "uploads" not in query and "partNumber" not in query


def _signature(query: dict[str, Any], headers: dict[str, str]) -> dict[str, str]:
    presigned = "X-Amz-Signature" in query
    if not presigned and not headers.get("authorization"):
        return {}
    found = {
        "s3:authType": "REST-QUERY-STRING" if presigned else "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
    }
    if headers.get("x-amz-content-sha256"):
        found["s3:x-amz-content-sha256"] = headers["x-amz-content-sha256"]
    return found


def install() -> None:
    iam_actions.s3_service_context = _context
