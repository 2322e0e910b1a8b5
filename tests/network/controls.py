"""What stops a way out. Each control can be opened for a while, by the account's owner, to show that it is what stops it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from testbed.common.shell import wait_until
from tests.network.ground import Ground

EVERYTHING = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
Opening = Callable[[Ground], Iterator[None]]

GROUP_OUT = "its group, out"
GROUP_IN = "its group, in"
PEER_IN = "the peer's group, in"
PRIVATE_OUT = "private group, out"
PRIVATE_IN = "private group, in"
ACL = "private ACL"
ROUTES = "private routes"
NO_ADDRESS = "no public address"
DNS_FIREWALL = "DNS Firewall"
SOURCE_CHECK = "source check"
ENDPOINT = "endpoint policy"
TOKENS = "tokens required"
HOPS = "hop limit"


@contextlib.contextmanager
def opened(ground: Ground, names: tuple[str, ...]) -> Iterator[None]:
    """Opens these controls and closes them again; both are in force when this goes on."""
    with contextlib.ExitStack() as closing:
        for name in names:
            closing.enter_context(contextlib.contextmanager(CONTROLS[name])(ground))
        ground.settle()
        yield
    ground.settle()


def _group(way: str, group: Callable[[Ground], str]) -> Opening:
    def opening(ground: Ground) -> Iterator[None]:
        chosen = {"GroupId": group(ground), "IpPermissions": EVERYTHING}
        getattr(ground.ec2, f"authorize_security_group_{way}")(**chosen)
        try:
            yield
        finally:
            getattr(ground.ec2, f"revoke_security_group_{way}")(**chosen)

    return opening


def _acl(ground: Ground) -> Iterator[None]:
    both = [{"NetworkAclId": ground.resources["PrivateAcl"]["reference"], "Egress": e, "RuleNumber": 1} for e in (True, False)]
    for way in both:
        ground.ec2.create_network_acl_entry(**way, RuleAction="allow", Protocol="-1", CidrBlock="0.0.0.0/0")
    try:
        yield
    finally:
        for way in both:
            ground.ec2.delete_network_acl_entry(**way)


def _routes(ground: Ground) -> Iterator[None]:
    route = {"RouteTableId": ground.resources["PrivateRouteTable"]["reference"], "DestinationCidrBlock": "0.0.0.0/0"}
    ground.ec2.create_route(**route, GatewayId=ground.resources["InternetGateway"]["reference"])
    try:
        yield
    finally:
        ground.ec2.delete_route(**route)


def _address(ground: Ground) -> Iterator[None]:
    address = ground.ec2.allocate_address(Domain="vpc")["AllocationId"]
    interface = ground.box.private_interface
    associated = ground.ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface)["AssociationId"]
    try:
        yield
    finally:
        ground.ec2.disassociate_address(AssociationId=associated)
        ground.ec2.release_address(AllocationId=address)


def _dns_firewall(ground: Ground) -> Iterator[None]:
    """The association is made anew, so it is looked up each time."""
    api, vpc = ground.client("route53resolver"), ground.outputs["VpcId"]
    (found,) = api.list_firewall_rule_group_associations(VpcId=vpc)["FirewallRuleGroupAssociations"]
    api.disassociate_firewall_rule_group(FirewallRuleGroupAssociationId=found["Id"])
    try:
        yield
    finally:
        kept = {key: found[key] for key in ("FirewallRuleGroupId", "VpcId", "Priority", "Name")}
        api.associate_firewall_rule_group(CreatorRequestId="again", **kept)


def _source_check(ground: Ground) -> Iterator[None]:
    def check(on: bool) -> None:
        for interface in (ground.box.inner_interface, ground.box.private_interface):
            ground.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, SourceDestCheck={"Value": on})

    check(False)
    try:
        yield
    finally:
        check(True)


def _endpoint(ground: Ground) -> Iterator[None]:
    endpoint = ground.outputs["S3EndpointId"]
    before = ground.ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"][0]["PolicyDocument"]
    everything: dict[str, Any] = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    open_ = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    ground.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=open_)
    try:
        yield
    finally:
        ground.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=before)


def _metadata(opened: dict[str, Any], closed: dict[str, Any]) -> Opening:
    def opening(ground: Ground) -> Iterator[None]:
        def change(options: dict[str, Any]) -> None:
            ground.ec2.modify_instance_metadata_options(InstanceId=ground.box.instance, **options)

        change(opened)
        try:
            yield
        finally:
            change(closed)
            wait_until("the metadata options are back", lambda: closed.items() <= _options(ground).items(), seconds=5)

    return opening


def _options(ground: Ground) -> dict[str, Any]:
    found: dict[str, Any] = ground.describe(ground.box.instance)["MetadataOptions"]
    return found


CONTROLS: dict[str, Opening] = {
    GROUP_OUT: _group("egress", lambda ground: ground.box.group),
    GROUP_IN: _group("ingress", lambda ground: ground.box.group),
    PEER_IN: _group("ingress", lambda ground: ground.peer.group),
    PRIVATE_OUT: _group("egress", lambda ground: ground.outputs["PrivateSecurityGroupId"]),
    PRIVATE_IN: _group("ingress", lambda ground: ground.outputs["PrivateSecurityGroupId"]),
    ACL: _acl,
    ROUTES: _routes,
    NO_ADDRESS: _address,
    DNS_FIREWALL: _dns_firewall,
    SOURCE_CHECK: _source_check,
    ENDPOINT: _endpoint,
    TOKENS: _metadata({"HttpTokens": "optional"}, {"HttpTokens": "required"}),
    HOPS: _metadata({"HttpPutResponseHopLimit": 2}, {"HttpPutResponseHopLimit": 1}),
}
