"""The account as probes see it: identities, places, and a few things of theirs to point at."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from testbed.aws.cloudformation.stack import Deployment, Stack
from testbed.aws.deploy import load_template, load_watch_template
from testbed.aws.layout import Names
from testbed.common import run as runs
from testbed.common.errors import TestbedError
from tests.policy.belongings import Belongings
from tests.policy.probe import Place
from tests.policy.tokens import Tokens

METADATA = "http://169.254.169.254/latest"
CLONE_NEWNET = 0x40000000
Credentials = dict[str, str]


class World:
    """Clients by identity and place. Identities: root, admin (an IAM user that may do everything as far as its own
    policy goes), cloudformation (the same when CloudFormation acts for it), deployer, break-glass, operator,
    create, cleanup, posture, box."""

    def __init__(self, run_id: str, stack_file: Path) -> None:
        self._run = runs.load(run_id)
        self._facts = json.loads((self._run.dir / "testbed.json").read_text())["aws"]
        self._stack_file = stack_file
        self.stack = Stack.load(stack_file)
        self.watch = Stack.of(json.loads(stack_file.read_text())["watch"])
        self.outputs = {**self.stack.outputs, **self.watch.outputs}
        self.cluster = self.stack.parameters["ClusterName"]
        self._clients: dict[tuple[str, str, Place, bool], Any] = {}
        self._numbers = itertools.count()
        self._marker = os.urandom(4).hex()
        root = self._facts["root"]
        operator = json.loads(stack_file.read_text())["operator"]
        self._credentials: dict[str, Credentials] = {
            "root": _credentials(root["access_key_id"], root["secret_access_key"]),
            "operator": _credentials(operator["access_key_id"], operator["secret_access_key"]),
        }
        self.belongings, self.tokens = Belongings(self), Tokens(self._run)
        self._threads: dict[Place, ThreadPoolExecutor] = {}

    @contextlib.contextmanager
    def set_up(self) -> Iterator[World]:
        """Makes what the probes point at, and removes it."""
        self.belongings.remove()
        try:
            self.belongings.make()
            self._credentials["admin"] = self._credentials["cloudformation"] = self.belongings.admin_key()
            for role, arn in self.belongings.powerful.items():
                self._credentials[role.removeprefix("drawbridge-")] = self._role_session(arn)
            for who in ("create", "cleanup", "posture"):
                self._credentials[who] = self._role_session(self.outputs[f"{who.capitalize()}RoleArn"])
            machines = {Place.ENDPOINT: self.belongings.own_instance, Place.SIDE: self.belongings.side_instance}
            for where, instance in machines.items():
                namespace = Names(self._run.index).machine(instance)
                self._threads[where] = ThreadPoolExecutor(1, initializer=_enter_network, initargs=(namespace,))
            self._credentials["box"] = self.within(Place.ENDPOINT, _instance_credentials)
            yield self
        finally:
            for thread in self._threads.values():
                thread.shutdown()
            self._threads.clear()
            self.belongings.remove()

    def meet(self, who: str, role: str) -> None:
        """Knows another role by a name. The local AWS takes the owner for any service, also for one that a role trusts."""
        self._credentials[who] = self._role_session(role)

    def meet_user(self, who: str, user: str) -> None:
        """Knows a user by a name, with a key made for it."""
        key = self.client("iam", "root").create_access_key(UserName=user)["AccessKey"]
        self._credentials[who] = _credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def client(self, service: str, who: str, where: Place = Place.INTERNET, plain: bool = False) -> Any:
        """`plain`: without TLS, which S3 alone answers."""
        key = (service, who, where, plain)
        if key not in self._clients:
            name = "endpoint" if where is Place.INTERNET else "s3_endpoint"
            endpoint = self._facts[f"plain_{name}" if plain else name]
            # One attempt: a retry would turn a refusal that comes and goes into none.
            options = Config(
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                signature_version="s3v4" if service == "s3" else None,
                read_timeout=20,
                connect_timeout=5,
            )
            session = boto3.Session(**self._credentials[who], region_name=self._facts["region"])
            trust = self._facts["ca_bundle"]
            self._clients[key] = session.client(service, endpoint_url=endpoint, verify=trust, config=options)
            if who == "cloudformation":
                self._clients[key].meta.events.register("before-send", _called_via_cloudformation)
        return self._clients[key]

    def client_with(self, service: str, keys: tuple[str, str, str]) -> Any:
        """A client with credentials that a probe got itself."""
        options = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, read_timeout=20)
        session = boto3.Session(*keys, region_name=self._facts["region"])
        where = {"endpoint_url": self._facts["endpoint"], "verify": self._facts["ca_bundle"]}
        return session.client(service, config=options, **where)

    def pod_identity(self, token: str, cluster: str) -> dict[str, str]:
        """What EKS answers its agent in a cluster."""
        url = f"{self._facts['endpoint']}/_testbed/pod-identity"
        with self.open(urllib.request.Request(url, json.dumps({"token": token, "cluster": cluster}).encode())) as answer:
            found: dict[str, str] = json.loads(answer.read())
        return found

    def open(self, request: urllib.request.Request) -> Any:
        """A request that no client of an SDK makes."""
        trust = ssl.create_default_context(cafile=self._facts["ca_bundle"])
        return urllib.request.urlopen(request, timeout=10, context=trust)  # noqa: S310 - the address is the testbed's

    def within(self, where: Place, request: Callable[[], Any]) -> Any:
        """Runs a request in its place: sockets belong to the network namespace of the thread that makes them."""
        if where is Place.INTERNET:
            return request()
        if where not in self._threads:
            raise TestbedError("no box is there to make a request from: use set_up()")
        return self._threads[where].submit(request).result()

    def fresh(self) -> str:
        """A name that was never used."""
        return f"probe-{self._marker}-{next(self._numbers)}"

    def deploy(self, policies: Path | None) -> list[str]:
        """Brings the stack to other policy files, or back with None; returns what changed."""
        root = lambda service: self.client(service, "root")  # noqa: E731
        changed = []
        for template, stack in ((load_template(policies), self.stack), (load_watch_template(policies), self.watch)):
            changed += Deployment(template, stack, root).update()
        return changed

    def audit(self) -> list[dict[str, Any]]:
        """Every decision of the local AWS."""
        with open(self._facts["audit_log"]) as log:
            return [json.loads(line) for line in log if line.endswith("\n")]

    def _role_session(self, role: str) -> Credentials:
        """As Lambda gets it. The local AWS takes the owner for any service."""
        answer = self.client("sts", "root").assume_role(RoleArn=role, RoleSessionName="probe")["Credentials"]
        return _credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])


def _credentials(key: str, secret: str, token: str | None = None) -> Credentials:
    found = {"aws_access_key_id": key, "aws_secret_access_key": secret}
    return {**found, "aws_session_token": token} if token else found


def _called_via_cloudformation(request: Any, **_: Any) -> None:
    """What the local AWS takes for CloudFormation that acts in its caller's name."""
    request.headers["x-testbed-called-via"] = "cloudformation.amazonaws.com"


def _enter_network(namespace: str) -> None:
    """Moves the calling thread, and it alone, into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"entering network namespace {namespace}")


def _instance_credentials() -> Credentials:
    """The box role's credentials as a program on the box gets them."""
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    token = _metadata(urllib.request.Request(f"{METADATA}/api/token", headers=headers, method="PUT"))
    path = f"{METADATA}/meta-data/iam/security-credentials/"
    headers = {"X-aws-ec2-metadata-token": token}
    role = _metadata(urllib.request.Request(path, headers=headers))
    found = json.loads(_metadata(urllib.request.Request(path + role, headers=headers)))
    return _credentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"])


def _metadata(request: urllib.request.Request) -> str:
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the address is written above
        return str(answer.read().decode())
