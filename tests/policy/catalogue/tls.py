"""The buckets' refusal of plain HTTP, which is switched off where S3 speaks nothing else. These probes switch it on
for a moment, and all their requests are plain HTTP."""

from __future__ import annotations

from typing import Any

from tests.policy.catalogue.requests import Request, get, list_objects
from tests.policy.probe import Family

BACKUP = "clusters/{cluster}/probe/existing"
STATE = "sessions/probe.json"


def families() -> list[Family]:
    return [
        Family("plain HTTP")
        .allowed("admin", "backup bucket, TLS not required", get("admin", "backup", BACKUP))
        .denied("admin", "backup bucket, TLS required", _with_tls_required(get("admin", "backup", BACKUP)))
        .allowed("admin", "list of it, TLS not required", list_objects("admin", "backup"))
        .denied("admin", "list of it, TLS required", _with_tls_required(list_objects("admin", "backup")))
        .allowed("create", "state bucket, TLS not required", get("create", "state", STATE))
        .denied("create", "state bucket, TLS required", _with_tls_required(get("create", "state", STATE)))
        .allowed("create", "list of state, TLS not required", list_objects("create", "state"))
        .denied("create", "list of state, TLS required", _with_tls_required(list_objects("create", "state")))
        .allowed("admin", "log bucket, TLS not required", get("admin", "log", "probe"))
        .denied("admin", "log bucket, TLS required", _with_tls_required(get("admin", "log", "probe")))
        .allowed("admin", "list of it, TLS not required, as an auditor", list_objects("admin", "log"))
        .denied("admin", "list of it, TLS required, as an auditor", _with_tls_required(list_objects("admin", "log")))
    ]


def _with_tls_required(request: Request) -> Request:
    def wrapped(world: Any) -> None:
        with world.tls_required():
            request(world)

    return wrapped
