"""The `create` function's role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.policy.catalogue.requests import (
    Request,
    delete,
    dry_run,
    get,
    list_objects,
    put,
    run_box,
    session_tags,
    tagged,
    write_log,
)
from tests.policy.probe import Family, Place

WHO = "create"


def families() -> list[Family]:
    return [_state(), _run(), _group(), _shape_group(), _interface(), _attach(), _see(), _log()]


def _state() -> Family:
    family = Family("create: state")
    readable = ("slots/probe", "sessions/probe.json", "boot/probe/orders.json", "ready/probe.json", "closed/probe", "baselines/probe")
    for key in (*readable, "days/probe", "switch/probe"):
        family.allowed(WHO, f"get {key}", get(WHO, "state", key))
    family.denied(WHO, "get elsewhere/", get(WHO, "state", "elsewhere/probe"))
    written = ("slots/probe", "sessions/probe", "boot/probe/orders", "boot/program/probe", "closed/probe")
    for key in (*written, "days/probe"):
        family.allowed(WHO, f"put {key}", put(WHO, "state", key))
    inside = Place.ENDPOINT
    family.allowed(WHO, "put ready/probe", put(WHO, "state", "ready/probe", inside), where=inside)
    for key in ("elsewhere/probe", "baselines/probe"):
        family.denied(WHO, f"put {key}", put(WHO, "state", key))
    for key in ("slots/probe-gone", "sessions/probe-gone", "boot/probe-gone/orders.json", "ready/probe-gone"):
        family.allowed(WHO, f"delete {key}", delete(WHO, "state", key))
    family.denied(WHO, "put switch/", put(WHO, "state", "switch/probe"))
    for key in ("closed/probe-gone", "boot/program/probe-gone", "days/probe-gone", "switch/probe-gone", "baselines/probe-gone"):
        family.denied(WHO, f"delete {key}", delete(WHO, "state", key))
    family.allowed(WHO, "list", list_objects(WHO, "state", "slots/"))
    return family


def _run() -> Family:
    def changed(name: str, value: Any) -> Callable[[Any, dict[str, Any]], None]:
        return lambda world, arguments: arguments.update({name: value(world) if callable(value) else value})

    def interface(name: str, value: Callable[[Any], Any]) -> Callable[[Any, dict[str, Any]], None]:
        return lambda world, arguments: arguments["NetworkInterfaces"][0].update({name: value(world)})

    def without_tags(kind: str) -> Callable[[Any, dict[str, Any]], None]:
        def change(_world: Any, arguments: dict[str, Any]) -> None:
            kept = [tags for tags in arguments["TagSpecifications"] if tags["ResourceType"] != kind]
            arguments["TagSpecifications"] = kept

        return change

    def tag(key: str, value: str | None) -> Callable[[Any, dict[str, Any]], None]:
        def change(_world: Any, arguments: dict[str, Any]) -> None:
            tags = arguments["TagSpecifications"][0]  # the instance's; the others stay as they should be
            kept = [entry for entry in tags["Tags"] if entry["Key"] != key]
            tags["Tags"] = [*kept, *([{"Key": key, "Value": value}] if value else [])]

        return change

    def metadata(**options: Any) -> Callable[[Any, dict[str, Any]], None]:
        return lambda _world, arguments: arguments["MetadataOptions"].update(options)

    def disk(name: str, **options: Any) -> Callable[[Any, dict[str, Any]], None]:
        """A volume of these options in the place of the one of this name, or beside it."""

        def change(_world: Any, arguments: dict[str, Any]) -> None:
            kept = [entry for entry in arguments["BlockDeviceMappings"] if entry["DeviceName"] != name]
            arguments["BlockDeviceMappings"] = [*kept, {"DeviceName": name, "Ebs": options}]

        return change

    other_profile = lambda world: {"Arn": f"arn:aws:iam::{world.stack.account}:instance-profile/admin"}  # noqa: E731
    variants: dict[str, Callable[[Any, dict[str, Any]], None]] = {
        "of another type": changed("InstanceType", "m5.large"),
        "from another image": changed("ImageId", "ami-0123456789abcdef0"),
        "with another profile": changed("IamInstanceProfile", other_profile),
        "without the token-only metadata service": metadata(HttpTokens="optional"),
        "whose tokens go two hops": metadata(HttpPutResponseHopLimit=2),
        "whose tokens go as far as the image says": changed("MetadataOptions", {"HttpTokens": "required"}),
        "with a root volume that is not encrypted": disk("/dev/xvda", Encrypted=False),
        "with the image's own root volume": changed("BlockDeviceMappings", []),
        "with another volume that is not encrypted": disk("/dev/xvdb", VolumeSize=1, Encrypted=False),
        "with a key pair": changed("KeyName", "somebody"),
        "in the private subnet": interface("SubnetId", lambda world: world.outputs["PrivateSubnetId"]),
        "in the stack's private group": interface("Groups", lambda world: [world.outputs["PrivateSecurityGroupId"]]),
        "in another stack's group": interface("Groups", lambda world: [world.belongings.other_group]),
        "with the instance untagged": without_tags("instance"),
        "with the volume untagged": without_tags("volume"),
        "with the interface untagged": without_tags("network-interface"),
        "tagged for another stack": tag("drawbridge:stack", "drawbridge-of-somebody-else"),
        "without a deadline": tag("drawbridge:deadline", None),
        "without a session": tag("drawbridge:session", None),
        "with a tag of another kind": tag("owner", "me"),
    }
    family = Family("create: run").allowed(WHO, "a box as it should be", run_box(WHO))
    family.allowed(WHO, "a box of the second type", run_box(WHO, changed("InstanceType", "t3a.small")))
    second = run_box(WHO, disk("/dev/xvdb", VolumeSize=1, Encrypted=True))
    family.allowed(WHO, "a box with another volume that is encrypted", second)
    for what, change in variants.items():
        family.denied(WHO, f"a box {what}", run_box(WHO, change))
    own = lambda world: [world.belongings.own_instance]  # noqa: E731
    return family.denied(WHO, "tag a box that stands", dry_run(WHO, "create_tags", Resources=own, Tags=session_tags))


def _group() -> Family:
    def make(vpc: Any, tags: Any) -> Request:
        named = {"GroupName": "drawbridge-probe", "Description": "probe"}
        return dry_run(WHO, "create_security_group", VpcId=vpc, TagSpecifications=tags, **named)

    own_vpc, tags = lambda world: world.outputs["VpcId"], tagged("security-group")  # noqa: E731
    other = [{"ResourceType": "security-group", "Tags": [{"Key": "drawbridge:stack", "Value": "of-somebody-else"}]}]
    return (
        Family("create: session group")
        .allowed(WHO, "make", make(own_vpc, tags))
        .denied(WHO, "make in another VPC", make("vpc-0123456789abcdef0", tags))
        .denied(WHO, "make without tags", make(own_vpc, []))
        .denied(WHO, "make for another stack", make(own_vpc, other))
    )


def _shape_group() -> Family:
    ssh = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.10/32"}]}]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    family = Family("create: rules of a group")
    groups: dict[str, Callable[[Any], str]] = {
        "own session's": lambda world: world.belongings.own_group,
        "another stack's": lambda world: world.belongings.other_group,
        "the stack's private": lambda world: world.outputs["PrivateSecurityGroupId"],
    }
    calls = {"authorize_security_group_ingress": ssh, "revoke_security_group_egress": everything}
    for call, rules in calls.items():
        for whose, group in groups.items():
            add = family.allowed if whose.startswith("own") else family.denied
            add(WHO, f"{call}, {whose}", dry_run(WHO, call, GroupId=group, IpPermissions=rules))
    own = groups["own session's"]
    opening = dry_run(WHO, "authorize_security_group_egress", GroupId=own, IpPermissions=everything)
    return family.denied(WHO, "authorize_security_group_egress, own session's", opening)


def _interface() -> Family:
    def make(subnet: str, group: Callable[[Any], str], tags: Any) -> Request:
        place = {"SubnetId": lambda world: world.outputs[subnet], "Groups": lambda world: [group(world)]}
        return dry_run(WHO, "create_network_interface", TagSpecifications=tags, **place)

    private, tags = lambda world: world.outputs["PrivateSecurityGroupId"], tagged("network-interface")  # noqa: E731
    return (
        Family("create: private interface")
        .allowed(WHO, "make", make("PrivateSubnetId", private, tags))
        .denied(WHO, "make in the public subnet", make("PublicSubnetId", private, tags))
        .denied(WHO, "make in a session's group", make("PrivateSubnetId", lambda w: w.belongings.own_group, tags))
        .denied(WHO, "make without tags", make("PrivateSubnetId", private, []))
    )


def _attach() -> Family:
    def attach(interface: str, instance: str) -> Request:
        return dry_run(
            WHO,
            "attach_network_interface",
            DeviceIndex=1,
            NetworkInterfaceId=lambda world: getattr(world.belongings, interface),
            InstanceId=lambda world: getattr(world.belongings, instance),
        )

    def tie(interface: str) -> Request:
        change = {"AttachmentId": "eni-attach-0123456789abcdef0", "DeleteOnTermination": True}
        named = {"NetworkInterfaceId": lambda world: getattr(world.belongings, interface)}
        return dry_run(WHO, "modify_network_interface_attribute", Attachment=change, **named)

    return (
        Family("create: attach the private interface")
        .allowed(WHO, "its own to its own", attach("own_interface", "own_instance"))
        .denied(WHO, "another stack's to its own", attach("other_interface", "own_instance"))
        .denied(WHO, "its own to another stack's", attach("own_interface", "other_instance"))
        .allowed(WHO, "tie its own to its box", tie("own_interface"), past_the_door=("InvalidAttachmentID.NotFound",))
        .denied(WHO, "tie another stack's", tie("other_interface"))
    )


def _see() -> Family:
    family = Family("create: see")
    for call in ("describe_instances", "describe_network_interfaces", "describe_security_groups"):
        family.allowed(WHO, call, dry_run(WHO, call))
    for call in ("describe_vpcs", "describe_key_pairs"):
        family.denied(WHO, call, dry_run(WHO, call))
    return family


def _log() -> Family:
    return (
        Family("create: log")
        .allowed(WHO, "its own", write_log(WHO, "create"))
        .denied(WHO, "cleanup's", write_log(WHO, "cleanup"))
    )
