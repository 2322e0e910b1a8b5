"""Each trait of a box is one that a box can lack: what EC2 says is changed once for each, and that trait alone turns."""

from __future__ import annotations

import copy
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

try:  # the ground needs boto3, which is in the test bed's own environment
    from tests.network import stock
    from tests.network.traits import traits
except ImportError:
    traits = None  # type: ignore[assignment]

BOOT = Path(__file__).resolve().parents[2] / "crates/lambdas/src/boot.sh"
Json = dict[str, Any]
ANYWHERE = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def as_it_should_be() -> Json:
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.10/32"}]}
    s3 = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    allow = {"RuleAction": "allow", "Protocol": "6", "PortRange": {"From": 443, "To": 443}}
    interfaces = [
        {"Attachment": {"DeviceIndex": 0, "DeleteOnTermination": True}, "SourceDestCheck": True, "Association": {}},
        {"Attachment": {"DeviceIndex": 1, "DeleteOnTermination": True}, "SourceDestCheck": True},
    ]
    return {
        "instance": {
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "NetworkInterfaces": interfaces,
        },
        "ends": "terminate",
        "volumes": [{"VolumeId": "vol-1", "Encrypted": True}],
        "group": {"IpPermissions": [ssh], "IpPermissionsEgress": []},
        "private_group": {"IpPermissions": [], "IpPermissionsEgress": [s3]},
        "subnets": [{"MapPublicIpOnLaunch": False}, {"MapPublicIpOnLaunch": False}],
        "vpc": {},
        "routes": [{"GatewayId": "local"}, {"GatewayId": "vpce-1"}],
        "acl": [{**allow, "Egress": True}, {**allow, "Egress": False}, {"RuleAction": "deny", "Egress": True}],
        "names": [["ALLOW", "backup.s3.x.", "state.s3.x."], ["BLOCK", "*."]],
        "listens": ["0016=drawbridge-jumpbox"],
        "stock": [],
        "clients": ["203.0.113.10/32"],
        "s3_port": 443,
        "buckets": ["backup", "state"],
    }


CHANGES: dict[str, Callable[[Json], object]] = {
    "no key pair": lambda k: k["instance"].update(KeyName="somebody"),
    "version 2 of the metadata service only": lambda k: k["instance"]["MetadataOptions"].update(HttpTokens="optional"),
    "tokens go one hop": lambda k: k["instance"]["MetadataOptions"].update(HttpPutResponseHopLimit=2),
    "every volume is encrypted": lambda k: k["volumes"].append({"VolumeId": "vol-2", "Encrypted": False}),
    "shutting down terminates": lambda k: k.update(ends="stop"),
    "the public side's group lets nothing out": lambda k: k["group"]["IpPermissionsEgress"].append(ANYWHERE),
    "... and in only SSH from the client networks": lambda k: k["clients"].append("192.0.2.0/24"),
    "the private side's group lets nothing in": lambda k: k["private_group"]["IpPermissions"].append(ANYWHERE),
    "... and out only to S3's port": lambda k: k["private_group"]["IpPermissionsEgress"].append(ANYWHERE),
    "the private side has no public address": lambda k: (
        k["instance"]["NetworkInterfaces"][1].update(Association={"PublicIp": "198.51.100.20"})
    ),
    "its source is checked": lambda k: k["instance"]["NetworkInterfaces"][0].update(SourceDestCheck=False),
    "it goes with the machine": lambda k: (
        k["instance"]["NetworkInterfaces"][1]["Attachment"].update(DeleteOnTermination=False)
    ),
    "the private subnet routes to the VPC and S3's endpoint": lambda k: k["routes"].append({"GatewayId": "igw-1"}),
    "its ACL denies by default": lambda k: k["acl"].append({"RuleAction": "allow", "Protocol": "-1", "Egress": True}),
    "no subnet gives public addresses": lambda k: k["subnets"][0].update(MapPublicIpOnLaunch=True),
    "no IPv6": lambda k: k["vpc"].update(Ipv6CidrBlockAssociationSet=["2001:db8::/56"]),
    "two names, and no other": lambda k: k["names"].pop(),
    "only the box's program listens": lambda k: k["listens"].append("0016=sshd"),
    "no stock service runs": lambda k: k["stock"].append("amazon-ssm-agent"),
}


@unittest.skipIf(traits is None, "boto3 is not installed")
class Traits(unittest.TestCase):
    def test_a_box_as_it_should_be_has_all(self) -> None:
        self.assertEqual([trait.name for trait in traits(as_it_should_be()) if not trait.holds], [])

    def test_each_is_lost_by_the_change_that_it_is_about_and_by_no_other(self) -> None:
        self.assertEqual(set(CHANGES), {trait.name for trait in traits(as_it_should_be())})
        for name, change in CHANGES.items():
            known = copy.deepcopy(as_it_should_be())
            change(known)
            self.assertEqual([trait.name for trait in traits(known) if not trait.holds], [name])

    def test_user_data_without_its_stop_must_leave_both_stock_services_running(self) -> None:
        both = {"listens": ["0016=python3.11"], "stock": ["sshd", "amazon-ssm-agent"]}
        self.assertTrue(stock.left_running(as_it_should_be(), both).holds)
        for found in (
            {"listens": [], "stock": []},
            {"listens": [], "stock": both["stock"]},
            {**both, "stock": ["sshd"]},
            {"listens": ["0016=drawbridge-jumpbox"], "stock": both["stock"]},
        ):
            self.assertFalse(stock.left_running(as_it_should_be(), found).holds, found)

    def test_a_machine_that_somebody_else_ended_did_not_shut_itself_down(self) -> None:
        self.assertTrue(stock.refused({"StateReason": {"Code": "Client.InstanceInitiatedShutdown"}}).holds)
        self.assertFalse(stock.refused({"StateReason": {"Code": "Client.UserInitiatedShutdown"}}).holds)

    def test_what_is_left_out_of_the_user_data_is_in_boot_sh_once(self) -> None:
        for part in (stock.CALL, stock.STOPPING):
            self.assertNotIn(part, stock.without(BOOT.read_text(), part, "\n:\n"))
            with self.assertRaisesRegex(ValueError, "0 times"):
                stock.without("#!/bin/bash", part, ":")


if __name__ == "__main__":
    unittest.main()
