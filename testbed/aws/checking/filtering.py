"""What stands between a box and the rest besides security groups: ACLs, routes, its own MAC, the resolver, the metadata's hops."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from testbed.aws.layout import API_ADDRESS, API_PORT, OUTSIDER_ADDRESS, REGION, S3_ADDRESS

from .kit import Bed, Checks, reaches, until
from .network import Network
from .stack import BUCKET, Stack

TOOLS = Path(__file__).resolve().parent / "tools"
BUCKET_NAME = f"{BUCKET}.s3.{REGION}.amazonaws.com"
RESOLVER, LINK_LOCAL = "10.0.0.2", "169.254.169.253"
ZONE = "tunnel.example"
METADATA = "http://169.254.169.254/latest"
# A container as its runtime makes one: a namespace of its own, a link, forwarding and translation.
CONTAINER = """
ip netns add inner; ip link add outer type veth peer name eth0 netns inner
ip addr add 172.17.0.1/24 dev outer; ip link set outer up
ip -n inner addr add 172.17.0.2/24 dev eth0; ip -n inner link set eth0 up; ip -n inner route add default via 172.17.0.1
sysctl -qw net.ipv4.ip_forward=1; iptables -t nat -A POSTROUTING -s 172.17.0.0/24 -j MASQUERADE
"""


class Filtering:
    """Checks from inside a box with both interfaces; each thing is closed and opened again."""

    def __init__(self, bed: Bed, stack: Stack, checks: Checks, wires: Network) -> None:
        self.bed, self.stack, self.checks, self.wires = bed, stack, checks, wires
        self.ec2 = bed.client("ec2")

    def everything(self) -> None:
        self.acl()
        self.routes()
        self.own_mac()
        self.resolver()
        self.dns_firewall()
        self.container()

    def _puts(self, wanted: str) -> Any:
        return until(lambda: self.wires.s3("PUT", BUCKET, "f", "--data-binary", "x") == wanted, 4)

    # ---- network ACLs

    def acl(self) -> None:
        checks = self.checks
        acl = self.ec2.create_network_acl(VpcId=self.stack.vpc)["NetworkAcl"]["NetworkAclId"]
        before = self._associate(self.stack.private_subnet, acl)
        checks.that("an ACL without rules lets nothing through", self._puts("000"))
        self._entry(acl, 100, True, "allow", API_PORT, API_PORT)
        checks.that("... with a way out only, no answer comes back", self._stays("000"))
        self._entry(acl, 100, False, "allow", 32768, 60999)
        checks.that("... with the answers' ports it works", self._puts("200"))
        self._entry(acl, 90, False, "deny", 32768, 60999)
        checks.that("a denial with a lower number comes first", self._puts("000"))
        self.ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=90, Egress=False)
        self._entry(acl, 110, False, "deny", 32768, 60999)
        checks.that("... with a higher one it is not asked", self._puts("200"))
        self.ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=True)
        self._puts("000")
        answered = self._dig(RESOLVER, BUCKET_NAME)
        checks.that("the resolver answers past an ACL and a group that let nothing out", S3_IN_ANSWER in answered, answered)
        self._associate(self.stack.private_subnet, before)
        checks.that("with the VPC's own ACL everything is let through", self._puts("200"))

    def _stays(self, wanted: str) -> bool:
        """The rule before made no difference: it is asked twice, since a change takes a moment."""
        return all(self.wires.s3("PUT", BUCKET, "f", "--data-binary", "x") == wanted for _ in range(2))

    def _entry(self, acl: str, number: int, egress: bool, action: str, first: int, last: int) -> None:
        ports = {"From": first, "To": last}
        self.ec2.create_network_acl_entry(
            NetworkAclId=acl,
            RuleNumber=number,
            Egress=egress,
            RuleAction=action,
            Protocol="6",
            CidrBlock="0.0.0.0/0",
            PortRange=ports,
        )

    def _associate(self, subnet: str, acl: str) -> str:
        """Gives the subnet another ACL; returns the one that it had."""
        here = [{"Name": "association.subnet-id", "Values": [subnet]}]
        standing = self.ec2.describe_network_acls(Filters=here)["NetworkAcls"][0]
        association = next(a for a in standing["Associations"] if a["SubnetId"] == subnet)
        self.ec2.replace_network_acl_association(
            AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl
        )
        return str(standing["NetworkAclId"])

    # ---- routes

    def routes(self) -> None:
        """The public side has an egress rule by now (`Network.public_side_out`)."""
        checks, table = self.checks, self.stack.public_table
        to_outsider = f"{OUTSIDER_ADDRESS}/32"
        refused = lambda: "refused" in self.wires.inside(f"timeout 1 bash -c '</dev/tcp/{OUTSIDER_ADDRESS}/9'").stderr  # noqa: E731
        checks.that("by the default route the outsider answers", until(refused, 3))
        interface = self.ec2.create_network_interface(SubnetId=self.stack.private_subnet)["NetworkInterface"]
        nowhere = {"NetworkInterfaceId": interface["NetworkInterfaceId"]}
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock=to_outsider, **nowhere)
        checks.that("a longer route that leads nowhere wins", until(lambda: not refused(), 3))
        self.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=to_outsider)
        checks.that("... without it the default route is taken again", until(refused, 3))
        self.ec2.delete_network_interface(**nowhere)
        everyone = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": to_outsider}]}]
        self.ec2.authorize_security_group_ingress(GroupId=self.stack.public_group, IpPermissions=everyone)
        into = lambda: reaches(self.wires.outside, self.wires.public, 22)  # noqa: E731
        checks.that("somebody in the group's rule reaches the box", until(into, 3))
        self.ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
        checks.that("... not without a route for the answers", until(lambda: not into(), 3))
        back = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": self.stack.gateway}
        self.ec2.create_route(**back)
        checks.that("... with it again", until(into, 3))
        self.ec2.revoke_security_group_ingress(GroupId=self.stack.public_group, IpPermissions=everyone)

    def own_mac(self) -> None:
        checks, inside = self.checks, self.wires.inside
        mac = inside("cat /sys/class/net/ens6/address").stdout.strip()
        inside("ip link set ens6 address 02:00:00:00:00:99")
        checks.that("frames with a made-up MAC go nowhere", self._puts("000"))
        inside(f"ip link set ens6 address {mac}")
        checks.that("... with the interface's own they go", self._puts("200"))

    # ---- the resolver

    def _dig(self, server: str, name: str, *how: str) -> str:
        script = (TOOLS / "dig.py").read_text()
        return self.wires.inside(f"python3 -c {shlex.quote(script)} {server} {name} {' '.join(how)}").stdout.strip()

    def resolver(self) -> None:
        checks = self.checks
        for server in (RESOLVER, LINK_LOCAL):
            for protocol in ("udp", "tcp"):
                found = self._dig(server, BUCKET_NAME, protocol)
                checks.that(f"{server} by {protocol} knows a bucket's name", S3_IN_ANSWER in found, found)
        looked_up = self.wires.inside(f"getent ahostsv4 {BUCKET_NAME}").stdout
        checks.that("programs on the box ask it", S3_ADDRESS in looked_up, looked_up)
        api = self._dig(RESOLVER, f"lambda.{REGION}.amazonaws.com")
        checks.that("other AWS names lead to the API's address", _in_answer(API_ADDRESS) in api, api)
        self._dns_support(False)
        checks.that(
            "without the VPC's enableDnsSupport nothing answers",
            until(lambda: self._dig(RESOLVER, BUCKET_NAME) == "none", 5)
            and self._dig(LINK_LOCAL, BUCKET_NAME) == "none",
        )
        self._dns_support(True)
        checks.that("... with it, it does", until(lambda: S3_IN_ANSWER in self._dig(RESOLVER, BUCKET_NAME), 5))

    def _dns_support(self, on: bool) -> None:
        self.ec2.modify_vpc_attribute(VpcId=self.stack.vpc, EnableDnsSupport={"Value": on})

    def dns_firewall(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            heard = Path(directory) / "heard"
            zone = [*self.bed.facts["outside_command"], "python3", str(TOOLS / "zone.py"), OUTSIDER_ADDRESS, str(heard)]
            server = subprocess.Popen(zone)
            try:
                until(lambda: heard.exists() and heard.read_text())
                self._through_the_firewall(heard)
            finally:
                server.kill()
                server.wait()

    def _through_the_firewall(self, heard: Path) -> None:
        checks, api = self.checks, self.bed.client("route53resolver")
        self._dig(RESOLVER, f"first.{ZONE}")
        checks.that("a name's holder hears what a box asks for", f"first.{ZONE}" in heard.read_text())
        buckets, every = self._list(api, "buckets", BUCKET_NAME), self._list(api, "everything", "*")
        group = api.create_firewall_rule_group(CreatorRequestId="g", Name="checks")["FirewallRuleGroup"]["Id"]
        rule = {"FirewallRuleGroupId": group, "CreatorRequestId": "r"}
        api.create_firewall_rule(FirewallDomainListId=buckets, Priority=10, Action="ALLOW", Name="allow", **rule)
        blocked = {"Action": "BLOCK", "BlockResponse": "NXDOMAIN"}
        api.create_firewall_rule(FirewallDomainListId=every, Priority=20, Name="block", **blocked, **rule)
        associated = api.associate_firewall_rule_group(
            CreatorRequestId="a", FirewallRuleGroupId=group, VpcId=self.stack.vpc, Priority=101, Name="checks"
        )["FirewallRuleGroupAssociation"]["Id"]
        checks.that("a blocked name is said not to be", until(lambda: self._dig(RESOLVER, f"x.{ZONE}").startswith("3 "), 5))
        before = heard.read_text()
        for server in (RESOLVER, LINK_LOCAL):
            for protocol in ("udp", "tcp"):
                self._dig(server, f"second.{ZONE}", protocol)
        checks.that("... and its holder hears nothing", heard.read_text() == before, heard.read_text())
        found = self._dig(RESOLVER, BUCKET_NAME)
        checks.that("an allowed name whose alias is not allowed is blocked", found.startswith("3 "), found)
        api.update_firewall_rule(
            FirewallRuleGroupId=group,
            FirewallDomainListId=buckets,
            FirewallDomainRedirectionAction="TRUST_REDIRECTION_DOMAIN",
        )
        trusted = until(lambda: S3_IN_ANSWER in self._dig(RESOLVER, BUCKET_NAME), 5)
        checks.that("... unless the rule trusts redirection", trusted)
        api.disassociate_firewall_rule_group(FirewallRuleGroupAssociationId=associated)
        checks.that(
            "without the association names go out again",
            until(lambda: self._dig(RESOLVER, f"third.{ZONE}") and f"third.{ZONE}" in heard.read_text(), 5),
        )
        nobody = self.bed.client("route53resolver", self.bed.user("checks-dns"))
        checks.denied(
            "ListFirewallRules by an identity without rights",
            lambda: nobody.list_firewall_rules(FirewallRuleGroupId=group),
            "AccessDeniedException",
        )

    @staticmethod
    def _list(api: Any, name: str, *domains: str) -> str:
        made = api.create_firewall_domain_list(CreatorRequestId=name, Name=name)["FirewallDomainList"]["Id"]
        api.update_firewall_domains(FirewallDomainListId=made, Operation="REPLACE", Domains=list(domains))
        return str(made)

    # ---- the metadata service

    def container(self) -> None:
        """One hop more than the box itself."""
        checks, box = self.checks, self.wires.box
        self.wires.inside(CONTAINER)
        plain = self._inner(f"curl -s -m 2 -o /dev/null -w '%{{http_code}}' {METADATA}/meta-data/")
        checks.that("a container reaches the metadata service", plain == "401", plain)
        token = f"curl -s -m 2 -X PUT {METADATA}/api/token -H 'X-aws-ec2-metadata-token-ttl-seconds: 60'"
        checks.that("... and gets no token with a hop limit of 1", self._inner(token) == "", self._inner(token))
        checks.that("... the box gets one", len(self.wires.inside(token).stdout) > 20)
        self.ec2.modify_instance_metadata_options(InstanceId=box, HttpPutResponseHopLimit=2)
        checks.that("... with a limit of 2 the container gets one too", until(lambda: len(self._inner(token)) > 20, 6))
        self.ec2.modify_instance_metadata_options(InstanceId=box, HttpPutResponseHopLimit=1)

    def _inner(self, command: str) -> str:
        return self.wires.inside(f"ip netns exec inner {command}").stdout.strip()


def _in_answer(address: str) -> str:
    """How dig.py shows an address at the end of an answer."""
    return repr(bytes(int(part) for part in address.split(".")))[2:-1]


S3_IN_ANSWER = _in_answer(S3_ADDRESS)
