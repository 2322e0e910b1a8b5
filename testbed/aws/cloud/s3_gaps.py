"""What S3 refuses and ministack does not: small parts, and an upload completed twice when it must not overwrite."""

from __future__ import annotations

import re
from typing import Any

from ministack import app

MINIMUM_PART = 5 * 1024 * 1024

Answer = tuple[int, dict[str, str], bytes]


def install() -> None:
    s3 = app._get_module("s3")
    original = s3._complete_multipart_upload

    def complete(
        bucket: str, key: str, body: bytes, query: dict[str, Any], headers: dict[str, str] | None = None
    ) -> Answer:
        upload_id = s3._qp(query, "uploadId")
        resource = f"/{bucket}/{key}"
        if upload_id in s3._completed_multipart_uploads and (headers or {}).get("if-none-match"):
            # ministack repeats the first answer; S3 sees that the key exists by now
            return s3._error(
                "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412, resource
            )
        upload = s3._multipart_uploads.get(upload_id)
        if upload is not None:
            numbers = sorted({int(n) for n in re.findall(rb"<PartNumber>\s*(\d+)", body or b"")})
            sizes = [upload["parts"][n]["size"] for n in numbers[:-1] if n in upload["parts"]]
            if any(size < MINIMUM_PART for size in sizes):
                return s3._error(
                    "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", 400, resource
                )
        return original(bucket, key, body, query, headers)

    s3._complete_multipart_upload = complete
