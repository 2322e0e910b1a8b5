"""The `cleanup` function's role, and what `create` shares with it: before it claims a slot, it ends sessions that are
past their time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.policy.catalogue.requests import (
    abort,
    delete,
    dry_run,
    get,
    list_objects,
    list_uploads,
    put,
    run_box,
    write_log,
)
from tests.policy.probe import Family

WHO = "cleanup"
NO_UPLOAD = {"past_the_door": ("NoSuchUpload",)}


def families() -> list[Family]:
    shared = [family for who in (WHO, "create") for family in (_backups(who), _destroy(who))]
    return [_state(), *shared, _make(), _see(), _log()]


def _state() -> Family:
    family = Family("cleanup: state")
    for key in ("slots/probe", "sessions/probe.json", "closed/probe", "ready/probe.json", "baselines/probe", "sweeps/probe"):
        family.allowed(WHO, f"get {key}", get(WHO, "state", key))
    for key in ("elsewhere/probe", "boot/probe/orders.json", "days/probe", "switch/probe"):
        family.denied(WHO, f"get {key}", get(WHO, "state", key))
    for key in ("sessions/probe", "closed/probe", "baselines/probe", "sweeps/probe"):
        family.allowed(WHO, f"put {key}", put(WHO, "state", key))
    for key in ("slots/probe", "boot/probe/orders", "boot/program/probe", "ready/probe", "days/probe", "switch/probe"):
        family.denied(WHO, f"put {key}", put(WHO, "state", key))
    gone = ("slots/probe-gone", "sessions/probe-gone", "boot/probe-gone/orders.json", "ready/probe-gone")
    for key in gone:
        family.allowed(WHO, f"delete {key}", delete(WHO, "state", key))
    kept = ("closed/probe-gone", "boot/program/probe-gone", "baselines/probe-gone", "sweeps/probe-gone", "switch/probe-gone")
    for key in kept:
        family.denied(WHO, f"delete {key}", delete(WHO, "state", key))
    return family.allowed(WHO, "list", list_objects(WHO, "state", "sessions/"))


def _backups(who: str) -> Family:
    own, other = "clusters/{cluster}/probe/existing", "clusters/another/probe/existing"
    return (
        Family(f"{who}: backups")
        .allowed(who, "list unfinished uploads", list_uploads(who, "backup"))
        .allowed(who, "abort one of the cluster's", abort(who, "backup", own), **NO_UPLOAD)
        .denied(who, "abort another cluster's", abort(who, "backup", other))
        .denied(who, "abort one in the state bucket", abort(who, "state", "sessions/probe"))
        .denied(who, "GetObject", get(who, "backup", own))
        .denied(who, "PutObject", put(who, "backup", own))
        .denied(who, "DeleteObject", delete(who, "backup", own + "-gone"))
        .denied(who, "ListBucket", list_objects(who, "backup", "clusters/{cluster}/"))
        .allowed("admin", "GetObject", get("admin", "backup", own))
        .allowed("admin", "ListBucket", list_objects("admin", "backup", "clusters/{cluster}/"))
    )


def _destroy(who: str) -> Family:
    family = Family(f"{who}: destroy")
    named: dict[str, tuple[str, str, Callable[[str], Any]]] = {
        "terminate_instances": ("InstanceIds", "instance", lambda resource: [resource]),
        "delete_network_interface": ("NetworkInterfaceId", "interface", str),
        "delete_security_group": ("GroupId", "group", str),
    }
    for call, (parameter, resource, form) in named.items():
        for whose in ("own", "other"):
            what = {parameter: lambda w, name=f"{whose}_{resource}", form=form: form(getattr(w.belongings, name))}
            add = family.allowed if whose == "own" else family.denied
            add(who, f"{call}, {whose} stack's", dry_run(who, call, **what))
    private = {"GroupId": lambda world: world.outputs["PrivateSecurityGroupId"]}
    return family.denied(who, "delete_security_group, the private one", dry_run(who, "delete_security_group", **private))


def _make() -> Family:
    return (
        Family("cleanup: make a box")
        .denied(WHO, "RunInstances", run_box(WHO))
        .allowed("create", "RunInstances", run_box("create"))
    )


def _see() -> Family:
    family = Family("cleanup: see")
    for call in ("describe_instances", "describe_network_interfaces", "describe_security_groups"):
        family.allowed(WHO, call, dry_run(WHO, call))
    return family.denied(WHO, "describe_vpcs", dry_run(WHO, "describe_vpcs"))


def _log() -> Family:
    return (
        Family("cleanup: log")
        .allowed(WHO, "its own", write_log(WHO, "cleanup"))
        .allowed(WHO, "its copy's for events", write_log(WHO, "sweep"))
        .allowed(WHO, "its copy's for markers", write_log(WHO, "marker"))
        .denied(WHO, "create's", write_log(WHO, "create"))
    )
