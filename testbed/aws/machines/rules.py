"""The fabric's rules as one text, a pure function of what EC2 says. The whole set is replaced at once; connections that
are tracked go on, as they do in EC2 when a security group's rule is removed.

A packet passes, in this order: what its sender may send (`sending`: own addresses, ACL out, routes), the security groups
of both sides, which know connections, and its receiver's ACL in. Only over the internet gateway are addresses
translated, so S3 sees a private address through the endpoint and a public one around it. What the VPC itself
serves, the metadata and the resolver, lies in the fabric and is behind none of them.
"""

from __future__ import annotations

from typing import Any

from ..layout import API_ADDRESS, API_PORT, PLAIN_PORT, S3_ADDRESS
from . import acl, sending

LINKS = '"aws", "fn", "out", "ext"'
INTERNET_LINKS = f"{{ {LINKS} }}"
WRITTEN = "ct original ip daddr"
# Mark of packets that the fabric sends itself.
SERVED = 2
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
    routable = [nic for nic in nics if nic["public"] and any(route["by"] == "internet" for route in nic["routes"])]
    chains = acl.chains(nics)
    for nic in nics:
        chains[f"sends_{device(nic)}"] = sending.rules(nic, nics)
        chains[f"out_{device(nic)}"] = _egress(nic, snapshot["groups"], members)
        chains[f"in_{device(nic)}"] = _ingress(nic, snapshot["groups"], members)
        chains[f"gets_{device(nic)}"] = _receiving(nic)
    return f"""\
table ip drawbridge {{}}
delete table ip drawbridge
table ip drawbridge {{
  map inward {{ type ipv4_addr : ipv4_addr; {_elements([f'{n["public"]} : {n["ip"]}' for n in routable])} }}
  map outward {{ type ipv4_addr : ipv4_addr; {_elements([f'{n["ip"]} : {n["public"]}' for n in routable])} }}
{"".join(_chain(name, rules) for name, rules in chains.items())}
  chain sent {{
    type filter hook prerouting priority -150; policy drop;
    iifname {{ "lo", {LINKS} }} accept
    {_verdicts(nics, "iifname", "sends")}
  }}
  chain leave {{
    iifname {INTERNET_LINKS} return
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
    iifname {INTERNET_LINKS} drop
    ip daddr {sending.METADATA_ADDRESS} tcp dport 80 accept
    meta l4proto {{ tcp, udp }} th dport 53 accept
  }}
  chain output {{ type filter hook output priority 0; meta mark set {SERVED}; }}
  chain prerouting {{ type nat hook prerouting priority -100; dnat to ip daddr map @inward; }}
  chain postrouting {{ type nat hook postrouting priority 100; meta mark {sending.TRANSLATED} snat to ip saddr map @outward; }}
  chain delivered {{
    type filter hook postrouting priority 150; policy accept;
    meta mark {SERVED} accept
    meta mark {sending.TRANSLATED} {_untranslated(routable)}drop
    {_verdicts(nics, "oifname", "gets")}
  }}
}}
"""


def _untranslated(routable: list[Json]) -> str:
    """An internet gateway carries nothing under an address that it has not translated."""
    publics = ", ".join(nic["public"] for nic in routable)
    return f"ip saddr != {{ {publics} }} " if publics else ""


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
    return rules + [f"{match} accept".strip() for match in allowed] + ["drop"]


def _egress(nic: Json, groups: Json, members: dict[str, list[str]]) -> list[str]:
    """Any rule of any of its groups. Destinations are those that the instance wrote (`ct original`): another instance's
    public address was translated before the packet got here."""
    allowed = [m for g in nic["groups"] for r in groups[g]["out"] for m in _matches(r, WRITTEN, members)]
    return [f"{match} return".strip() for match in allowed] + ["drop"]


def _receiving(nic: Json) -> list[str]:
    """The subnet's ACL, for what comes from outside of the subnet."""
    return [f"ip saddr != {nic['subnet_range']} jump {acl.name('in', nic['acl'])}", "return"]


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
