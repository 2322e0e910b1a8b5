"""The fabric's rules as one text, a pure function of what EC2 says. The whole set is replaced at once; connections that
are tracked go on, as they do in EC2 when a security group's rule is removed.

What is enforced for every interface: its own source address only (unless source/dest check is off); the security
groups both ways, stateful; and the subnet's route table. The table lets an address of the same VPC through, S3's address
if a gateway endpoint is in it, and the internet if an internet gateway is in it *and* the interface has a public
address. Only over the internet gateway are addresses translated, so S3 sees a private address through the endpoint
and a public one around it. Network ACLs are not modelled.
"""

from __future__ import annotations

from typing import Any

from ..layout import API_ADDRESS, API_PORT, PLAIN_PORT, S3_ADDRESS

INTERNET_LINKS = '{ "aws", "fn", "out", "ext" }'
WRITTEN = "ct original ip daddr"
# Mark of packets that leave over the internet gateway.
TRANSLATED = 1
Json = dict[str, Any]


def device(interface: Json) -> str:
    """The fabric's end of an interface; link names have at most 15 characters."""
    return "n" + interface["id"][-12:]


def attached(snapshot: Json, live: set[str]) -> list[Json]:
    """The interfaces that are plugged into the fabric now."""
    return [nic for instance in snapshot["instances"] for nic in instance["nics"] if nic["id"] in live]


def render(snapshot: Json, live: set[str]) -> str:
    """nftables input that replaces the fabric's table."""
    nics = attached(snapshot, live)
    members = _members(nics)
    routable = [nic for nic in nics if nic["public"] and nic["internet_routes"]]
    chains = [
        _chain(f"in_{device(nic)}", _ingress(nic, snapshot["groups"], members))
        + _chain(f"route_{device(nic)}", _routes(nic, nics))
        + _chain(f"out_{device(nic)}", _egress(nic, snapshot["groups"], members))
        for nic in nics
    ]
    return f"""\
table ip drawbridge {{}}
delete table ip drawbridge
table ip drawbridge {{
  map inward {{ type ipv4_addr : ipv4_addr; {_elements([f'{n["public"]} : {n["ip"]}' for n in routable])} }}
  map outward {{ type ipv4_addr : ipv4_addr; {_elements([f'{n["ip"]} : {n["public"]}' for n in routable])} }}
{"".join(chains)}
  chain leave {{
    {_verdicts(nics, "iifname", "out")}
  }}
  chain enter {{
    {_verdicts(nics, "oifname", "in")}
  }}
  chain forward {{
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    ct state invalid drop
    jump leave
    oifname "aws" ip daddr {{ {API_ADDRESS}, {S3_ADDRESS} }} tcp dport != {{ {PLAIN_PORT}, {API_PORT} }} drop
    jump enter
    oifname {INTERNET_LINKS} accept
  }}
  chain input {{
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    iifname {INTERNET_LINKS} icmp type echo-request accept
  }}
  chain prerouting {{ type nat hook prerouting priority -100; dnat to ip daddr map @inward; }}
  chain postrouting {{ type nat hook postrouting priority 100; meta mark {TRANSLATED} snat to ip saddr map @outward; }}
}}
"""


def _elements(entries: list[str]) -> str:
    return f"elements = {{ {', '.join(entries)} }};" if entries else ""


def _verdicts(nics: list[Json], side: str, prefix: str) -> str:
    jumps = [f'"{device(nic)}" : jump {prefix}_{device(nic)}' for nic in nics]
    return f"{side} vmap {{ {', '.join(jumps)} }}" if jumps else ""


def _chain(name: str, rules: list[str]) -> str:
    return f"  chain {name} {{\n" + "".join(f"    {rule}\n" for rule in rules) + "  }\n"


def _members(nics: list[Json]) -> dict[str, list[str]]:
    """Private addresses of each security group's interfaces, for rules that name a group."""
    members: dict[str, list[str]] = {}
    for nic in nics:
        for group in nic["groups"]:
            members.setdefault(group, []).append(nic["ip"])
    return members


def _ingress(nic: Json, groups: Json, members: dict[str, list[str]]) -> list[str]:
    """From the internet only what the internet gateway translated; then any rule of any of its groups."""
    rules = [f"iifname {INTERNET_LINKS} ct status & dnat == 0 drop"]
    allowed = [m for g in nic["groups"] for r in groups[g]["in"] for m in _matches(r, "ip saddr", members)]
    return rules + [f"{match} accept" for match in allowed] + ["drop"]


def _egress(nic: Json, groups: Json, members: dict[str, list[str]]) -> list[str]:
    """Its own address, then any rule of any of its groups, then the route table.

    Destinations are those that the instance wrote (`ct original`): another instance's public address was translated
    before the packet got here.
    """
    rules = [f"ip saddr != {nic['ip']} drop"] if nic["source_dest_check"] else []
    allowed = [m for g in nic["groups"] for r in groups[g]["out"] for m in _matches(r, WRITTEN, members)]
    return rules + [f"{match} goto route_{device(nic)}" for match in allowed] + ["drop"]


def _routes(nic: Json, nics: list[Json]) -> list[str]:
    """Longest match first: the VPC, S3's address by an endpoint, then what the internet gateway is the target of."""
    neighbours = ", ".join(f'"{device(other)}"' for other in nics if other["vpc"] == nic["vpc"])
    rules = [f"{WRITTEN} {own} oifname {{ {neighbours} }} return" for own in nic["vpc_ranges"]]
    rules += [f"{WRITTEN} {own} drop" for own in nic["vpc_ranges"]]
    if nic["s3_endpoint"]:
        rules.append(f"{WRITTEN} {S3_ADDRESS} return")
    if nic["public"]:
        for target in nic["internet_routes"]:
            match = "" if target == "0.0.0.0/0" else f"{WRITTEN} {target} "
            rules.append(f"{match}meta mark set {TRANSLATED} return")
    return [*rules, "drop"]


def _matches(rule: Json, address: str, members: dict[str, list[str]]) -> list[str]:
    """One nft match for each peer of a security group's rule."""
    peers = [*rule["ranges"], *[ip for group in rule["groups"] for ip in members.get(group, [])]]
    return [f"{'' if peer == '0.0.0.0/0' else f'{address} {peer} '}{_protocol(rule)}".strip() for peer in peers]


def _protocol(rule: Json) -> str:
    protocol = rule["protocol"]
    if protocol in ("tcp", "udp"):
        return f"{protocol} dport {rule['from']}-{rule['to']}"
    if protocol == "icmp":
        return "meta l4proto icmp"
    return "" if protocol == "-1" else f"meta l4proto {protocol}"
