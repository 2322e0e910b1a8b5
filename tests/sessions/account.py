"""A deployed stack as its operator, its owner and an onlooker see it."""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config

from testbed.common import run as runs

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBEVUQqC8dYvB1zhRE0sJ7vjE4BqJ4Zf3o7gVZJQ4b8o"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBEVUQqC8dYvB1zhRE0sJ7vjE4BqJ4Zf3o7gVZJQ4b8p"
JOB: dict[str, Any] = {"namespace": "default", "name": "nightly", "uid": "0a", "attempt": 1}
# Kept beyond a session: tombstones, the day's count, an administrator's stop, the sweeper's mark, and the box's program.
KEPT = ("closed/", "days/", "switch/", "sweeps/", "boot/program/", "baselines/")
Answer = dict[str, Any]
T = TypeVar("T")


class Failed(Exception):
    """The stack did something else than it must."""


class FunctionFailed(Failed):
    """A function ended with an error; `said` is its message."""

    def __init__(self, function: str, body: Answer) -> None:
        super().__init__(f"{function} failed: {body}")
        self.said = str(body.get("errorMessage", body))


def expect(holds: bool, what: str, found: object) -> None:
    if not holds:
        raise Failed(f"{what}; found {found}")


def until(what: str, look: Callable[[], T | None], seconds: float = 60) -> T:
    """Looks again and again until there is something to see."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = look()
        if seen:
            return seen
        time.sleep(0.2)
    raise Failed(f"{what}: not within {seconds:.0f} s")


class Account:
    """One run's local AWS with a deployed stack."""

    def __init__(self, run_id: str, stack_file: Path) -> None:
        self._run = run_id
        self._facts = json.loads((runs.load(run_id).dir / "testbed.json").read_text())["aws"]
        stack = json.loads(stack_file.read_text())
        self.outputs: dict[str, str] = stack["outputs"]
        self.stack: str = stack["name"]
        self.cluster: str = stack["parameters"]["ClusterName"]
        self.max_boxes = int(stack["parameters"].get("MaxBoxes", 4))
        self.instance_types: list[str] = stack["parameters"].get("InstanceTypes", "t3.small,t3a.small").split(",")
        self.client_cidrs: list[str] = stack["parameters"]["ClientCidrs"].split(",")
        self._operator = self._client("lambda", stack["operator"])
        self._owner = self._client("lambda", self._facts["root"])
        self.ec2 = self._client("ec2", self._facts["root"])
        self.s3 = self._client("s3", self._facts["root"])

    def _client(self, service: str, key: dict[str, str]) -> Any:
        options = Config(
            retries={"total_max_attempts": 1}, read_timeout=120, max_pool_connections=40, s3={"addressing_style": "path"}
        )
        session = boto3.Session(key["access_key_id"], key["secret_access_key"], region_name=self._facts["region"])
        return session.client(service, endpoint_url=self._facts["endpoint"], verify=self._facts["ca_bundle"], config=options)

    def client(self, service: str) -> Any:
        """A client with the account owner's key."""
        return self._client(service, self._facts["root"])

    # What the cluster does

    def create(self, session: str, key: str = KEY, job: Answer = JOB) -> Answer:
        request = {"version": 1, "session": session, "client_key": key, "job": job}
        return self._invoke(self._operator, "CreateFunctionArn", request)

    def create_later(self, session: str) -> None:
        """An Invoke whose answer nobody waits for: Lambda keeps it until the function has room."""
        request = {"version": 1, "session": session, "client_key": KEY, "job": JOB}
        function, payload = self.outputs["CreateFunctionArn"], json.dumps(request)
        self._operator.invoke(FunctionName=function, InvocationType="Event", Payload=payload)

    def cleanup(self, session: str) -> Answer:
        return self.ask_cleanup({"version": 1, "session": session})

    def ask_cleanup(self, payload: Answer) -> Answer:
        """Anything that the cluster may think of."""
        return self._invoke(self._operator, "CleanupFunctionArn", payload)

    def posture(self) -> Answer:
        return self._invoke(self._operator, "PostureFunctionArn", {"version": 1})

    def box(self, session: str, seconds: float = 60) -> Answer:
        """Asks until there is an answer other than pending."""

        def settled() -> Answer | None:
            answer = self.create(session)
            return None if "pending" in answer["outcome"] else answer

        return until("create settles", settled, seconds)

    def ready(self, session: str) -> Answer:
        outcome = self.box(session)["outcome"]
        expect("ready" in outcome, "the box must be ready", outcome)
        return outcome["ready"]

    def close(self, session: str) -> None:
        until("cleanup destroys", lambda: self.cleanup(session)["outcome"] == "destroyed" or None)

    def sweep(self) -> Answer:
        return self._invoke(self._owner, "SweepFunctionArn", {"sweep": True})

    def mark(self, session: str) -> Answer:
        """What S3 tells when a box has put a session's marker."""
        key = f"clusters/{self.cluster}/ended/{session}"
        marker = {"bucket": {"name": self.outputs["BackupBucket"]}, "object": {"key": key}}
        return self._invoke(self._owner, "MarkerFunctionArn", {"Records": [{"s3": marker}]})

    def marker_function_said(self, session: str) -> str:
        """What the function that markers invoke has logged about a session."""
        function = self.outputs["MarkerFunctionArn"].rpartition(":")[2]
        events = self.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        return "; ".join(event["message"] for event in events if session in event["message"])

    def _invoke(self, client: Any, function: str, payload: Answer) -> Answer:
        answer = client.invoke(FunctionName=self.outputs[function], Payload=json.dumps(payload))
        body = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise FunctionFailed(function, body)
        return body

    # What there is

    def instances(self, session: str | None = None) -> list[Answer]:
        found = self.ec2.describe_instances(Filters=_tagged(session))["Reservations"]
        every = [instance for reservation in found for instance in reservation["Instances"]]
        return [instance for instance in every if instance["State"]["Name"] != "terminated"]

    def left(self, session: str | None = None) -> list[str]:
        """What exists of a session, or of all."""
        tagged = _tagged(session)
        left = [f"{instance['InstanceId']} {instance['State']['Name']}" for instance in self.instances(session)]
        interfaces = self.ec2.describe_network_interfaces(Filters=tagged)["NetworkInterfaces"]
        left += [interface["NetworkInterfaceId"] for interface in interfaces]
        left += [group["GroupId"] for group in self.ec2.describe_security_groups(Filters=tagged)["SecurityGroups"]]
        # In pages: there is a tombstone for every session of the run.
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.outputs["StateBucket"])
        objects = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        keys = [key for key in objects if not key.startswith(KEPT)]
        uploads = self.s3.list_multipart_uploads(Bucket=self.outputs["BackupBucket"]).get("Uploads", [])
        keys += [upload["Key"] for upload in uploads]
        return left + [key for key in keys if session is None or session in key]

    def nothing_left(self, session: str | None = None, seconds: float = 60) -> None:
        try:
            until("nothing is left", lambda: not self.left(session) or None, seconds)
        except Failed as error:
            raise Failed(f"{error}: {self.left(session)}") from error

    # What happens to it

    def in_box(self, instance: str, *command: str) -> str:
        program = [sys.executable, "testbed/aws/aws.py", "exec", "--run", self._run, instance, "--", *command]
        return subprocess.run(program, cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout

    def control(self, path: str, body: Answer) -> None:
        request = urllib.request.Request(f"{self._facts['control']}/{path}", json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def private(self, path: str, body: Answer) -> Answer:
        """What only the test bed's host may ask of the emulator."""
        url = f"{self._facts['endpoint']}/_testbed/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
        trust = ssl.create_default_context(cafile=self._facts["ca_bundle"])
        with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
            return dict(json.loads(answer.read()))

    @contextmanager
    def sold_out(self, *types: str) -> Iterator[None]:
        """EC2 has no machine of these types."""
        for name in types:
            self.control("capacity", {"type": name, "available": False})
        try:
            yield
        finally:
            for name in types:
                self.control("capacity", {"type": name, "available": True})

    @contextmanager
    def without_schedule(self) -> Iterator[None]:
        """Nothing starts a sweep but the check; one that began before has the time of another to end."""
        events, rule = self.client("events"), f"drawbridge-{self.cluster}-sweep"
        events.disable_rule(Name=rule)
        try:
            self.sweep()
            yield
        finally:
            events.enable_rule(Name=rule)

    @contextmanager
    def slow_to_show(self, milliseconds: int) -> Iterator[None]:
        """EC2 does not know a new instance for so long."""
        self.control("visibility", {"milliseconds": milliseconds})
        try:
            yield
        finally:
            self.control("visibility", {"milliseconds": 0})


def new_session() -> str:
    return secrets.token_hex(16)


def _tagged(session: str | None) -> list[Answer]:
    if session is None:
        return [{"Name": "tag-key", "Values": ["drawbridge:session"]}]
    return [{"Name": "tag:drawbridge:session", "Values": [session]}]
