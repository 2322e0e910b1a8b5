"""The endpoint's policy: what leaves the private subnet at all, whoever's credentials it carries."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

from botocore.exceptions import ClientError

from tests.policy.catalogue.requests import Request, get, list_objects, put, upload
from tests.policy.probe import Family, Place

BACKUP = "clusters/{cluster}/probe/existing"
INSIDE = {"where": Place.ENDPOINT}
ELSEWHERE = "drawbridge-probe-elsewhere"


def families() -> list[Family]:
    return [_boot(), _others(), _box()]


def _boot() -> Family:
    """What `create` presigned, fetched as the box does: without credentials."""
    ready = {"IfNoneMatch": "*"}
    return (
        Family("endpoint: presigned boot")
        .allowed("create", "presigned get of boot/", _presigned("get_object", "boot/probe/orders.json"), **INSIDE)
        .denied("create", "presigned get of sessions/", _presigned("get_object", "sessions/probe.json"), **INSIDE)
        .allowed("create", "presigned put of ready/", _presigned("put_object", "ready/probe", **ready), **INSIDE)
        .denied("create", "presigned put of sessions/", _presigned("put_object", "sessions/probe", **ready), **INSIDE)
        .denied("create", "put of slots/ with its own key", put("create", "state", "slots/probe", **INSIDE), **INSIDE)
        .allowed("create", "put of slots/, not through the endpoint", put("create", "state", "slots/probe"))
    )


def _others() -> Family:
    return (
        Family("endpoint: others' credentials")
        .denied("admin", "get a backup", get("admin", "backup", BACKUP, **INSIDE), **INSIDE)
        .allowed("admin", "get a backup, not through it", get("admin", "backup", BACKUP))
        .denied("admin", "list backups", list_objects("admin", "backup", **INSIDE), **INSIDE)
        .allowed("admin", "list backups, not through it", list_objects("admin", "backup"))
        .denied("admin", "put elsewhere", put("admin", ELSEWHERE, "probe", **INSIDE), **INSIDE)
        .allowed("admin", "put elsewhere, not through it", put("admin", ELSEWHERE, "probe"))
        .denied("root", "put elsewhere", put("root", ELSEWHERE, "probe", **INSIDE), **INSIDE)
        .denied("root", "put a backup", put("root", "backup", BACKUP, **INSIDE), **INSIDE)
        .denied("root", "get boot/", get("root", "state", "boot/probe/orders.json", **INSIDE), **INSIDE)
        .denied("root", "put ready/", put("root", "state", "ready/probe", **INSIDE), **INSIDE)
    )


def _box() -> Family:
    prefix = "clusters/{cluster}/probe/"
    return (
        Family("endpoint: the box")
        .allowed("box", "put", put("box", "backup", BACKUP, **INSIDE), **INSIDE)
        .allowed("box", "upload in parts", upload("box", prefix, Place.ENDPOINT, once=True), **INSIDE)
        .allowed("box", "list its prefix", list_objects("box", "backup", prefix, **INSIDE), **INSIDE)
    )


def _presigned(call: str, key: str, **signed: Any) -> Request:
    """Signed by `create` for S3's public address, sent from the box's private side."""

    def request(world: Any) -> None:
        s3 = world.client("s3", "create", Place.ENDPOINT)
        target = key if call == "get_object" else f"{key}-{world.fresh()}"
        named = {"Bucket": world.outputs["StateBucket"], "Key": target, **signed}
        url = s3.generate_presigned_url(call, Params=named, ExpiresIn=60)
        get_ = call == "get_object"
        headers = {"if-none-match": "*"} if signed else {}
        _send(world, urllib.request.Request(url, None if get_ else b"{}", headers, method="GET" if get_ else "PUT"))

    return request


def _send(world: Any, request: urllib.request.Request) -> None:
    """Raises what boto3 would raise."""
    request.add_unredirected_header("Content-Type", "")  # urllib's own would not have been signed
    try:
        world.open(request).close()
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        code = text.partition("<Code>")[2].partition("</Code>")[0] or str(error.code)
        raise ClientError({"Error": {"Code": code, "Message": text[:200]}}, "presigned") from error
