"""What DNS Firewall decides about a name, a pure function of a VPC's rules.

The first rule whose list has the name decides; a name that no list has is let through. Names that an answer leads on to
are judged like the name itself, unless the rule that allowed it trusts redirection.
"""

from __future__ import annotations

from typing import Any

from . import dns

Json = dict[str, Any]


def blocked(rules: list[Json], name: str, leads_to: list[str] | None = None) -> int | None:
    """None lets the query through; otherwise the code of the answer that it gets instead."""
    rule = first_match(rules, name)
    if rule is None:
        return None
    if rule["action"] == "BLOCK":
        return dns.NO_SUCH_NAME if rule["response"] == "NXDOMAIN" else dns.NO_ERROR
    if rule["trusts_redirection"]:
        return None
    codes = [blocked(rules, alias) for alias in leads_to or []]
    return next((code for code in codes if code is not None), None)


def first_match(rules: list[Json], name: str) -> Json | None:
    return next((rule for rule in rules if any(holds(domain, name) for domain in rule["domains"])), None)


def holds(domain: str, name: str) -> bool:
    """`*` is every name, `*.example.com` every name below it, and any other entry itself alone."""
    if domain.startswith("*."):
        return name.endswith(domain[1:])
    return domain in ("*", name)
