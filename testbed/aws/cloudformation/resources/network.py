"""VPC, subnets, routes, the S3 endpoint, the network ACL and the security group."""

from __future__ import annotations

from typing import Any

from testbed.aws.cloudformation.errors import TemplateError
from testbed.aws.cloudformation.properties import Properties
from testbed.aws.cloudformation.resources.kind import Clients, Kind, Made, document, tag_specification


def _vpc(clients: Clients, wanted: Properties) -> Made:
    ec2, tags = clients("ec2"), tag_specification("vpc", wanted)
    vpc = ec2.create_vpc(CidrBlock=wanted.text("CidrBlock"), TagSpecifications=tags)["Vpc"]["VpcId"]
    _put_dns(ec2, vpc, wanted)
    return Made(vpc, {"VpcId": vpc})


def _put_dns(ec2: Any, vpc: str, wanted: Properties) -> None:
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": wanted.flag("EnableDnsSupport", True)})
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": wanted.flag("EnableDnsHostnames", False)})


def _update_vpc(clients: Clients, standing: Made, wanted: Properties) -> None:
    _put_dns(clients("ec2"), standing.reference, wanted)


def _internet_gateway(clients: Clients, wanted: Properties) -> Made:
    made = clients("ec2").create_internet_gateway(TagSpecifications=tag_specification("internet-gateway", wanted))
    return Made(made["InternetGateway"]["InternetGatewayId"])


def _gateway_attachment(clients: Clients, wanted: Properties) -> Made:
    gateway, vpc = wanted.text("InternetGatewayId"), wanted.text("VpcId")
    clients("ec2").attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    return Made(f"IGW|{vpc}")


def _subnet(clients: Clients, wanted: Properties) -> Made:
    ec2 = clients("ec2")
    subnet = ec2.create_subnet(
        VpcId=wanted.text("VpcId"),
        CidrBlock=wanted.text("CidrBlock"),
        AvailabilityZone=wanted.text("AvailabilityZone"),
        TagSpecifications=tag_specification("subnet", wanted),
    )["Subnet"]
    public = {"Value": wanted.flag("MapPublicIpOnLaunch", False)}
    ec2.modify_subnet_attribute(SubnetId=subnet["SubnetId"], MapPublicIpOnLaunch=public)
    return Made(subnet["SubnetId"], {"SubnetId": subnet["SubnetId"], "AvailabilityZone": subnet["AvailabilityZone"]})


def _route_table(clients: Clients, wanted: Properties) -> Made:
    tags = tag_specification("route-table", wanted)
    made = clients("ec2").create_route_table(VpcId=wanted.text("VpcId"), TagSpecifications=tags)
    return Made(made["RouteTable"]["RouteTableId"])


def _subnet_routes(clients: Clients, wanted: Properties) -> Made:
    table, subnet = wanted.text("RouteTableId"), wanted.text("SubnetId")
    return Made(clients("ec2").associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"])


def _route(clients: Clients, wanted: Properties) -> Made:
    table, destination = wanted.text("RouteTableId"), wanted.text("DestinationCidrBlock")
    clients("ec2").create_route(
        RouteTableId=table, DestinationCidrBlock=destination, GatewayId=wanted.text("GatewayId")
    )
    return Made(f"{table}|{destination}")


def _endpoint(clients: Clients, wanted: Properties) -> Made:
    made = clients("ec2").create_vpc_endpoint(
        VpcEndpointType=wanted.text("VpcEndpointType"),
        VpcId=wanted.text("VpcId"),
        ServiceName=wanted.text("ServiceName"),
        RouteTableIds=wanted.texts("RouteTableIds"),
        PolicyDocument=document(wanted, "PolicyDocument"),
    )
    return Made(made["VpcEndpoint"]["VpcEndpointId"])


def _update_endpoint(clients: Clients, standing: Made, wanted: Properties) -> None:
    policy = document(wanted, "PolicyDocument")
    clients("ec2").modify_vpc_endpoint(VpcEndpointId=standing.reference, PolicyDocument=policy)


def _acl(clients: Clients, wanted: Properties) -> Made:
    tags = tag_specification("network-acl", wanted)
    made = clients("ec2").create_network_acl(VpcId=wanted.text("VpcId"), TagSpecifications=tags)
    return Made(made["NetworkAcl"]["NetworkAclId"])


def _subnet_acl(clients: Clients, wanted: Properties) -> Made:
    ec2, subnet = clients("ec2"), wanted.text("SubnetId")
    here = [{"Name": "association.subnet-id", "Values": [subnet]}]
    standing = [
        association["NetworkAclAssociationId"]
        for acl in ec2.describe_network_acls(Filters=here)["NetworkAcls"]
        for association in acl["Associations"]
        if association["SubnetId"] == subnet
    ]
    if len(standing) != 1:
        raise TemplateError(f"subnet {subnet} has {len(standing)} network ACLs, expected the VPC's own one")
    made = ec2.replace_network_acl_association(
        AssociationId=standing[0], NetworkAclId=wanted.text("NetworkAclId")
    )
    return Made(made["NewAssociationId"])


def _acl_entry(clients: Clients, wanted: Properties) -> Made:
    acl, number, egress = wanted.text("NetworkAclId"), wanted.number("RuleNumber"), wanted.flag("Egress")
    ports = wanted.object("PortRange") if wanted.has("PortRange") else None
    clients("ec2").create_network_acl_entry(
        NetworkAclId=acl,
        RuleNumber=number,
        Egress=egress,
        RuleAction=wanted.text("RuleAction"),
        Protocol=wanted.text("Protocol"),
        CidrBlock=wanted.text("CidrBlock"),
        **({"PortRange": {"From": ports.number("From"), "To": ports.number("To")}} if ports else {}),
    )
    return Made(f"{acl}|{number}|{egress}")


def _security_group(clients: Clients, wanted: Properties) -> Made:
    ec2 = clients("ec2")
    group = ec2.create_security_group(
        GroupName=wanted.text("GroupName"),
        Description=wanted.text("GroupDescription"),
        VpcId=wanted.text("VpcId"),
        TagSpecifications=tag_specification("security-group", wanted),
    )["GroupId"]
    if wanted.has("SecurityGroupEgress"):  # EC2's own rule, everything to everywhere, stands only where none is given
        everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
        rules = [_rule(rule) for rule in wanted.objects("SecurityGroupEgress")]
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=rules)
    return Made(group, {"GroupId": group})


def _rule(rule: Properties) -> dict[str, Any]:
    return {
        "IpProtocol": rule.text("IpProtocol"),
        "FromPort": rule.number("FromPort"),
        "ToPort": rule.number("ToPort"),
        "IpRanges": [{"CidrIp": rule.text("CidrIp"), "Description": rule.text("Description", "")}],
    }


KINDS = {
    "AWS::EC2::VPC": Kind(_vpc, frozenset({"EnableDnsSupport", "EnableDnsHostnames"}), _update_vpc),
    "AWS::EC2::InternetGateway": Kind(_internet_gateway),
    "AWS::EC2::VPCGatewayAttachment": Kind(_gateway_attachment),
    "AWS::EC2::Subnet": Kind(_subnet),
    "AWS::EC2::RouteTable": Kind(_route_table),
    "AWS::EC2::SubnetRouteTableAssociation": Kind(_subnet_routes),
    "AWS::EC2::Route": Kind(_route),
    "AWS::EC2::VPCEndpoint": Kind(_endpoint, frozenset({"PolicyDocument"}), _update_endpoint),
    "AWS::EC2::NetworkAcl": Kind(_acl),
    "AWS::EC2::SubnetNetworkAclAssociation": Kind(_subnet_acl),
    "AWS::EC2::NetworkAclEntry": Kind(_acl_entry),
    "AWS::EC2::SecurityGroup": Kind(_security_group),
}
