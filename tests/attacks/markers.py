"""Markers by which boxes say that their sessions are over. A box's role may put any of its cluster's, another session's too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from testbed.aws import aws
from testbed.aws.layout import S3_ADDRESS, Names
from testbed.aws.machines.entering import within
from tests.attacks.sessions import Sessions
from tests.policy.probe import Outcome
from tests.sessions.account import Failed, until

LIVES_ON = "LivesOn"


@dataclass(frozen=True)
class Marking:
    """A box's role puts the marker of another session, which has no box yet. It got through if that ends the session; that it
    lives on is known when the function that the marker invokes has said something about it."""

    what: str
    # Its deadline has passed.
    over: bool = False

    def run(self, ground: Any) -> Outcome:
        session = ground.new()
        try:
            ground.claim(session)
            if self.over or ground.forged:
                let_pass(ground, session)
            put(ground, session)
            return until("the marker is heard", lambda: _settled(ground, session))
        except ClientError as error:
            return Outcome(error.response["Error"]["Code"], error.response["Error"].get("Message", ""))
        except (Failed, HTTPClientError, OSError) as error:
            return Outcome(type(error).__name__, str(error))
        finally:
            ground.account.close(session)


def _settled(ground: Any, session: str) -> Outcome | None:
    """The log is read first: what it tells of a session that ends comes after the session's tombstone."""
    said = ground.account.marker_function_said(session)
    if ground.read(f"closed/{session}") is not None:
        return Outcome(None)
    return Outcome(LIVES_ON, said) if said else None


def let_pass(ground: Any, session: str) -> None:
    """Writes a deadline that has just passed into a session's state. Until the grace is over no sweep ends it."""
    key = f"sessions/{session}.json"
    passed = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    ground.write(key, json.dumps({**json.loads(ground.read(key) or b"{}"), "deadline": passed}).encode())


def put(ground: Sessions, session: str) -> None:
    """From the open session's box, with its role's credentials, by the way that leads through the endpoint."""
    account, instance = ground.account, ground.account.ready(ground.open)["instance"]
    subnet = account.ec2.describe_subnets(SubnetIds=[account.outputs["PrivateSubnetId"]])["Subnets"][0]
    router = str(IPv4Network(subnet["CidrBlock"])[1])
    account.in_box(instance, "ip", "route", "replace", f"{S3_ADDRESS}/32", "via", router, "dev", "ens6")
    role = json.loads(aws.credentials(ground.bed, instance))
    facts = json.loads((ground.bed.dir / "testbed.json").read_text())["aws"]
    s3 = boto3.Session(role["AccessKeyId"], role["SecretAccessKey"], role["Token"], region_name=facts["region"]).client(
        "s3",
        endpoint_url=facts["s3_endpoint"],
        verify=facts["ca_bundle"],
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=20),
    )
    marker = {"Bucket": account.outputs["BackupBucket"], "Key": f"clusters/{account.cluster}/ended/{session}"}
    within(Names(ground.bed.index).machine(instance), lambda: s3.put_object(**marker, Body=b"", IfNoneMatch="*"))
