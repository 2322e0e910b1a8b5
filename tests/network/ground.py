"""Two boxes of a deployed stack, what runs on them and around them, and who sees what arrives where."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from testbed.aws import aws
from testbed.aws.layout import NEIGHBOUR_ACCOUNT, OUTSIDER_ADDRESS, Names
from testbed.aws.machines import rules
from testbed.common import run as runs
from testbed.common.shell import wait_until
from tests.sessions.account import Account, new_session

INSIDE = Path(__file__).resolve().parent / "inside"
ESCAPE, WITNESS = (INSIDE / "escape.py").read_text(), INSIDE / "witness.py"
CONTAINER = """
ip netns add inner && ip link add outer type veth peer name eth0 netns inner
ip addr add 172.17.0.1/24 dev outer; ip link set outer up
ip -n inner addr add 172.17.0.2/24 dev eth0; ip -n inner link set eth0 up; ip -n inner route add default via 172.17.0.1
sysctl -qw net.ipv4.ip_forward=1; iptables -t nat -A POSTROUTING -s 172.17.0.0/24 -j MASQUERADE
"""
# Ways that the box's root gives his machine.
ROUTES = """
ip route add 203.0.113.0/24 via {router} dev ens6
ip -6 route add default dev ens5 metric 1; ip -6 route add default dev ens6 metric 2
"""


@dataclass(frozen=True)
class Box:
    """A box with what EC2 says of it. Its public side is ens5, its private one ens6."""

    session: str
    instance: str
    group: str
    public: str
    inner: str
    inner_interface: str
    private: str
    private_interface: str


class Ground:
    """The stack under test. `box` is whose root tries to get out; `peer` is another session's."""

    def __init__(self, run_id: str, stack_file: Path) -> None:
        self._run = runs.load(run_id)
        self.names = Names(self._run.index)
        self.account = Account(run_id, stack_file)
        self.outputs = self.account.outputs
        self.resources: dict[str, Any] = json.loads(stack_file.read_text())["resources"]
        self.facts = json.loads((self._run.dir / "testbed.json").read_text())["aws"]
        self.ec2 = self.client("ec2")
        self.s3_address, self.s3_port = _place(self.facts["s3_endpoint"])
        self.api_address, self.api_port = _place(self.facts["api_endpoint"])
        self._heard: dict[str, Path] = {}

    def client(self, service: str, neighbour: bool = False, endpoint: str | None = None) -> Any:
        """As the account's owner, or another account's."""
        root = self.facts["root"]
        key = NEIGHBOUR_ACCOUNT if neighbour else root["access_key_id"]
        return self._client(service, endpoint or self.facts["endpoint"], key, root["secret_access_key"])

    def client_with(self, role: dict[str, str], endpoint: str) -> Any:
        """S3 as a role, with the credentials that STS gave."""
        return self._client("s3", endpoint, role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"])

    def _client(self, service: str, endpoint: str, *key: str) -> Any:
        options = Config(
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            signature_version="s3v4" if service == "s3" else None,
        )
        return boto3.Session(*key, region_name=self.facts["region"]).client(
            service, endpoint_url=endpoint, config=options, verify=self.facts.get("ca_bundle")
        )

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """Opens two sessions, and closes them."""
        sessions = [new_session(), new_session()]
        with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as ending:
            for session in sessions:
                ending.callback(self.account.close, session)
            self.box, self.peer = (self._box(session) for session in sessions)
            self.shell(self.box, CONTAINER + ROUTES.format(router=self.router()))
            for program in self._witnesses(Path(directory)):
                ending.callback(program.wait)
                ending.callback(program.kill)
            self.settle()
            yield

    def _box(self, session: str) -> Box:
        instance = self.account.ready(session)["instance"]
        found = self.describe(instance)
        first, second = sorted(found["NetworkInterfaces"], key=lambda nic: nic["Attachment"]["DeviceIndex"])
        return Box(
            session,
            instance,
            first["Groups"][0]["GroupId"],
            first["Association"]["PublicIp"],
            first["PrivateIpAddress"],
            first["NetworkInterfaceId"],
            second["PrivateIpAddress"],
            second["NetworkInterfaceId"],
        )

    def describe(self, instance: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return found

    def router(self) -> str:
        """The private subnet's: the base of its range plus one."""
        found = self.ec2.describe_subnets(SubnetIds=[self.outputs["PrivateSubnetId"]])["Subnets"][0]
        return str(IPv4Network(found["CidrBlock"])[1])

    def resolver(self) -> str:
        """The VPC's: the base of its range plus two."""
        vpc = self.ec2.describe_vpcs(VpcIds=[self.outputs["VpcId"]])["Vpcs"][0]
        return str(IPv4Network(vpc["CidrBlock"])[2])

    def router_mac(self, interface: str) -> str:
        """What a frame to elsewhere is addressed to."""
        link = rules.device({"id": interface})
        shown = ["ip", "-n", self.names.fabric, "-json", "link", "show", "dev", link]
        found = json.loads(subprocess.run(shown, capture_output=True, text=True, check=True).stdout)
        return str(found[0]["address"])

    # Who hears

    def _witnesses(self, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
        """One on the internet, which answers too; one with AWS's services; one on the other box."""
        outside, services = self.facts["outside_command"], ["ip", "netns", "exec", self.names.services]
        places = {
            "internet": (outside, directory / "internet", ["serve", OUTSIDER_ADDRESS]),
            "services": (services, directory / "services", []),
            "peer": (["ip", "netns", "exec", self.names.machine(self.peer.instance)], directory / "peer", []),
            "box": (["ip", "netns", "exec", self.names.machine(self.box.instance)], directory / "box", []),
        }
        for name, (inside, path, more) in places.items():
            self._heard[name] = path
            yield subprocess.Popen([*inside, "python3", str(WITNESS), str(path), *more])
            wait_until(f"the witness at {name} listens", lambda path=path: path.exists() and path.read_text(), seconds=10)

    def heard(self, mark: str) -> list[str]:
        """Where a mark arrived."""
        return [place for place, path in self._heard.items() if mark in path.read_text().split()]

    def catch_up(self) -> None:
        """Returns when the witness on the internet has written down all that arrived before."""
        mark = new_mark()
        say = f"import socket; socket.socket(2, 2).sendto(b'{mark}', ('{OUTSIDER_ADDRESS}', 9))"
        subprocess.run(["ip", "netns", "exec", self.names.fabric, "python3", "-c", say], check=True)
        wait_until("the witness catches up", lambda: self.heard(mark), seconds=5)

    # Who tries

    def shell(self, box: Box, script: str) -> None:
        """Runs a script as the box's root; what it says is nobody's business."""
        self._inside(box, ["bash", "-c", script], check=False)

    def escape(self, who: str, attempts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Runs attempts at once: on the box, in a container of it, or outside."""
        program = ["python3", "-c", ESCAPE, json.dumps(attempts)]
        if who == "outsider":
            done = subprocess.run([*self.facts["outside_command"], *program], capture_output=True, text=True, check=True)
        else:
            within = ["ip", "netns", "exec", "inner"] if who == "container" else []
            done = self._inside(self.peer if who == "peer" else self.box, [*within, *program])
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    def read(self, box: Box, script: str) -> str:
        """What a script prints on a box."""
        return str(self._inside(box, ["bash", "-c", script]).stdout)

    def _inside(self, box: Box, command: list[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = [*aws.enter(self._run, box.instance), *command]
        path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=check, env=path)

    # What holds

    def settle(self) -> None:
        """Waits until the fabric enforces what EC2 says now."""
        applied = self._run.part("aws") / "machines" / "rules.nft"

        def holds() -> bool:
            with urllib.request.urlopen(f"{self.facts['control']}/instances", timeout=10) as answer:
                said = json.loads(answer.read())
            running = [i for i in said["instances"] if i["state"] in ("pending", "running", "shutting-down")]
            plugged = {nic["id"] for instance in running for nic in instance["nics"]}
            return applied.read_text() == rules.render(said, plugged)

        wait_until("the fabric's rules are EC2's", holds, seconds=10)


def new_mark() -> str:
    return f"dbx{secrets.token_hex(8)}"


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
