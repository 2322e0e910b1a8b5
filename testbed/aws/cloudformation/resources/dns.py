"""DNS Firewall: domain lists, the rule group, its association with a VPC."""

from __future__ import annotations

from testbed.aws.cloudformation.properties import Properties
from testbed.aws.cloudformation.resources.kind import Clients, Kind, Made


def _domain_list(clients: Clients, wanted: Properties) -> Made:
    api, name = clients("route53resolver"), wanted.text("Name")
    made = api.create_firewall_domain_list(CreatorRequestId=name, Name=name)["FirewallDomainList"]
    domains = wanted.texts("Domains")
    api.update_firewall_domains(FirewallDomainListId=made["Id"], Operation="REPLACE", Domains=domains)
    return Made(made["Id"], {"Id": made["Id"], "Arn": made["Arn"]})


def _rule_group(clients: Clients, wanted: Properties) -> Made:
    api, name = clients("route53resolver"), wanted.text("Name")
    made = api.create_firewall_rule_group(CreatorRequestId=name, Name=name)["FirewallRuleGroup"]
    for rule in wanted.objects("FirewallRules"):
        priority = rule.number("Priority")
        api.create_firewall_rule(
            CreatorRequestId=f"{name}-{priority}",
            FirewallRuleGroupId=made["Id"],
            FirewallDomainListId=rule.text("FirewallDomainListId"),
            Priority=priority,
            Action=rule.text("Action"),
            Name=f"{name}-{priority}",
            **rule.given("BlockResponse", "FirewallDomainRedirectionAction"),
        )
    return Made(made["Id"], {"Id": made["Id"], "Arn": made["Arn"]})


def _association(clients: Clients, wanted: Properties) -> Made:
    group = wanted.text("FirewallRuleGroupId")
    made = clients("route53resolver").associate_firewall_rule_group(
        CreatorRequestId=group,
        FirewallRuleGroupId=group,
        VpcId=wanted.text("VpcId"),
        Priority=wanted.number("Priority"),
        Name=wanted.text("Name"),
    )["FirewallRuleGroupAssociation"]
    return Made(made["Id"], {"Id": made["Id"], "Arn": made["Arn"]})


KINDS = {
    "AWS::Route53Resolver::FirewallDomainList": Kind(_domain_list),
    "AWS::Route53Resolver::FirewallRuleGroup": Kind(_rule_group),
    "AWS::Route53Resolver::FirewallRuleGroupAssociation": Kind(_association),
}
