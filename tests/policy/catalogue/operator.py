"""The operator: what a thief has who has stolen everything in the cluster."""

from __future__ import annotations

from typing import Any

from tests.policy.catalogue.requests import (
    Request,
    delete,
    dry_run,
    get,
    invoke,
    list_objects,
    put,
    run_box,
)
from tests.policy.probe import Family, Place

BACKUP = "clusters/{cluster}/probe/existing"


def families() -> list[Family]:
    return [
        _invoke(),
        _objects(),
        Family("operator: a box of his own")
        .denied("operator", "RunInstances", run_box("operator"))
        .allowed("create", "RunInstances", run_box("create")),
        Family("operator: the end of a box")
        .denied("operator", "TerminateInstances", _terminate("operator"))
        .allowed("cleanup", "TerminateInstances", _terminate("cleanup")),
        *_services(),
    ]


def _invoke() -> Family:
    own = [
        lambda world: world.outputs["CreateFunctionArn"],
        lambda world: world.outputs["CleanupFunctionArn"],
        lambda world: world.outputs["PostureFunctionArn"],
    ]
    beside = lambda world: f"{world.outputs['CleanupFunctionArn']}-of-somebody-else"  # noqa: E731
    family = Family("operator: functions")
    family.allowed("operator", "Invoke of create", invoke("operator", own[0]))
    family.allowed("operator", "Invoke of cleanup", invoke("operator", own[1]))
    family.allowed("operator", "Invoke of posture", invoke("operator", own[2]))
    family.denied("operator", "Invoke of another function", invoke("operator", beside))
    sweeper = lambda world: world.outputs["SweepFunctionArn"]  # noqa: E731
    family.denied("operator", "Invoke of the sweeper", invoke("operator", sweeper))
    marker = lambda world: world.outputs["MarkerFunctionArn"]  # noqa: E731
    family.denied("operator", "Invoke of the marker function", invoke("operator", marker))
    for call in ("get_function", "get_function_configuration", "get_policy"):
        family.denied("operator", f"lambda {call} of cleanup", _on_function("operator", call))
        family.allowed("admin", f"lambda {call} of cleanup", _on_function("admin", call))
    return family


def _objects() -> Family:
    once = {"where": Place.ENDPOINT}
    return (
        Family("operator: objects")
        .denied("operator", "GetObject of a backup", get("operator", "backup", BACKUP))
        .allowed("admin", "GetObject of a backup", get("admin", "backup", BACKUP))
        .denied("operator", "ListBucket of backups", list_objects("operator", "backup"))
        .allowed("admin", "ListBucket of backups", list_objects("admin", "backup"))
        .denied("operator", "PutObject of a backup", put("operator", "backup", BACKUP))
        .allowed("box", "PutObject of a backup", put("box", "backup", BACKUP, **once), **once)
        .denied("operator", "PutObject of state", put("operator", "state", "sessions/probe"))
        .allowed("create", "PutObject of state", put("create", "state", "sessions/probe"))
        .denied("operator", "GetObject of state", get("operator", "state", "sessions/probe.json"))
        .allowed("create", "GetObject of state", get("create", "state", "sessions/probe.json"))
        .denied("operator", "ListBucket of state", list_objects("operator", "state"))
        .allowed("create", "ListBucket of state", list_objects("create", "state"))
        .denied("operator", "DeleteObject of state", delete("operator", "state", "slots/probe-gone"))
        .allowed("cleanup", "DeleteObject of state", delete("cleanup", "state", "slots/probe-gone"))
        .denied("operator", "DeleteObject elsewhere", delete("operator", "drawbridge-probe-elsewhere", "probe-gone"))
        .allowed("admin", "DeleteObject elsewhere", delete("admin", "drawbridge-probe-elsewhere", "probe-gone"))
    )


def _services() -> list[Family]:
    calls: dict[str, Any] = {
        "sts AssumeRole": lambda who: lambda world: world.client("sts", who).assume_role(
            RoleArn=world.belongings.role_arn, RoleSessionName="probe"
        ),
        "ssm GetParameter": lambda who: lambda world: world.client("ssm", who).get_parameter(
            Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
        ),
        "iam ListUsers": lambda who: lambda world: world.client("iam", who).list_users(),
        "iam CreateAccessKey": lambda who: lambda world: world.client("iam", who).create_access_key(
            UserName="nobody-drawbridge-probe"
        ),
        "logs FilterLogEvents": lambda who: lambda world: world.client("logs", who).filter_log_events(
            logGroupName=world.stack.resources["CreateLog"]["reference"]
        ),
        "events ListRules": lambda who: lambda world: world.client("events", who).list_rules(),
        "ec2 DescribeInstances": lambda who: dry_run(who, "describe_instances"),
    }
    return [
        Family(f"operator: {name}")
        .denied("operator", name, call("operator"))
        .allowed("admin", name, call("admin"), past_the_door=("NoSuchEntity",))
        for name, call in calls.items()
    ]


def _on_function(who: str, call: str) -> Request:
    def request(world: Any) -> None:
        getattr(world.client("lambda", who), call)(FunctionName=world.outputs["CleanupFunctionArn"])

    return request


def _terminate(who: str) -> Request:
    return dry_run(who, "terminate_instances", InstanceIds=lambda world: [world.belongings.own_instance])
