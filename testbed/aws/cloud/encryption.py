"""The rights in KMS that S3 asks its caller for, where a bucket or an object has a key: ministack asks for none."""

from __future__ import annotations

from typing import Any

from ministack import app

from . import request

# To write parts, S3 reads the upload's data key back. https://docs.aws.amazon.com/AmazonS3/latest/userguide/
# mpuoverview.html#mpuAndPermissions
NEEDS = {
    "s3:PutObject": ("kms:GenerateDataKey", "kms:Decrypt"),
    "s3:GetObject": ("kms:Decrypt",),
    "s3:GetObjectVersion": ("kms:Decrypt",),
}


def needs(action: str, resource: str, region: str, context: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(action, key, context) of each right that a request to an object needs beside S3's own."""
    bucket, _, name = resource.removeprefix("arn:aws:s3:::").partition("/")
    if action not in NEEDS or not name:
        return []
    key = _key_of_write(bucket) if action == "s3:PutObject" else _key_of_object(bucket, name)
    if key is None:
        return []
    via = {**context, "kms:ViaService": f"s3.{region}.amazonaws.com"}
    wanted = NEEDS[action]
    parts = {"uploads", "uploadId", "partNumber"} & set(request.current().parameters)
    return [(right, key, via) for right in (wanted if parts or action != "s3:PutObject" else wanted[:1])]


def _key_of_write(bucket: str) -> str | None:
    headers = request.current().headers
    named = headers.get("x-amz-server-side-encryption-aws-kms-key-id")
    if named or headers.get("x-amz-server-side-encryption"):
        return named
    defaults = app._get_module("s3")._bucket_default_sse_headers(bucket)
    return defaults.get("x-amz-server-side-encryption-aws-kms-key-id")


def _key_of_object(bucket: str, name: str) -> str | None:
    s3 = app._get_module("s3")
    found = (s3._buckets.get(bucket) or {}).get("objects", {}).get(name)
    return s3._stored_sse_headers(found).get("x-amz-server-side-encryption-aws-kms-key-id") if found else None
