"""What S3 does and ministack does not: it refuses small parts, and an upload completed twice when it must not
overwrite; and what a multipart upload's first request said of its lock holds for the object."""

from __future__ import annotations

import re
from typing import Any

from ministack import app

MINIMUM_PART = 5 * 1024 * 1024

Answer = tuple[int, dict[str, str], bytes]


def install() -> None:
    _install_lock_of_uploads()
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


def _install_lock_of_uploads() -> None:
    s3 = app._get_module("s3")
    create, complete = s3._create_multipart_upload, s3._complete_multipart_upload

    def create_locked(bucket: str, key: str, headers: dict[str, str]) -> Answer:
        answer: Answer = create(bucket, key, headers)
        if made := re.search(rb"<UploadId>([^<]+)</UploadId>", answer[2]):
            lock = {name: value for name, value in headers.items() if name.startswith("x-amz-object-lock-")}
            s3._multipart_uploads[made[1].decode()]["lock"] = lock
        return answer

    def complete_locked(
        bucket: str, key: str, body: bytes, query: dict[str, Any], headers: dict[str, str] | None = None
    ) -> Answer:
        upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"))
        answer: Answer = complete(bucket, key, body, query, headers)
        if upload is not None and answer[0] == 200:
            version = s3._buckets[bucket]["objects"][key].get("version_id")
            s3._apply_object_lock_from_headers(bucket, key, upload["lock"], version)
        return answer

    s3._create_multipart_upload, s3._complete_multipart_upload = create_locked, complete_locked
