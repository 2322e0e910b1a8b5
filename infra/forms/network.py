"""The VPC and what is in it."""

from __future__ import annotations

from infra.forms.hcl import Block
from infra.forms.kind import Kind, Resource, plain
from infra.forms.properties import Properties, block


def _endpoint(resource: Resource, wanted: Properties) -> list[Block]:
    attributes = wanted.texts("VpcId VpcEndpointType ServiceName RouteTableIds")
    return [resource.of("aws_vpc_endpoint", {**attributes, "policy": resource.document(wanted, "PolicyDocument")})]


def _acl_rule(resource: Resource, wanted: Properties) -> list[Block]:
    attributes = wanted.texts("NetworkAclId Egress RuleNumber RuleAction Protocol CidrBlock")
    ports = wanted.object("PortRange").texts("From:from_port To:to_port") if wanted.has("PortRange") else {}
    return [resource.of("aws_network_acl_rule", {**attributes, **ports})]


def _security_group(resource: Resource, wanted: Properties) -> list[Block]:
    attributes = {**wanted.texts("GroupName:name GroupDescription:description VpcId"), **wanted.tags()}
    rules = []
    for direction in ("Ingress", "Egress"):
        for condition, rule in wanted.objects(f"SecurityGroup{direction}"):
            found = rule.texts("IpProtocol:protocol FromPort ToPort Description")
            cidr = f"[{rule.text('CidrIp')}]"
            rules.append(block(direction.lower(), condition, {**found, "cidr_blocks": cidr}))
    return [resource.of("aws_security_group", attributes, *rules)]


def _firewall(resource: Resource, wanted: Properties) -> list[Block]:
    found = [resource.of("aws_route53_resolver_firewall_rule_group", wanted.texts("Name"))]
    group = resource.translator.expression({"Ref": resource.logical})
    for _, rule in wanted.objects("FirewallRules"):
        priority = str(rule.raw("Priority"))
        attributes = {
            **wanted.texts("Name"),
            "firewall_rule_group_id": group,
            **rule.texts("FirewallDomainListId Priority Action BlockResponse FirewallDomainRedirectionAction"),
        }
        found.append(resource.of("aws_route53_resolver_firewall_rule", attributes, suffix=f"rule_{priority}"))
    return found


KINDS = {
    "AWS::Route53Resolver::FirewallDomainList": plain("aws_route53_resolver_firewall_domain_list", "Name Domains"),
    "AWS::Route53Resolver::FirewallRuleGroup": Kind("aws_route53_resolver_firewall_rule_group", _firewall),
    "AWS::Route53Resolver::FirewallRuleGroupAssociation": plain(
        "aws_route53_resolver_firewall_rule_group_association", "Name FirewallRuleGroupId VpcId Priority"
    ),
    "AWS::EC2::VPC": plain("aws_vpc", "CidrBlock EnableDnsSupport EnableDnsHostnames", tags=True),
    "AWS::EC2::InternetGateway": plain("aws_internet_gateway", "", tags=True),
    "AWS::EC2::VPCGatewayAttachment": plain("aws_internet_gateway_attachment", "VpcId InternetGatewayId"),
    "AWS::EC2::Subnet": plain(
        "aws_subnet",
        "VpcId CidrBlock AvailabilityZone MapPublicIpOnLaunch",
        tags=True,
        AvailabilityZone="availability_zone",
    ),
    "AWS::EC2::RouteTable": plain("aws_route_table", "VpcId", tags=True),
    "AWS::EC2::SubnetRouteTableAssociation": plain("aws_route_table_association", "SubnetId RouteTableId"),
    "AWS::EC2::Route": plain("aws_route", "RouteTableId DestinationCidrBlock GatewayId"),
    "AWS::EC2::VPCEndpoint": Kind("aws_vpc_endpoint", _endpoint),
    "AWS::EC2::NetworkAcl": plain("aws_network_acl", "VpcId", tags=True),
    "AWS::EC2::SubnetNetworkAclAssociation": plain("aws_network_acl_association", "SubnetId NetworkAclId"),
    "AWS::EC2::NetworkAclEntry": Kind("aws_network_acl_rule", _acl_rule),
    "AWS::EC2::SecurityGroup": Kind("aws_security_group", _security_group, attributes={"GroupId": "id"}),
}
