"""The endpoint's policy: what leaves the private subnet at all, whoever's credentials it carries."""

from __future__ import annotations

from typing import Any

from tests.policy.catalogue.requests import get, list_objects, presigned, put, upload
from tests.policy.probe import Family, Place

BACKUP = "clusters/{cluster}/probe/existing"
INSIDE = {"where": Place.ENDPOINT}
ELSEWHERE = "drawbridge-probe-elsewhere"


def families() -> list[Family]:
    return [_boot(), _others(), _box()]


def _boot() -> Family:
    """What `create` presigned, fetched as the box does: without credentials."""
    once: dict[str, Any] = {"IfNoneMatch": "*"}
    return (
        Family("endpoint: presigned boot")
        .allowed("create", "presigned get of boot/", presigned("get_object", "boot/probe/orders.json"), **INSIDE)
        .denied("create", "presigned get of sessions/", presigned("get_object", "sessions/probe.json"), **INSIDE)
        .allowed("create", "presigned put of ready/", presigned("put_object", "ready/probe", **once), **INSIDE)
        .denied("create", "presigned put of sessions/", presigned("put_object", "sessions/probe", **once), **INSIDE)
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
