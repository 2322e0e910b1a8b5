"""What every check uses: a record of results, clients of any identity, and programs run inside and outside of machines."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any, Callable

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from testbed.aws import aws
from testbed.aws.layout import ACCOUNT, GUEST_AUTHORITY, REGION, S3_URL, Names
from testbed.common.run import Run

# One try, so that a refusal is seen at once and a 500 is not asked three times.
ONCE = Config(
    retries={"max_attempts": 1, "mode": "standard"},
    s3={"addressing_style": "path"},
    read_timeout=60,
    signature_version="v4",
)

Call = Callable[[], Any]


class Checks:
    """Counts and prints. A failed check is no exception: the others still say something."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []

    def that(self, name: str, holds: Any, detail: Any = "") -> bool:
        if holds:
            self.passed += 1
        else:
            self.failed.append(name)
        print(
            f"{'ok  ' if holds else 'FAIL'} {name}" + (f"  [{str(detail)[:200]}]" if detail != "" else ""), flush=True
        )
        return bool(holds)

    def allowed(self, name: str, call: Call) -> Any:
        try:
            result = call()
        except ClientError as error:
            self.that(name, False, error)
            return None
        self.that(name, True)
        return result

    def denied(self, name: str, call: Call, code: str) -> None:
        """The call must be refused with this code; `code` may name several, separated by blanks."""
        try:
            call()
        except ClientError as error:
            said = error.response["Error"]["Code"]
            self.that(f"{name}: refused", said in code.split(), f"{said}: {error.response['Error'].get('Message', '')}")
        else:
            self.that(f"{name}: refused", False, "it was allowed")


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The condition's first true value, or its last false one when the time is up."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.03)
    return found


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions: str | list[str], resources: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def trust(service: str) -> str:
    return policy({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"})


class Bed:
    """The run under check."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.names = Names(run.index)
        self.facts = json.loads(run.facts("aws").read_text())
        self._root = (self.facts["root"]["access_key_id"], self.facts["root"]["secret_access_key"])

    def client(self, service: str, key: tuple[str, ...] | None = None, endpoint: str | None = None) -> Any:
        """A client as the account's root, or with (id, secret[, token]); at the host's view of the API or elsewhere."""
        session = boto3.Session(*(key or self._root), region_name=REGION)
        config = ONCE.merge(Config(signature_version="s3v4")) if service == "s3" else ONCE
        where = endpoint or self.facts["endpoint"]
        return session.client(service, endpoint_url=where, config=config, verify=self.facts["ca_bundle"])

    def user(self, name: str, *statements: dict[str, Any]) -> tuple[str, str]:
        """A user with one policy; its access key."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def role(self, name: str, service: str, *statements: dict[str, Any]) -> str:
        iam = self.client("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(service))
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*statements))
        return f"arn:aws:iam::{ACCOUNT}:role/{name}"

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        arguments = ["-d", json.dumps(body)] if body is not None else []
        return json.loads(subprocess.check_output(["curl", "-fsS", *arguments, self.facts["control"] + path]))

    def audit(self) -> list[dict[str, Any]]:
        with open(self.facts["audit_log"]) as log:
            return [json.loads(line) for line in log]

    def inside(self, instance: str, script: str, seconds: float = 20) -> subprocess.CompletedProcess[str]:
        """A script as root inside an instance."""
        command = [*aws.enter(self.run, instance), "bash", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)

    def outside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A program as somebody on the internet who is no client; curl trusts the run's CA there."""
        trust = {**os.environ, "CURL_CA_BUNDLE": self.facts["ca_bundle"]}
        argv = [*self.facts["outside_command"], *command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False, env=trust)

    def s3_inside(self, instance: str, method: str, path: str, *options: str) -> str:
        """Status of a signed S3 request with the instance profile's credentials; `000` when nothing answers."""
        keys = json.loads(aws.credentials(self.run, instance))
        curl = [
            "curl",
            "-s",
            "-m",
            "2",
            "--cacert",
            GUEST_AUTHORITY,
            "-o",
            "/dev/null",
            "-w",
            "'%{http_code}'",
            "-X",
            method,
            "--aws-sigv4",
            f"aws:amz:{REGION}:s3",
            "--user",
            f"{keys['AccessKeyId']}:{keys['SecretAccessKey']}",
            "-H",
            f"'x-amz-security-token: {keys['Token']}'",
            *options,
            S3_URL + path,
        ]
        return self.inside(instance, " ".join(curl)).stdout


def reaches(run: Callable[[str], subprocess.CompletedProcess[str]], address: str, port: int) -> bool:
    """Whether a TCP connection is made, by bash alone."""
    return run(f"timeout 1 bash -c '</dev/tcp/{address}/{port}'").returncode == 0
