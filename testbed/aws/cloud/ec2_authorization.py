"""Which resources an EC2 call must be allowed on, and what its condition keys say of each.

After the Service Authorization Reference. A created resource is `type/*` with the tags that the call gives that type; an
existing one is known by its id, with its own tags. Giving tags needs ec2:CreateTags with ec2:CreateAction besides.
"""

from __future__ import annotations

import re
from typing import Any

from ministack import app

from ..layout import ROOT_DEVICE
from . import control
from .conditions import MISSING
from .request import Request, current

Found = tuple[str, str, dict[str, Any]]

PREFIXES = {
    "i": "instance",
    "eni": "network-interface",
    "sg": "security-group",
    "subnet": "subnet",
    "vpc": "vpc",
    "vol": "volume",
    "rtb": "route-table",
    "igw": "internet-gateway",
    "vpce": "vpc-endpoint",
    "acl": "network-acl",
    "ami": "image",
    "eipalloc": "elastic-ip",
    "sgr": "security-group-rule",
}
# Action -> parameters that name the existing resources it is authorized on; `.N` stands for a list.
NAMED = {
    **{f"{verb}Instances": ["InstanceId.N"] for verb in ("Terminate", "Stop", "Start", "Reboot")},
    **{f"{verb}SecurityGroup{way}": ["GroupId"] for verb in ("Authorize", "Revoke") for way in ("Ingress", "Egress")},
    "DeleteSecurityGroup": ["GroupId"],
    "CreateSecurityGroup": ["VpcId"],
    "CreateNetworkInterface": ["SubnetId", "SecurityGroupId.N"],
    "DeleteNetworkInterface": ["NetworkInterfaceId"],
    "AttachNetworkInterface": ["NetworkInterfaceId", "InstanceId"],
    "ModifyNetworkInterfaceAttribute": ["NetworkInterfaceId", "SecurityGroupId.N"],
    "ModifyInstanceAttribute": ["InstanceId"],
    "ModifyInstanceMetadataOptions": ["InstanceId"],
    "DescribeInstanceAttribute": ["InstanceId"],
    "GetConsoleOutput": ["InstanceId"],
    "CreateTags": ["ResourceId.N"],
    "DeleteTags": ["ResourceId.N"],
}
CREATED = {"CreateSecurityGroup": ["security-group"], "CreateNetworkInterface": ["network-interface"]}
_TAG = re.compile(r"(TagSpecification\.\d+)\.Tag\.\d+\.Key")


def tags_by_type(request: Request) -> dict[str, dict[str, str]]:
    """The tags that a call gives what it creates, by resource type."""
    found: dict[str, dict[str, str]] = {}
    for name in request.parameters:
        match = _TAG.fullmatch(name)
        if match:
            kind = request.parameter(f"{match.group(1)}.ResourceType") or ""
            tag = request.parameter(name) or ""
            found.setdefault(kind, {})[tag] = request.parameter(name.removesuffix("Key") + "Value") or ""
    return found


def _tag_context(tags: dict[str, str]) -> dict[str, Any]:
    return {"aws:TagKeys": list(tags), **{f"aws:RequestTag/{k}": v for k, v in tags.items()}} if tags else {}


def request_tags(request: Request) -> dict[str, Any]:
    """All tags of a call, for actions whose resources are not told apart below."""
    return _tag_context({k: v for tags in tags_by_type(request).values() for k, v in tags.items()})


def checks(action: str, region: str, account: str, context: dict[str, Any]) -> list[Found] | None:
    """What the call needs; None when the call is not one of those modelled here, so that ministack's reading holds."""
    name = action.partition(":")[2]
    now = current()
    plain = {k: v for k, v in context.items() if not k.lower().startswith(("aws:requesttag/", "aws:tagkeys"))}
    scope = _Scope(region, account, {**plain, "ec2:Region": region})
    if name == "RunInstances":
        return _run_instances(now, scope)
    if name == "DetachNetworkInterface":
        return _detach(now, scope)
    if name not in NAMED:
        return None
    ids = [i for parameter in NAMED[name] for i in _ids(now, parameter)]
    known = scope.lookup(ids)
    direct = _direct_tags(now) if name in ("CreateTags", "DeleteTags") else {}
    found: list[Found] = [(action, *scope.existing(i, known.get(i), direct)) for i in ids]
    created = tags_by_type(now)
    place = scope.place(known.get(now.parameter("SubnetId") or now.parameter("VpcId") or ""), now.parameter("SubnetId"))
    found += [(action, *scope.new(kind, created.get(kind, {}), place)) for kind in CREATED.get(name, [])]
    return found + _create_tags(name, created, scope, place)


def _ids(request: Request, parameter: str) -> list[str]:
    if parameter.endswith(".N"):
        return request.listed(parameter[:-2])
    value = request.parameter(parameter)
    return [value] if value else []


def _direct_tags(request: Request) -> dict[str, Any]:
    """CreateTags and DeleteTags carry tags without a TagSpecification."""
    keys = [n for n in request.parameters if re.fullmatch(r"Tag\.\d+\.Key", n)]
    return _tag_context(
        {request.parameter(n) or "": request.parameter(n.removesuffix("Key") + "Value") or "" for n in keys}
    )


class _Scope:
    """Region and account of a call, for ARNs, and what holds for all its checks."""

    def __init__(self, region: str, account: str, context: dict[str, Any]) -> None:
        self.region, self.account, self.context = region, account, context

    def arn(self, kind: str, name: str) -> str:
        account = "" if kind == "image" else self.account
        return f"arn:aws:ec2:{self.region}:{account}:{kind}/{name}"

    def lookup(self, ids: list[str]) -> dict[str, Any]:
        return control.get("/resources", account=self.account, id=ids) if ids else {}

    def place(self, facts: dict[str, Any] | None, subnet: str | None) -> dict[str, Any]:
        """Where a new resource will be."""
        found: dict[str, Any] = {}
        if facts and facts.get("vpc"):
            found["ec2:Vpc"] = self.arn("vpc", facts["vpc"])
        if subnet:
            found["ec2:Subnet"] = self.arn("subnet", subnet)
        if facts and facts.get("zone"):
            found["ec2:AvailabilityZone"] = facts["zone"]
        return found

    def existing(
        self, resource_id: str, facts: dict[str, Any] | None, more: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """A resource by id. Of one that is not there EC2 says so, to whoever may do the thing to some such resource."""
        kind = PREFIXES.get(resource_id.split("-", 1)[0], "*")
        if facts is None:
            return self.arn(kind, resource_id), {**self.context, **(more or {}), MISSING: True}
        found = {**self.context, **(more or {}), **self.place(facts, facts.get("subnet"))}
        found.update({f"aws:ResourceTag/{k}": v for k, v in facts.get("tags", {}).items()})
        properties = {"ec2:InstanceType": "instance_type", "ec2:InstanceProfile": "instance_profile"}
        found.update({key: facts[name] for key, name in properties.items() if facts.get(name)})
        own = {
            "instance": "ec2:InstanceID",
            "network-interface": "ec2:NetworkInterfaceID",
            "security-group": "ec2:SecurityGroupID",
            "subnet": "ec2:SubnetID",
        }
        if kind in own:
            found[own[kind]] = resource_id
        return self.arn(kind, resource_id), found

    def new(self, kind: str, tags: dict[str, str], properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return self.arn(kind, "*"), {**self.context, **properties, **_tag_context(tags)}


def _create_tags(name: str, created: dict[str, dict[str, str]], scope: _Scope, place: dict[str, Any]) -> list[Found]:
    if name in ("CreateTags", "DeleteTags"):
        return []
    return [
        ("ec2:CreateTags", *scope.new(kind, tags, {**place, "ec2:CreateAction": name}))
        for kind, tags in sorted(created.items())
    ]


def _detach(request: Request, scope: _Scope) -> list[Found]:
    attachment = request.parameter("AttachmentId") or ""
    facts = scope.lookup([attachment]).get(attachment)
    ids = [facts["interface"], facts["instance"]] if facts else []
    known = scope.lookup(ids)
    found = [("ec2:DetachNetworkInterface", *scope.existing(i, known.get(i))) for i in ids]
    return found or [("ec2:DetachNetworkInterface", scope.arn("network-interface", "*"), scope.context)]


def _run_instances(request: Request, scope: _Scope) -> list[Found]:
    action = "ec2:RunInstances"
    numbers = sorted({n.split(".")[1] for n in request.parameters if n.startswith("NetworkInterface.")})
    interfaces = [f"NetworkInterface.{number}." for number in numbers] or [""]
    created = tags_by_type(request)
    image = request.parameter("ImageId") or "*"
    found: list[Found] = [
        (action, *scope.new("instance", created.get("instance", {}), _instance_properties(request, scope))),
        *[(action, *scope.new("volume", created.get("volume", {}), volume)) for volume in _volumes(request)],
        (action, scope.arn("image", image), {**scope.context, "ec2:ImageID": image, "ec2:Owner": "amazon"}),
    ]
    named: list[str] = []
    for prefix in interfaces:
        named += _interface_ids(request, prefix)
    known = scope.lookup(named)
    found += [(action, *scope.existing(i, known.get(i))) for i in dict.fromkeys(named)]
    for prefix in interfaces:
        if not request.parameter(f"{prefix}NetworkInterfaceId"):
            subnet = request.parameter(f"{prefix}SubnetId")
            place = scope.place(known.get(subnet or ""), subnet)
            public = request.parameter(f"{prefix}AssociatePublicIpAddress")
            if public is not None:
                place["ec2:AssociatePublicIpAddress"] = public
            found.append((action, *scope.new("network-interface", created.get("network-interface", {}), place)))
    if key := request.parameter("KeyName"):
        found.append((action, scope.arn("key-pair", key), {**scope.context, "ec2:KeyPairName": key}))
    found += _create_tags("RunInstances", created, scope, {})
    return found + _passed_role(request, scope)


def _interface_ids(request: Request, prefix: str) -> list[str]:
    ids = [request.parameter(f"{prefix}{name}") for name in ("SubnetId", "NetworkInterfaceId")]
    return [i for i in ids if i] + request.listed(f"{prefix}SecurityGroupId")


def _profile(request: Request, scope: _Scope) -> str | None:
    arn, name = request.parameter("IamInstanceProfile.Arn"), request.parameter("IamInstanceProfile.Name")
    return arn or (f"arn:aws:iam::{scope.account}:instance-profile/{name}" if name else None)


def _instance_properties(request: Request, scope: _Scope) -> dict[str, Any]:
    values = {
        "ec2:InstanceType": request.parameter("InstanceType"),
        "ec2:InstanceProfile": _profile(request, scope),
        "ec2:MetadataHttpTokens": request.parameter("MetadataOptions.HttpTokens"),
        "ec2:MetadataHttpEndpoint": request.parameter("MetadataOptions.HttpEndpoint"),
        "ec2:MetadataHttpPutResponseHopLimit": request.parameter("MetadataOptions.HttpPutResponseHopLimit"),
    }
    return {key: value for key, value in values.items() if value is not None}


def _volumes(request: Request) -> list[dict[str, Any]]:
    """The root volume, which the image brings as it is, unencrypted, unless a mapping of its name says otherwise; and
    each further one that the call names."""
    found: dict[str, dict[str, Any]] = {ROOT_DEVICE: {"ec2:Encrypted": "false"}}
    for prefix in sorted({".".join(n.split(".")[:2]) for n in request.parameters if n.startswith("BlockDeviceMapping.")}):
        name = request.parameter(f"{prefix}.DeviceName") or ""
        values = {f"ec2:{key}": request.parameter(f"{prefix}.Ebs.{key}") for key in ("VolumeSize", "VolumeType")}
        encrypted = {"ec2:Encrypted": (request.parameter(f"{prefix}.Ebs.Encrypted") or "false").lower()}
        found[name] = {**encrypted, **{key: value for key, value in values.items() if value is not None}}
    return list(found.values())


def _passed_role(request: Request, scope: _Scope) -> list[Found]:
    """The role in the instance profile is handed to EC2. An unknown profile passes none; EC2 refuses it later."""
    profile = _profile(request, scope)
    if profile is None:
        return []
    record = app._get_module("iam")._instance_profiles.get(profile.rpartition("/")[2]) or {}
    roles = record.get("Roles") or []
    names = [role if isinstance(role, str) else role.get("RoleName") for role in roles]
    context = {**scope.context, "iam:PassedToService": "ec2.amazonaws.com"}
    return [("iam:PassRole", f"arn:aws:iam::{scope.account}:role/{name}", context) for name in names]
