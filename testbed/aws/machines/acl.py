"""Network ACLs as rules: stateless, in the order of their numbers, each way of its own, everything else denied.

Ports are the destination's both ways, so an answer to a connection needs a rule for the port that it was made from.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp"}
NAME_LENGTH = 12


def chains(nics: list[Json]) -> dict[str, list[str]]:
    """A chain for each way of each ACL that some interface's subnet has; it returns what it allows."""
    found: dict[str, list[str]] = {}
    for acl in (nic["acl"] for nic in nics):
        found[name("in", acl)] = [_rule(rule, "ip saddr") for rule in acl["in"]] + ["drop"]
        found[name("out", acl)] = [_rule(rule, "ip daddr") for rule in acl["out"]] + ["drop"]
    return found


def name(way: str, acl: Json) -> str:
    return f"acl_{way}_{acl['id'][-NAME_LENGTH:]}"


def _rule(rule: Json, peer: str) -> str:
    address = "" if rule["range"] == "0.0.0.0/0" else f"{peer} {rule['range']}"
    return " ".join(part for part in (address, _protocol(rule), "return" if rule["allow"] else "drop") if part)


def _protocol(rule: Json) -> str:
    protocol = PROTOCOLS.get(rule["protocol"], rule["protocol"])
    if protocol == "-1":
        return ""
    if protocol in ("tcp", "udp"):
        return f"{protocol} dport {rule['from']}-{rule['to']}"
    if protocol == "icmp":
        wanted = (("type", rule["icmp_type"]), ("code", rule["icmp_code"]))
        kinds = [f"icmp {what} {value}" for what, value in wanted if value not in (None, -1)]
        return " ".join(kinds) or "meta l4proto icmp"
    return f"meta l4proto {protocol}"
