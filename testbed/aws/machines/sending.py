"""What an interface may send, packet by packet and before any translation: its own addresses, then the VPC's own services,
then the subnet's ACL, then the subnet's route table. None of it knows connections: an answer needs its way as well.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from ..layout import S3_ADDRESS
from . import acl

METADATA_ADDRESS = "169.254.169.254"
RESOLVER_ADDRESS = "169.254.169.253"
# Mark of packets that leave over the internet gateway.
TRANSLATED = 1
Json = dict[str, Any]


def resolver_of(nic: Json) -> str:
    """The VPC resolver's address in the VPC: the base of its first range plus two."""
    return str(ip_network(nic["vpc_ranges"][0])[2])


def rules(nic: Json, nics: list[Json]) -> list[str]:
    """The chain of what comes from this interface; `accept` lets a packet go on to the next hook."""
    return [*_own(nic), *_services(nic), *_beyond_the_subnet(nic), *_routes(nic, nics), "drop"]


def _own(nic: Json) -> list[str]:
    """A frame carries the interface's MAC; a packet its address, unless the source/destination check is off."""
    checked = [f"ip saddr != {nic['ip']} drop"] if nic["source_dest_check"] else []
    return [f"ether saddr != {nic['mac']} drop", *checked]


def _services(nic: Json) -> list[str]:
    """The metadata service and the VPC resolver, which no group, ACL or route stands before; nothing else that is
    link-local."""
    found = [f"ip daddr {METADATA_ADDRESS} tcp dport 80 accept"]
    if nic["dns"]:
        found.append(f"ip daddr {{ {RESOLVER_ADDRESS}, {resolver_of(nic)} }} meta l4proto {{ tcp, udp }} th dport 53 accept")
    return [*found, "ip daddr 169.254.0.0/16 drop", f"ip daddr {resolver_of(nic)} drop"]


def _beyond_the_subnet(nic: Json) -> list[str]:
    """An ACL is asked about what leaves the subnet."""
    return [f"ip daddr != {nic['subnet_range']} jump {acl.name('out', nic['acl'])}"]


def _routes(nic: Json, nics: list[Json]) -> list[str]:
    """As they come, the longest prefix first. An internet gateway carries only what has a public address."""
    found = []
    for route in nic["routes"]:
        match = "" if route["to"] == "0.0.0.0/0" else f"ip daddr {route['to']} "
        if route["by"] == "local":
            found += _within_the_vpc(nic, nics, route["to"], match)
        elif route["by"] == "s3":
            found.append(f"ip daddr {S3_ADDRESS} accept")
        elif route["by"] == "internet" and nic["public"]:
            found.append(f"{match}meta mark set {TRANSLATED} accept")
        else:
            found.append(f"{match}drop")
    return found


def _within_the_vpc(nic: Json, nics: list[Json], own: str, match: str) -> list[str]:
    """Two VPCs of a run may have one range; an address is one interface's."""
    members = [n["ip"] for n in nics if n["vpc"] == nic["vpc"] and ip_address(n["ip"]) in ip_network(own)]
    return [f"ip daddr {{ {', '.join(members)} }} accept", f"{match}drop"] if members else [f"{match}drop"]
