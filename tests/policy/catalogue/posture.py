"""The `posture` function's role: it sees what the stack is made of, and neither what is stored nor anything to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.policy.catalogue.requests import (
    Request,
    bucket_of,
    delete,
    dry_run,
    get,
    invoke,
    list_objects,
    put,
    write_log,
)
from tests.policy.probe import Family

WHO = "posture"
# What the buckets answer where nothing is configured: the door was open.
NOT_SET = (
    "ObjectLockConfigurationNotFoundError",
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "OwnershipControlsNotFoundError",
    "ServerSideEncryptionConfigurationNotFoundError",
)
BACKUP_READS = (
    "get_bucket_policy",
    "get_public_access_block",
    "get_bucket_ownership_controls",
    "get_bucket_encryption",
    "get_bucket_versioning",
    "get_object_lock_configuration",
    "get_bucket_lifecycle_configuration",
    "get_bucket_notification_configuration",
)
STATE_READS = ("get_bucket_policy", "get_public_access_block", "get_bucket_encryption")
ROLE_READS: dict[str, dict[str, str]] = {
    "get_role": {},
    "list_role_policies": {},
    "list_attached_role_policies": {},
    "get_role_policy": {"PolicyName": "probe"},
}
FUNCTION_READS = (
    "get_function_configuration",
    "get_policy",
    "get_function_concurrency",
    "list_function_url_configs",
)


def families() -> list[Family]:
    return [
        _buckets(),
        _objects(),
        _network(),
        _identities(),
        _operator(),
        _functions(),
        _rules(),
        _keys(),
        _log(),
    ]


def _buckets() -> Family:
    family = Family("posture: buckets")
    for call in BACKUP_READS:
        family.allowed(WHO, f"{call} of backups", _on_bucket(call, "backup"), past_the_door=NOT_SET)
    for call in STATE_READS:
        family.allowed(WHO, f"{call} of state", _on_bucket(call, "state"), past_the_door=NOT_SET)
    for call in ("get_bucket_policy", "get_bucket_encryption"):
        family.denied(WHO, f"{call} elsewhere", _on_bucket(call, "drawbridge-probe-elsewhere"))
    family.denied(WHO, "get_bucket_versioning of state", _on_bucket("get_bucket_versioning", "state"))
    return family.denied(WHO, "PutBucketPolicy", _put_policy)


def _objects() -> Family:
    backup = "clusters/{cluster}/probe/existing"
    return (
        Family("posture: objects")
        .allowed(WHO, "list of sweeps", list_objects(WHO, "state", "sweeps/"))
        .allowed(WHO, "list of the switch", list_objects(WHO, "state", "switch/"))
        .denied(WHO, "list of sessions", list_objects(WHO, "state", "sessions/"))
        .denied(WHO, "list of all state", list_objects(WHO, "state"))
        .denied(WHO, "list of backups", list_objects(WHO, "backup", "sweeps/"))
        .denied(WHO, "get of the mark", get(WHO, "state", "sweeps/probe"))
        .denied(WHO, "put of a mark", put(WHO, "state", "sweeps/probe"))
        .denied(WHO, "get of a backup", get(WHO, "backup", backup))
        .denied(WHO, "put of a backup", put(WHO, "backup", backup))
        .denied(WHO, "delete of a backup", delete(WHO, "backup", backup + "-gone"))
    )


def _network() -> Family:
    family = Family("posture: network")
    seen = ("instances", "network_acls", "route_tables", "security_groups")
    for what in seen:
        family.allowed(WHO, f"describe_{what}", dry_run(WHO, f"describe_{what}"))
    family.allowed(WHO, "describe_vpc_endpoints", dry_run(WHO, "describe_vpc_endpoints"))
    family.denied(WHO, "describe_vpcs", dry_run(WHO, "describe_vpcs"))
    own = {"InstanceIds": lambda world: [world.belongings.own_instance]}
    return family.denied(WHO, "terminate_instances", dry_run(WHO, "terminate_instances", **own))


def _identities() -> Family:
    family = Family("posture: roles")
    roles = {
        "create": lambda world: world.outputs["CreateRoleArn"],
        "cleanup": lambda world: world.outputs["CleanupRoleArn"],
        "posture": lambda world: world.outputs["PostureRoleArn"],
        "jumpbox": lambda world: world.outputs["JumpBoxRoleArn"],
        "operator": lambda world: world.outputs["OperatorRoleArn"],
        "operator-pod": lambda world: world.outputs["OperatorPodRoleArn"],
    }
    for name, arn in roles.items():
        for call, more in ROLE_READS.items():
            family.allowed(WHO, f"{call} of {name}", _on_role(call, arn, more), past_the_door=("NoSuchEntity",))
    other = lambda world: world.belongings.role_arn  # noqa: E731
    for call, more in ROLE_READS.items():
        family.denied(WHO, f"{call} of another role", _on_role(call, other, more))
    change = {"PolicyName": "probe", "PolicyDocument": "{}"}
    family.denied(WHO, "put_role_policy of its own", _on_role("put_role_policy", roles["posture"], change))
    family.allowed(WHO, "get_instance_profile", _profile("JumpBoxProfile"))
    return family.denied(WHO, "get_instance_profile of another", _profile(None))


def _operator() -> Family:
    family = Family("posture: operator")
    for call in ("list_user_policies", "list_attached_user_policies", "list_groups_for_user"):
        family.allowed(WHO, call, _on_user(call, lambda world: world.outputs["OperatorUser"]))
        family.denied(WHO, f"{call} of another user", _on_user(call, lambda _world: "drawbridge-probe-admin"))
    family.denied(WHO, "create_access_key", _on_user("create_access_key", lambda world: world.outputs["OperatorUser"]))
    own = lambda world: world.outputs["OperatorPolicyArn"]  # noqa: E731
    other = lambda world: f"{world.outputs['OperatorPolicyArn']}-of-somebody-else"  # noqa: E731
    for call, more in {"get_policy": {}, "get_policy_version": {"VersionId": "v1"}}.items():
        family.allowed(WHO, call, _on_policy(call, own, more), past_the_door=("NoSuchEntity",))
        family.denied(WHO, f"{call} of another policy", _on_policy(call, other, more))
    return family


def _functions() -> Family:
    family = Family("posture: functions")
    for name in ("Create", "Cleanup", "Posture", "Sweep", "Marker"):
        for call in FUNCTION_READS:
            family.allowed(
                WHO,
                f"{call} of {name.lower()}",
                _on_function(call, lambda world, name=name: world.outputs[f"{name}FunctionArn"]),
                past_the_door=("ResourceNotFoundException",),
            )
    beside = lambda world: f"{world.outputs['CleanupFunctionArn']}-of-somebody-else"  # noqa: E731
    for call in FUNCTION_READS:
        family.denied(WHO, f"{call} of another function", _on_function(call, beside))
    cleanup = lambda world: world.outputs["CleanupFunctionArn"]  # noqa: E731
    family.denied(WHO, "get_function (a link to its code)", _on_function("get_function", cleanup))
    return family.denied(WHO, "Invoke of cleanup", invoke(WHO, cleanup))


def _rules() -> Family:
    family = Family("posture: rules")
    for name in ("Sweep", "InstanceEnded"):
        for call, parameter in {"describe_rule": "Name", "list_targets_by_rule": "Rule"}.items():
            family.allowed(WHO, f"{call} of {name}", _on_rule(call, parameter, name))
            if name == "Sweep":
                family.denied(WHO, f"{call} of another rule", _on_rule(call, parameter, None))
    return family.denied(WHO, "disable_rule", _on_rule("disable_rule", "Name", "Sweep"))


def _keys() -> Family:
    """A key that there is not: KMS asks the policies first."""
    gone = {"past_the_door": ("NotFoundException",)}
    return (
        Family("posture: keys")
        .allowed(WHO, "describe_key", _on_key("describe_key"), **gone)
        .allowed(WHO, "get_key_policy", _on_key("get_key_policy"), **gone)
        .denied(WHO, "get_public_key", _on_key("get_public_key"))
        .denied(WHO, "disable_key", _on_key("disable_key"))
    )


def _log() -> Family:
    return (
        Family("posture: log")
        .allowed(WHO, "its own", write_log(WHO, "posture"))
        .denied(WHO, "create's", write_log(WHO, "create"))
    )


def _on_bucket(call: str, bucket: str) -> Request:
    def request(world: Any) -> None:
        getattr(world.client("s3", WHO), call)(Bucket=bucket_of(world, bucket))

    return request


def _put_policy(world: Any) -> None:
    world.client("s3", WHO).put_bucket_policy(Bucket=bucket_of(world, "backup"), Policy="{}")


def _on_role(call: str, arn: Callable[[Any], str], more: dict[str, str]) -> Request:
    def request(world: Any) -> None:
        name = arn(world).rpartition("/")[2]
        getattr(world.client("iam", WHO), call)(RoleName=name, **more)

    return request


def _profile(resource: str | None) -> Request:
    def request(world: Any) -> None:
        name = world.stack.resources[resource]["reference"] if resource else "drawbridge-probe-other"
        world.client("iam", WHO).get_instance_profile(InstanceProfileName=name)

    return request


def _on_user(call: str, user: Callable[[Any], str]) -> Request:
    def request(world: Any) -> None:
        getattr(world.client("iam", WHO), call)(UserName=user(world))

    return request


def _on_policy(call: str, arn: Callable[[Any], str], more: dict[str, str]) -> Request:
    def request(world: Any) -> None:
        getattr(world.client("iam", WHO), call)(PolicyArn=arn(world), **more)

    return request


def _on_function(call: str, function: Callable[[Any], str]) -> Request:
    def request(world: Any) -> None:
        getattr(world.client("lambda", WHO), call)(FunctionName=function(world))

    return request


def _on_key(call: str) -> Request:
    def request(world: Any) -> None:
        arn = f"arn:aws:kms:{world.outputs['Region']}:{world.stack.account}:key/00000000-0000-0000-0000-000000000000"
        getattr(world.client("kms", WHO), call)(KeyId=arn)

    return request


def _on_rule(call: str, parameter: str, resource: str | None) -> Request:
    def request(world: Any) -> None:
        name = world.stack.resources[resource]["reference"] if resource else "drawbridge-probe-other"
        getattr(world.client("events", WHO), call)(**{parameter: name})

    return request
