"""AWS's clock: a request that was signed too long ago, or in the future, is refused. ministack does not look.

S3 allows 15 minutes either way (RequestTimeTooSkewed), every other service five (InvalidSignatureException). Presigned
URLs carry their own life, which ministack does check.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Iterable

S3_TOLERANCE = timedelta(minutes=15)
TOLERANCE = timedelta(minutes=5)
FORMAT = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Skewed:
    """A signature whose time is too far from ours."""

    service: str
    code: str
    message: str


def refusal(headers: Iterable[tuple[bytes, bytes]], now: datetime | None = None) -> Skewed | None:
    """Why a signed request is refused for its time, if it is."""
    found = {name.lower(): value.decode("latin-1") for name, value in headers}
    scope, date = _scope(found.get(b"authorization", "")), found.get(b"x-amz-date", "")
    if len(scope) != 5 or not date:
        return None
    service, now = scope[3], now or datetime.now(timezone.utc)
    try:
        signed = datetime.strptime(date, FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        return Skewed(service, "InvalidSignatureException", f"X-Amz-Date {date} cannot be read")
    if service == "s3":
        if abs(now - signed) <= S3_TOLERANCE:
            return None
        words = "The difference between the request time and the current time is too large."
        return Skewed(service, "RequestTimeTooSkewed", words)
    if abs(now - signed) <= TOLERANCE:
        return None
    if signed < now:
        words = f"Signature expired: {date} is now earlier than {now - TOLERANCE:{FORMAT}} ({now:{FORMAT}} - 5 min.)"
    else:
        words = f"Signature not yet current: {date} is still later than {now + TOLERANCE:{FORMAT}} ({now:{FORMAT}} + 5 min.)"
    return Skewed(service, "InvalidSignatureException", words)


def _scope(authorization: str) -> list[str]:
    """The credential's parts: access key, day, region, service, `aws4_request`."""
    if not authorization.startswith("AWS4-"):
        return []
    return authorization.partition("Credential=")[2].partition(",")[0].split("/")
