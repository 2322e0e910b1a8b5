"""What the instance host and the API emulator need to know of the EC2 back end, as plain JSON."""

from __future__ import annotations

from typing import Any

from . import dns_firewall, topology
from .registry import LOCK, backends, instances, interfaces


def everything() -> dict[str, Any]:
    """All instances with their interfaces and what each is subject to, all security groups, the DNS firewalls."""
    with LOCK:
        return {
            "instances": [_instance(*found) for found in instances()],
            "groups": {group["id"]: group for _, _, backend in backends() for group in _groups(backend)},
            "dns_firewalls": dns_firewall.STATE.of_vpcs(),
        }


def _instance(account: str, region: str, backend: Any, instance: Any) -> dict[str, Any]:
    association = backend.iam_instance_profile_associations.get(instance.id)
    profile = association.iam_instance_profile if association else instance.iam_instance_profile
    metadata = instance.metadata_options
    return {
        "id": instance.id,
        "account": account,
        "region": region,
        "state": instance._state.name,
        "type": instance.instance_type,
        "zone": instance.availability_zone,
        "image": instance.image_id,
        "user_data": None if instance.user_data is None else str(instance.user_data),
        "shutdown_behavior": instance.instance_initiated_shutdown_behavior,
        "tags": tags(instance),
        "metadata": {
            "tokens": metadata.http_tokens,
            "endpoint": metadata.http_endpoint,
            "hops": metadata.http_put_response_hop_limit,
            "tags": metadata.instance_metadata_tags,
        },
        "role": profile.roles[0].name if profile and profile.roles else None,
        "profile": profile.arn if profile else None,
        "profile_id": profile.id if profile else None,
        "nics": [_interface(index, nic, backend) for index, nic in sorted(instance.nics.items())],
    }


def _interface(index: int, nic: Any, backend: Any) -> dict[str, Any]:
    return {
        "index": int(index),
        "id": nic.id,
        "ip": nic.private_ip_address,
        "public": nic.public_ip,
        "mac": nic.mac_address,
        "subnet": nic.subnet.id,
        "subnet_range": nic.subnet.cidr_block,
        "source_dest_check": nic.source_dest_check,
        "groups": [group.id for group in nic._group_set],
        **topology.of_subnet(nic.subnet, backend),
    }


def _groups(backend: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": group.id,
            "vpc": group.vpc_id,
            "in": [_rule(rule, backend) for rule in group.ingress_rules],
            "out": [_rule(rule, backend) for rule in group.egress_rules],
        }
        for groups in list(backend.groups.values())
        for group in list(groups.values())
    ]


def _rule(rule: Any, backend: Any) -> dict[str, Any]:
    ranges = [rule.ip_range["CidrIp"]] if rule.ip_range.get("CidrIp") else []
    if rule.prefix_list_id:
        ranges += _prefix_list(rule.prefix_list_id, backend)
    return {
        "protocol": rule.ip_protocol,
        "from": rule.from_port,
        "to": rule.to_port,
        "ranges": ranges,
        "groups": [rule.source_group["GroupId"]] if rule.source_group.get("GroupId") else [],
    }


def _prefix_list(prefix_list_id: str, backend: Any) -> list[str]:
    """S3's own list names real addresses, which are one address here."""
    found = backend.managed_prefix_lists.get(prefix_list_id)
    if found is None:
        return []
    if found.prefix_list_name.endswith(".s3"):
        return [topology.S3_RANGE]
    return [entry["Cidr"] for entry in found.entries.get(found.version, [])]


def tags(resource: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in resource.get_tags()}


def resources(account: str, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Of each id that exists: its tags, and what EC2's condition keys say about it."""
    found: dict[str, dict[str, Any]] = {}
    for owner, region, backend in backends():
        if owner != account:
            continue
        for resource_id in ids:
            known = _lookup(backend, resource_id)
            if known is not None:
                found[resource_id] = {
                    "tags": {
                        t["key"]: t["value"] for t in backend.describe_tags(filters={"resource-id": [resource_id]})
                    },
                    "region": region,
                    **known,
                }
    return found


def _lookup(backend: Any, resource_id: str) -> dict[str, Any] | None:
    kind = resource_id.split("-", 1)[0]
    if kind == "i":
        instance = next((i for i in backend.all_instances() if i.id == resource_id), None)
        if instance is None:
            return None
        association = backend.iam_instance_profile_associations.get(resource_id)
        return {
            "vpc": instance.vpc_id,
            "subnet": instance.subnet_id,
            "instance_type": instance.instance_type,
            "instance_profile": association.iam_instance_profile.arn if association else None,
            "zone": instance.availability_zone,
        }
    if kind == "eni":
        nic = backend.enis.get(resource_id)
        if nic is None:
            return None
        return {
            "vpc": nic.subnet.vpc_id,
            "subnet": nic.subnet.id,
            "zone": nic.subnet.availability_zone,
            "instance": nic.instance.id if nic.instance else None,
        }
    if kind == "eni_attach" or resource_id.startswith("eni-attach"):
        nic = next((n for n in backend.enis.values() if n.attachment_id == resource_id), None)
        return None if nic is None else {"interface": nic.id, "instance": nic.instance.id}
    if kind == "sg":
        group = backend.get_security_group_from_id(resource_id)
        return None if group is None else {"vpc": group.vpc_id}
    if kind == "subnet":
        subnet = next((s for zone in backend.subnets.values() for s in zone.values() if s.id == resource_id), None)
        return None if subnet is None else {"vpc": subnet.vpc_id, "zone": subnet.availability_zone}
    if kind == "vpc":
        return {"vpc": resource_id} if resource_id in backend.vpcs else None
    if kind == "vol":
        return {} if resource_id in backend.volumes else None
    return {} if backend.describe_tags(filters={"resource-id": [resource_id]}) else None


def origin(address: str) -> dict[str, Any]:
    """Where a request from a private address comes from, and by which endpoint with which policy it came."""
    for backend, nic in interfaces():
        if nic.private_ip_address == address and nic.instance is not None:
            endpoint_id = topology.s3_endpoint(nic.subnet, backend)
            endpoint = backend.vpc_end_points.get(endpoint_id)
            return {
                "instance": nic.instance.id,
                "vpc": nic.subnet.vpc_id,
                "endpoint": endpoint_id,
                "policy": endpoint.policy_document if endpoint else None,
            }
    return {"instance": None, "vpc": None, "endpoint": None, "policy": None}
