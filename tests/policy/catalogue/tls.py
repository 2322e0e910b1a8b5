"""The buckets' refusal of plain HTTP: each request once over TLS and once without, from one place by one identity."""

from __future__ import annotations

from collections.abc import Callable

from tests.policy.catalogue.requests import Request, get, list_objects, put
from tests.policy.probe import Family, Place

OWN = "clusters/{cluster}/probe/"


def families() -> list[Family]:
    return [_backup_bucket(), _state_bucket(), _log_bucket()]


def _backup_bucket() -> Family:
    family = Family("plain HTTP: backup bucket")
    # Only the box puts, and only through the endpoint.
    _both(family, "box", "put", Place.SIDE, lambda plain: put("box", "backup", OWN, Place.SIDE, plain=plain))
    _both(family, "box", "list", Place.SIDE, lambda plain: list_objects("box", "backup", OWN, Place.SIDE, plain))
    _both(family, "admin", "get", Place.INTERNET, lambda plain: get("admin", "backup", OWN + "existing", plain=plain))
    return _both(family, "admin", "list", Place.INTERNET, lambda plain: list_objects("admin", "backup", plain=plain))


def _state_bucket() -> Family:
    family, session = Family("plain HTTP: state bucket"), "sessions/probe.json"
    _both(family, "create", "put", Place.INTERNET, lambda plain: put("create", "state", "sessions/probe", plain=plain))
    _both(family, "create", "get", Place.INTERNET, lambda plain: get("create", "state", session, plain=plain))
    return _both(family, "create", "list", Place.INTERNET, lambda plain: list_objects("create", "state", plain=plain))


def _log_bucket() -> Family:
    family = Family("plain HTTP: log bucket")
    _both(family, "admin", "get", Place.INTERNET, lambda plain: get("admin", "log", "probe", plain=plain))
    return _both(family, "admin", "list", Place.INTERNET, lambda plain: list_objects("admin", "log", plain=plain))


def _both(family: Family, who: str, what: str, where: Place, request: Callable[[bool], Request]) -> Family:
    family.allowed(who, f"{what} over TLS", request(False), where=where)
    return family.denied(who, f"{what} over plain HTTP", request(True), where=where)
