"""What decides where a packet goes, of each subnet and VPC: route tables, network ACLs, the resolver."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from ..layout import S3_ADDRESS

S3_RANGE = f"{S3_ADDRESS}/32"
Json = dict[str, Any]


def of_subnet(subnet: Any, backend: Any) -> Json:
    """Everything that an interface in the subnet is subject to, whatever its groups say."""
    vpc = backend.get_vpc(subnet.vpc_id)
    return {
        "vpc": vpc.id,
        "vpc_ranges": [a["cidr_block"] for a in vpc.get_cidr_block_association_set(ipv6=False)],
        "dns": str(vpc.enable_dns_support).lower() == "true",
        "routes": routes(subnet, backend),
        "acl": acl(subnet, backend),
    }


def route_table(subnet: Any, backend: Any) -> Any:
    """The table associated with the subnet, or else the VPC's main one."""
    tables = [table for table in list(backend.route_tables.values()) if table.vpc_id == subnet.vpc_id]
    for table in tables:
        if subnet.id in table._associations.values():
            return table
    return next((table for table in tables if table.main_association_id), None)


def routes(subnet: Any, backend: Any) -> list[Json]:
    """The subnet's routes, the longest prefix first. `by` is `local`, `s3`, `internet`, or `nowhere` for a target that is
    gone or not modelled: such a route still takes what is sent to its range."""
    table = route_table(subnet, backend)
    if table is None:
        return []
    found = [{"to": r.destination_cidr_block, "by": _target(r, subnet.vpc_id)} for r in table.routes]
    found = [route for route in found if route["to"]]
    endpoint = s3_endpoint(subnet, backend)
    if endpoint:
        found.append({"to": S3_RANGE, "by": "s3"})
    # Of two routes to one range the endpoint's is the later; a prefix list's route yields to a static one.
    return sorted(found, key=lambda route: -ip_network(route["to"]).prefixlen)


def _target(route: Any, vpc_id: str) -> str:
    if route.local:
        return "local"
    gateway = route.gateway
    attached = gateway and gateway.id.startswith("igw-") and gateway.vpc and gateway.vpc.id == vpc_id
    return "internet" if attached else "nowhere"


def s3_endpoint(subnet: Any, backend: Any) -> str | None:
    """The S3 gateway endpoint in the subnet's route table. moto makes the endpoint's routes for some ways of asking
    only; the endpoint's own list is always right."""
    table = route_table(subnet, backend)
    for endpoint in list(backend.vpc_end_points.values()) if table else []:
        of_s3 = endpoint.service_name.endswith(".s3")
        gateway = str(endpoint.vpc_endpoint_type).lower() in ("gateway", "none")
        if of_s3 and gateway and endpoint.state == "available" and table.id in (endpoint.route_table_ids or []):
            return str(endpoint.id)
    return None


def acl(subnet: Any, backend: Any) -> Json:
    """The subnet's network ACL: numbered rules each way, the lowest number first."""
    for found in list(backend.network_acls.values()):
        if any(association.subnet_id == subnet.id for association in list(found._associations.values())):
            rules = sorted(found.network_acl_entries, key=lambda entry: int(entry.rule_number))
            return {
                "id": found.id,
                "in": [_acl_rule(entry) for entry in rules if not _true(entry.egress) and entry.cidr_block],
                "out": [_acl_rule(entry) for entry in rules if _true(entry.egress) and entry.cidr_block],
            }
    return {"id": "none", "in": [], "out": []}


def _acl_rule(entry: Any) -> Json:
    return {
        "allow": entry.rule_action == "allow",
        "protocol": str(entry.protocol),
        "range": entry.cidr_block,
        "from": _number(entry.port_range_from),
        "to": _number(entry.port_range_to),
        "icmp_type": _number(entry.icmp_type),
        "icmp_code": _number(entry.icmp_code),
    }


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
