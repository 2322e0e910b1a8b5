"""The buckets' own policies, against an identity whose own policy allows everything."""

from __future__ import annotations

from tests.policy.catalogue.requests import delete, get, put
from tests.policy.probe import Family, Place

BACKUP = "clusters/{cluster}/probe/existing"
INSIDE = {"where": Place.ENDPOINT}
ELSEWHERE = "drawbridge-probe-elsewhere"


def families() -> list[Family]:
    return [_backup_bucket(), _state_bucket(), _write_once_state()]


def _backup_bucket() -> Family:
    return (
        Family("backup bucket")
        .denied("admin", "put", put("admin", "backup", BACKUP))
        .allowed("box", "put, through the endpoint", put("box", "backup", BACKUP, **INSIDE), **INSIDE)
        .allowed("admin", "put elsewhere", put("admin", ELSEWHERE, "probe"))
        .denied("admin", "delete", delete("admin", "backup", BACKUP + "-gone"))
        .denied("admin", "delete a version", delete("admin", "backup", BACKUP + "-gone", version="null"))
        .allowed("admin", "delete elsewhere", delete("admin", ELSEWHERE, "probe-gone"))
        .allowed("admin", "read, as a recovering engineer", get("admin", "backup", BACKUP))
    )


def _state_bucket() -> Family:
    key = "sessions/probe.json"
    family = Family("state bucket")
    for others in ("slots/", "boot/", "ready/", "closed/", "days/", "sweeps/"):
        family.denied("admin", f"put {others}", put("admin", "state", f"{others}probe"))
    # Who administers the account stops the stack, and starts it again.
    family.allowed("admin", "put switch/", put("admin", "state", "switch/probe"))
    family.allowed("admin", "delete switch/", delete("admin", "state", "switch/probe-gone"))
    return (
        family
        .denied("admin", "get", get("admin", "state", key))
        .denied("admin", "put", put("admin", "state", key))
        .denied("admin", "delete", delete("admin", "state", key + "-gone"))
        .allowed("create", "get", get("create", "state", key))
        .allowed("create", "put", put("create", "state", key))
        .allowed("cleanup", "get", get("cleanup", "state", key))
        .allowed("cleanup", "delete", delete("cleanup", "state", key + "-gone"))
    )


def _write_once_state() -> Family:
    family = Family("state bucket: write-once")
    for key in ("ready/probe", "boot/program/probe"):
        family.allowed("create", f"put {key} with if-none-match", put("create", "state", key))
        family.denied("create", f"put {key} without", put("create", "state", key, once=False))
    return family.allowed("create", "put a session without", put("create", "state", "sessions/probe", once=False))
