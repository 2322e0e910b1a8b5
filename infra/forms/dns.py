"""DNS Firewall. Terraform has each rule of a group as a resource of its own."""

from __future__ import annotations

from infra.forms.hcl import Block
from infra.forms.kind import Kind, Resource, plain
from infra.forms.properties import Properties

PREFIX = "aws_route53_resolver_firewall"


def _rule_group(resource: Resource, wanted: Properties) -> list[Block]:
    name, group = wanted.text("Name"), f"{resource.translator.address(resource.logical)}.id"
    made = [resource.of(f"{PREFIX}_rule_group", {"name": name})]
    for _, rule in wanted.objects("FirewallRules"):
        priority = rule.text("Priority")
        attributes = rule.texts(
            "Priority Action BlockResponse FirewallDomainListId FirewallDomainRedirectionAction"
        )
        own = {"name": name, "firewall_rule_group_id": group, **attributes}
        made.append(resource.of(f"{PREFIX}_rule", own, suffix=f"rule_{priority}"))
    return made


KINDS = {
    "AWS::Route53Resolver::FirewallDomainList": plain(f"{PREFIX}_domain_list", "Name Domains"),
    "AWS::Route53Resolver::FirewallRuleGroup": Kind(f"{PREFIX}_rule_group", _rule_group),
    "AWS::Route53Resolver::FirewallRuleGroupAssociation": plain(
        f"{PREFIX}_rule_group_association", "Name FirewallRuleGroupId VpcId Priority"
    ),
}
