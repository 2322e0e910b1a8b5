"""Route 53 Resolver DNS Firewall: the part of its API that a stack uses, and what it says for each VPC.

Neither moto nor ministack has it. The emulator authorizes a call and hands it on to here; the instance host reads what
holds and its resolver (machines/resolver.py) does as it says.
"""

from __future__ import annotations

import re
import secrets
from typing import Any, Callable

Json = dict[str, Any]

DOMAIN = re.compile(r"\*|(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
PRIORITIES = range(101, 9900)


class Refused(Exception):
    """An error of the API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class State:
    """All lists, rule groups and associations of a run."""

    def __init__(self) -> None:
        self._lists: dict[str, Json] = {}
        self._groups: dict[str, Json] = {}
        self._associations: dict[str, Json] = {}
        self._place = ""

    def call(self, action: str, parameters: Json, account: str, region: str) -> Json:
        """One API call; the answer's members."""
        operation: Callable[[Json], Json] | None = getattr(self, re.sub("([A-Z])", r"_\1", action).lower(), None)
        if operation is None or "Firewall" not in action:
            raise Refused("UnknownOperationException", f"{action} is not modelled by the testbed")
        self._place = f"arn:aws:route53resolver:{region}:{account}"
        return operation(parameters)

    def of_vpcs(self) -> dict[str, list[Json]]:
        """For each VPC its rules in the order in which they are asked."""
        found: dict[str, list[Json]] = {}
        for association in sorted(self._associations.values(), key=lambda a: int(a["Priority"])):
            rules = sorted(self._rules(association["FirewallRuleGroupId"]), key=lambda rule: int(rule["Priority"]))
            found.setdefault(association["VpcId"], []).extend(
                {
                    "action": rule["Action"],
                    "response": rule.get("BlockResponse", "NODATA"),
                    "trusts_redirection": rule["FirewallDomainRedirectionAction"] == "TRUST_REDIRECTION_DOMAIN",
                    "domains": self._found(self._lists, rule["FirewallDomainListId"])["domains"],
                }
                for rule in rules
            )
        return found

    # ---- domain lists

    def _create_firewall_domain_list(self, asked: Json) -> Json:
        made = self._new("rslvr-fdl", "firewall-domain-list", asked, domains=[], DomainCount=0)
        self._lists[made["Id"]] = made
        return {"FirewallDomainList": _shown(made)}

    def _update_firewall_domains(self, asked: Json) -> Json:
        found = self._found(self._lists, asked["FirewallDomainListId"])
        domains = [domain.lower().rstrip(".") for domain in asked["Domains"]]
        for domain in domains:
            if not DOMAIN.fullmatch(domain):
                raise Refused("ValidationException", f"'{domain}' is not a domain that a list can hold")
        kept = {"REPLACE": [], "ADD": found["domains"], "REMOVE": found["domains"]}[asked["Operation"]]
        gone = domains if asked["Operation"] == "REMOVE" else []
        found["domains"] = [d for d in kept if d not in domains] + [d for d in domains if d not in gone]
        found["DomainCount"] = len(found["domains"])
        return {key: found[key] for key in ("Id", "Name", "Status")}

    def _list_firewall_domains(self, asked: Json) -> Json:
        found = self._found(self._lists, asked["FirewallDomainListId"])
        return {"Domains": [f"{domain}." for domain in found["domains"]]}

    def _get_firewall_domain_list(self, asked: Json) -> Json:
        return {"FirewallDomainList": _shown(self._found(self._lists, asked["FirewallDomainListId"]))}

    # ---- rule groups

    def _create_firewall_rule_group(self, asked: Json) -> Json:
        made = self._new("rslvr-frg", "firewall-rule-group", asked, rules=[])
        self._groups[made["Id"]] = made
        return {"FirewallRuleGroup": _shown(made)}

    def _create_firewall_rule(self, asked: Json) -> Json:
        rules = self._rules(asked["FirewallRuleGroupId"])
        self._found(self._lists, asked["FirewallDomainListId"])
        if any(rule["Priority"] == asked["Priority"] for rule in rules):
            raise Refused("ValidationException", f"a rule of this group has the priority {asked['Priority']} already")
        if asked["Action"] == "BLOCK" and asked.get("BlockResponse") not in ("NODATA", "NXDOMAIN"):
            raise Refused("ValidationException", "BlockResponse must be NODATA or NXDOMAIN (OVERRIDE is not modelled)")
        rule = {"FirewallDomainRedirectionAction": "INSPECT_REDIRECTION_DOMAIN", **asked}
        rules.append(rule)
        return {"FirewallRule": rule}

    def _update_firewall_rule(self, asked: Json) -> Json:
        for rule in self._rules(asked["FirewallRuleGroupId"]):
            if rule["FirewallDomainListId"] == asked["FirewallDomainListId"]:
                rule.update(asked)
                return {"FirewallRule": rule}
        raise Refused("ResourceNotFoundException", "the group has no rule for this domain list")

    def _list_firewall_rules(self, asked: Json) -> Json:
        return {"FirewallRules": self._rules(asked["FirewallRuleGroupId"])}

    def _rules(self, group: str) -> list[Json]:
        rules: list[Json] = self._found(self._groups, group)["rules"]
        return rules

    # ---- associations

    def _associate_firewall_rule_group(self, asked: Json) -> Json:
        self._found(self._groups, asked["FirewallRuleGroupId"])
        if int(asked["Priority"]) not in PRIORITIES:
            raise Refused("ValidationException", "Priority must be greater than 100 and less than 9900")
        kept = {key: asked[key] for key in ("FirewallRuleGroupId", "VpcId", "Priority")}
        kept["MutationProtection"] = asked.get("MutationProtection", "DISABLED")
        made = self._new("rslvr-frgassoc", "firewall-rule-group-association", asked, **kept)
        self._associations[made["Id"]] = made
        return {"FirewallRuleGroupAssociation": made}

    def _disassociate_firewall_rule_group(self, asked: Json) -> Json:
        found = self._found(self._associations, asked["FirewallRuleGroupAssociationId"])
        if found["MutationProtection"] == "ENABLED":
            raise Refused("ConflictException", "the association is protected against changes")
        del self._associations[found["Id"]]
        return {"FirewallRuleGroupAssociation": {**found, "Status": "DELETING"}}

    def _list_firewall_rule_group_associations(self, asked: Json) -> Json:
        wanted = {key: asked[key] for key in ("VpcId", "FirewallRuleGroupId") if key in asked}
        every = list(self._associations.values())
        found = [a for a in every if all(a[key] == value for key, value in wanted.items())]
        return {"FirewallRuleGroupAssociations": found}

    def _get_firewall_config(self, asked: Json) -> Json:
        """Nobody can change it here: a firewall that does not answer lets nothing through."""
        vpc = asked["ResourceId"]
        return {"FirewallConfig": {"Id": f"rslvr-fc-{vpc}", "ResourceId": vpc, "FirewallFailOpen": "DISABLED"}}

    def _new(self, prefix: str, kind: str, asked: Json, **more: Any) -> Json:
        made = f"{prefix}-{secrets.token_hex(8)}"
        return {"Id": made, "Arn": f"{self._place}:{kind}/{made}", "Name": asked.get("Name", ""), "Status": "COMPLETE", **more}

    @staticmethod
    def _found(kept: dict[str, Json], name: str) -> Json:
        if name not in kept:
            raise Refused("ResourceNotFoundException", f"{name} does not exist")
        return kept[name]


def _shown(kept: Json) -> Json:
    """What an answer says of a list or a group: without what other calls list."""
    return {key: value for key, value in kept.items() if key[0].isupper()}


STATE = State()
