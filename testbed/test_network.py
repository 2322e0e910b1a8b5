"""What the local AWS's network decides, as far as it is decided by pure functions: ACLs, routes, the fabric's rules, DNS."""

from __future__ import annotations

import struct
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from testbed.aws.machines import acl, dns, firewall, rules, sending  # noqa: E402
from testbed.aws.machines.resolver import S3_ALIAS, own  # noqa: E402

Json = dict[str, Any]
BUCKET = "demo-backup.s3.us-east-1.amazonaws.com"


def entry(allow: bool, protocol: str = "6", to: str = "0.0.0.0/0", **more: int) -> Json:
    ports = {"from": 443, "to": 443, "icmp_type": None, "icmp_code": None}
    return {"allow": allow, "protocol": protocol, "range": to, **ports, **more}


def nic(**changes: Any) -> Json:
    """A private side: the VPC and S3's endpoint are all that it has routes to."""
    return {
        "id": "eni-0123456789abcdef0",
        "ip": "10.0.2.5",
        "mac": "02:00:00:00:00:05",
        "public": None,
        "vpc": "vpc-1",
        "vpc_ranges": ["10.0.0.0/16"],
        "subnet_range": "10.0.2.0/24",
        "source_dest_check": True,
        "groups": ["sg-1"],
        "dns": True,
        "routes": [{"to": "198.51.100.3/32", "by": "s3"}, {"to": "10.0.0.0/16", "by": "local"}],
        "acl": {"id": "acl-0123456789abcdef0", "in": [], "out": [entry(True)]},
        **changes,
    }


class Acls(unittest.TestCase):
    def test_rules_stay_in_order_and_what_no_rule_names_is_dropped(self) -> None:
        found = {"id": "acl-1", "in": [entry(False, to="10.0.0.0/8"), entry(True)], "out": []}
        made = acl.chains([nic(acl=found)])
        self.assertEqual(
            made["acl_in_acl-1"], ["ip saddr 10.0.0.0/8 tcp dport 443-443 drop", "tcp dport 443-443 return", "drop"]
        )
        self.assertEqual(made["acl_out_acl-1"], ["drop"])

    def test_protocols_are_those_of_their_numbers(self) -> None:
        cases = {
            "-1": "return",
            "17": "udp dport 443-443 return",
            "1": "meta l4proto icmp return",
            "47": "meta l4proto 47 return",
        }
        for number, rule in cases.items():
            found = {"id": "acl-1", "in": [entry(True, number)], "out": []}
            self.assertEqual(acl.chains([nic(acl=found)])["acl_in_acl-1"][0], rule)
        echo = {"id": "acl-1", "in": [entry(True, "1", icmp_type=8, icmp_code=-1)], "out": []}
        self.assertEqual(acl.chains([nic(acl=echo)])["acl_in_acl-1"][0], "icmp type 8 return")


class Sending(unittest.TestCase):
    def test_own_addresses_come_first_and_an_unknown_destination_last(self) -> None:
        found = sending.rules(nic(), [nic()])
        self.assertEqual(found[:2], ["ether saddr != 02:00:00:00:00:05 drop", "ip saddr != 10.0.2.5 drop"])
        self.assertEqual(found[-1], "drop")

    def test_without_the_source_destination_check_the_mac_is_still_checked(self) -> None:
        found = sending.rules(nic(source_dest_check=False), [])
        self.assertEqual([rule for rule in found if "saddr !=" in rule], ["ether saddr != 02:00:00:00:00:05 drop"])

    def test_the_vpc_s_services_come_before_the_acl_and_the_resolver_only_where_the_vpc_has_one(self) -> None:
        found = sending.rules(nic(), [])
        acl_place = next(place for place, rule in enumerate(found) if "jump acl_out" in rule)
        served = [place for place, rule in enumerate(found) if rule.endswith("accept") and place < acl_place]
        self.assertEqual(len(served), 2)
        self.assertIn("{ 169.254.169.253, 10.0.0.2 }", found[served[1]])
        without = sending.rules(nic(dns=False), [])
        self.assertFalse([rule for rule in without if "dport 53" in rule])

    def test_routes_are_taken_in_their_order_and_an_internet_gateway_carries_public_addresses_only(self) -> None:
        routes = [
            {"to": "203.0.113.20/32", "by": "nowhere"},
            {"to": "10.0.0.0/16", "by": "local"},
            {"to": "0.0.0.0/0", "by": "internet"},
        ]
        neighbour = nic(ip="10.0.1.9", id="eni-2")
        public = sending.rules(nic(routes=routes, public="198.51.100.20"), [neighbour, nic(ip="10.0.1.8", vpc="vpc-2")])
        self.assertEqual(
            public[-5:],
            [
                "ip daddr 203.0.113.20/32 drop",
                "ip daddr { 10.0.1.9 } accept",
                "ip daddr 10.0.0.0/16 drop",
                "meta mark set 1 accept",
                "drop",
            ],
        )
        self.assertEqual(sending.rules(nic(routes=routes), [])[-2:], ["drop", "drop"])


class Fabric(unittest.TestCase):
    def test_an_interface_that_is_not_known_yet_sends_nothing(self) -> None:
        text = rules.render({"instances": [], "groups": {}}, set())
        sent = text[text.index("chain sent") : text.index("chain leave")]
        self.assertIn("policy drop", sent)

    def test_a_group_without_rules_opens_neither_way(self) -> None:
        snapshot = {"instances": [{"nics": [nic()]}], "groups": {"sg-1": {"in": [], "out": []}}}
        text = rules.render(snapshot, {"eni-0123456789abcdef0"})
        for way in ("out", "in"):
            chain = text.partition(f"chain {way}_n56789abcdef0 {{\n")[2].partition("}\n")[0]
            self.assertTrue(chain.strip().endswith("drop"), chain)
            self.assertNotIn("return", chain)
            self.assertNotIn("accept", chain)


def query(name: str, kind: int = dns.A) -> bytes:
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + dns.encoded(name) + struct.pack("!HH", kind, 1)


class Names(unittest.TestCase):
    def test_a_bucket_s_name_is_an_alias_that_leads_to_an_address(self) -> None:
        asked = query(BUCKET)
        found = own(asked, dns.question(asked))
        self.assertEqual(dns.aliases(found), [S3_ALIAS])
        self.assertTrue(found.endswith(bytes([198, 51, 100, 3])))
        self.assertEqual(found[:2], asked[:2])

    def test_compressed_names_are_followed_and_circles_are_refused(self) -> None:
        asked = query("a.example")
        alias = b"\xc0\x0c" + struct.pack("!HHIH", dns.CNAME, 1, 5, 4) + b"\x01b\xc0\x0e"
        message = asked[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + asked[12:] + alias
        self.assertEqual(dns.aliases(message), ["b.example"])
        circle = asked[:12] + b"\xc0\x0c\0\1\0\1"
        for bad in (circle, asked[:14], b"", asked[:12] + b"\xff\xff"):
            with self.assertRaises(dns.Malformed):
                dns.question(bad)


def rule(action: str, *domains: str, trusts: bool = False, response: str = "NXDOMAIN") -> Json:
    return {"action": action, "response": response, "trusts_redirection": trusts, "domains": list(domains)}


class Firewall(unittest.TestCase):
    def test_the_first_list_that_has_the_name_decides(self) -> None:
        walled = [rule("ALLOW", BUCKET, trusts=True), rule("BLOCK", "*")]
        self.assertIsNone(firewall.blocked(walled, BUCKET, [S3_ALIAS]))
        self.assertEqual(firewall.blocked(walled, "x.tunnel.example"), dns.NO_SUCH_NAME)
        self.assertEqual(firewall.blocked(list(reversed(walled)), BUCKET), dns.NO_SUCH_NAME)
        self.assertIsNone(firewall.blocked([], "x.tunnel.example"))

    def test_names_below_an_allowed_one_are_other_names(self) -> None:
        walled = [rule("ALLOW", BUCKET), rule("BLOCK", "*", response="NODATA")]
        for name in (f"x.{BUCKET}", f"x{BUCKET}", BUCKET.partition(".")[2]):
            self.assertEqual(firewall.blocked(walled, name), dns.NO_ERROR)
        self.assertTrue(firewall.holds("*.example.com", "a.b.example.com"))
        self.assertFalse(firewall.holds("*.example.com", "example.com"))

    def test_what_an_allowed_name_leads_on_to_is_judged_too(self) -> None:
        walled = [rule("ALLOW", BUCKET), rule("BLOCK", "*")]
        self.assertEqual(firewall.blocked(walled, BUCKET, ["x.tunnel.example"]), dns.NO_SUCH_NAME)


try:  # the EC2 back end's half needs moto, which is in the test bed's own environment
    from testbed.aws.backend import topology
except ImportError:
    topology = None  # type: ignore[assignment]


@unittest.skipIf(topology is None, "moto is not installed")
class Topology(unittest.TestCase):
    def test_the_longest_prefix_comes_first_and_a_route_without_a_target_leads_nowhere(self) -> None:
        def route(to: str, local: bool = False, gateway: Any = None) -> Any:
            return SimpleNamespace(destination_cidr_block=to, local=local, gateway=gateway)

        attached = SimpleNamespace(id="igw-1", vpc=SimpleNamespace(id="vpc-1"))
        elsewhere = SimpleNamespace(id="igw-2", vpc=SimpleNamespace(id="vpc-2"))
        table = SimpleNamespace(
            id="rtb-1",
            vpc_id="vpc-1",
            main_association_id=None,
            _associations={"a": "subnet-1"},
            routes=[
                route("0.0.0.0/0", gateway=attached),
                route("10.0.0.0/16", local=True),
                route("203.0.113.0/24", gateway=elsewhere),
            ],
        )
        endpoint = SimpleNamespace(
            id="vpce-1",
            service_name="com.amazonaws.us-east-1.s3",
            vpc_endpoint_type="Gateway",
            state="available",
            route_table_ids=["rtb-1"],
        )
        backend = SimpleNamespace(route_tables={"rtb-1": table}, vpc_end_points={"vpce-1": endpoint})
        found = topology.routes(SimpleNamespace(id="subnet-1", vpc_id="vpc-1"), backend)
        self.assertEqual([r["by"] for r in found], ["s3", "nowhere", "local", "internet"])


if __name__ == "__main__":
    unittest.main()
