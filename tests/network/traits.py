"""What EC2 says of a box and of the stack's network. `facts` asks, `traits` judges: a pure function, so that it can be
shown to fail."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tests.network.ground import Ground

Json = dict[str, Any]
ENCRYPTED, HOP_LIMIT = "every volume is encrypted", "tokens go one hop"
LISTENS_ALONE, NO_STOCK = "only the box's program listens", "no stock service runs"


@dataclass(frozen=True)
class Trait:
    name: str
    holds: bool
    found: str


def facts(ground: Ground) -> Json:
    """As EC2, IAM, DNS Firewall and the box describe it."""
    ec2, outputs, box = ground.ec2, ground.outputs, ground.box
    instance = ground.describe(box.instance)
    volumes = [mapping["Ebs"]["VolumeId"] for mapping in instance["BlockDeviceMappings"]]
    groups = ec2.describe_security_groups(GroupIds=[box.group, outputs["PrivateSecurityGroupId"]])["SecurityGroups"]
    subnets = ec2.describe_subnets(SubnetIds=[outputs["PublicSubnetId"], outputs["PrivateSubnetId"]])["Subnets"]
    here = [{"Name": "association.subnet-id", "Values": [outputs["PrivateSubnetId"]]}]
    vpc = outputs["VpcId"]
    firewall = ground.client("route53resolver")
    associations = firewall.list_firewall_rule_group_associations(VpcId=vpc)["FirewallRuleGroupAssociations"]
    return {
        "instance": instance,
        "ends": ec2.describe_instance_attribute(
            InstanceId=box.instance, Attribute="instanceInitiatedShutdownBehavior"
        )["InstanceInitiatedShutdownBehavior"]["Value"],
        "volumes": ec2.describe_volumes(VolumeIds=volumes)["Volumes"],
        "group": next(group for group in groups if group["GroupId"] == box.group),
        "private_group": next(group for group in groups if group["GroupId"] != box.group),
        "subnets": subnets,
        "vpc": ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0],
        "routes": ec2.describe_route_tables(Filters=here)["RouteTables"][0]["Routes"],
        "acl": ec2.describe_network_acls(Filters=here)["NetworkAcls"][0]["Entries"],
        "names": [
            [rule["Action"], *firewall.list_firewall_domains(FirewallDomainListId=rule["FirewallDomainListId"])["Domains"]]
            for association in associations
            for rule in firewall.list_firewall_rules(FirewallRuleGroupId=association["FirewallRuleGroupId"])["FirewallRules"]
        ],
        **services(ground, box.instance),
        "clients": ground.account.client_cidrs,
        "s3_port": ground.s3_port,
        "buckets": [outputs["BackupBucket"], outputs["StateBucket"]],
    }


def services(ground: Ground, instance: str) -> Json:
    """As the machine's own root sees them."""
    machine = replace(ground.box, instance=instance)
    return {"listens": ground.read(machine, LISTENS).split(), "stock": ground.read(machine, STOCK).split()}


# Of each listening TCP socket (state 0A) its port in hexadecimal and the program that has it.
LISTENS = r"""
while read -r _ local _ state _ _ _ _ _ inode _; do
  [ "$state" = 0A ] || continue
  program=$(ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q "socket:\[$inode\]" &&
    for one in /proc/[0-9]*; do ls -l "$one/fd" 2>/dev/null | grep -q "socket:\[$inode\]" && basename "$(readlink "$one/exe")"; done)
  echo "${local##*:}=${program:-nobody}"
done < <(cat /proc/net/tcp /proc/net/tcp6)
"""
# The image's own SSH servers and SSM agents, by what they call themselves.
STOCK = r"""
for one in /proc/[0-9]*; do
  IFS= read -rd '' program 2>/dev/null <"$one/cmdline"
  case $program in *sshd*) echo sshd ;; *amazon-ssm-agent*) echo amazon-ssm-agent ;; esac
  program=
done
"""


def traits(known: Json) -> list[Trait]:
    """Each with what was found."""
    instance, group, private = known["instance"], known["group"], known["private_group"]
    options, interfaces = instance["MetadataOptions"], instance["NetworkInterfaces"]
    second = next((nic for nic in interfaces if nic["Attachment"]["DeviceIndex"] == 1), {})
    ingress = [_rule(rule) for rule in group["IpPermissions"]]
    only_s3 = [("tcp", known["s3_port"], known["s3_port"], ("0.0.0.0/0",))]
    targets = sorted(route.get("GatewayId", "?").split("-")[0] for route in known["routes"])
    found = [
        ("no key pair", not instance.get("KeyName"), instance.get("KeyName")),
        ("version 2 of the metadata service only", options["HttpTokens"] == "required", options["HttpTokens"]),
        (HOP_LIMIT, options["HttpPutResponseHopLimit"] == 1, options["HttpPutResponseHopLimit"]),
        (ENCRYPTED, bool(known["volumes"]) and all(v["Encrypted"] for v in known["volumes"]), _encryption(known)),
        ("shutting down terminates", known["ends"] == "terminate", known["ends"]),
        ("the public side's group lets nothing out", group["IpPermissionsEgress"] == [], group["IpPermissionsEgress"]),
        (
            "... and in only SSH from the client networks",
            [rule[:3] for rule in ingress] == [("tcp", 22, 22)] and set(ingress[0][3]) == set(known["clients"]),
            ingress,
        ),
        ("the private side's group lets nothing in", private["IpPermissions"] == [], private["IpPermissions"]),
        (
            "... and out only to S3's port",
            [_rule(rule) for rule in private["IpPermissionsEgress"]] == only_s3,
            private["IpPermissionsEgress"],
        ),
        ("the private side has no public address", second and not second.get("Association"), second.get("Association")),
        ("its source is checked", all(nic["SourceDestCheck"] for nic in interfaces), ""),
        ("it goes with the machine", second.get("Attachment", {}).get("DeleteOnTermination") is True, ""),
        ("the private subnet routes to the VPC and S3's endpoint", set(targets) <= {"local", "vpce"}, targets),
        ("its ACL denies by default", _closed(known["acl"]), f"{len(known['acl'])} entries"),
        ("no subnet gives public addresses", not any(s["MapPublicIpOnLaunch"] for s in known["subnets"]), ""),
        ("no IPv6", not _has_six(known), ""),
        ("two names, and no other", _only_buckets(known), known["names"]),
        (LISTENS_ALONE, known["listens"] == ["0016=drawbridge-jumpbox"], known["listens"]),
        (NO_STOCK, known["stock"] == [], known["stock"]),
    ]
    return [Trait(name, bool(holds), str(shown)) for name, holds, shown in found]


def _rule(rule: Json) -> tuple[str, int | None, int | None, tuple[str, ...]]:
    ranges = tuple(entry["CidrIp"] for entry in rule["IpRanges"])
    return rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort"), ranges


def _encryption(known: Json) -> str:
    return ", ".join(f"{volume['VolumeId']}: {volume['Encrypted']}" for volume in known["volumes"])


def _closed(entries: list[Json]) -> bool:
    """Each way allows one port range of TCP and nothing else."""
    allowed = [entry for entry in entries if entry["RuleAction"] == "allow"]
    ways = [entry["Egress"] for entry in allowed]
    return sorted(ways) == [False, True] and all(entry["Protocol"] == "6" and "PortRange" in entry for entry in allowed)


def _has_six(known: Json) -> bool:
    subnets = [subnet.get("Ipv6CidrBlockAssociationSet") for subnet in known["subnets"]]
    addresses = [nic.get("Ipv6Addresses") for nic in known["instance"]["NetworkInterfaces"]]
    return any([known["vpc"].get("Ipv6CidrBlockAssociationSet"), *subnets, *addresses])


def _only_buckets(known: Json) -> bool:
    first, *rest = known["names"] or [[]]
    allowed = [name.split(".s3.")[0] for name in first[1:]]
    return first[:1] == ["ALLOW"] and sorted(allowed) == sorted(known["buckets"]) and rest == [["BLOCK", "*."]]
