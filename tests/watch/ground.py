"""What the checks of this directory stand on: the alarm, its topic's messages, the log bucket, policies with a cut."""

from __future__ import annotations

import contextlib
import gzip
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tests.policy.catalogue.requests import put, upload
from tests.policy.mutate import Mutant
from tests.policy.probe import Place
from tests.policy.world import World

QUEUE = "drawbridge-probe-heard"


class Ground:
    """The deployed stacks, a box's credentials, and a queue that hears what the topic says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._queue = ""

    @contextlib.contextmanager
    def set_up(self) -> Iterator[Ground]:
        sqs, sns = self.world.client("sqs", "root"), self.world.client("sns", "root")
        self._queue = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        anyone = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:*", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [anyone]})
        sqs.set_queue_attributes(QueueUrl=self._queue, Attributes={"Policy": policy})
        topic = self.world.outputs["AlarmTopicArn"]
        subscribed = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)
        try:
            yield self
        finally:
            sns.unsubscribe(SubscriptionArn=subscribed["SubscriptionArn"])
            sqs.delete_queue(QueueUrl=self._queue)

    def seal(self) -> str:
        """A signed manifest, as far as S3 can tell; returns its key."""
        return self.box_puts(f"probe-{self.world.fresh()}/manifest.dsse.json")

    def box_puts(self, name: str) -> str:
        key = f"clusters/{self.world.cluster}/{name}"
        request = put("box", "backup", key, Place.ENDPOINT, fresh=False)
        self.world.within(Place.ENDPOINT, lambda: request(self.world))
        return key

    def box_uploads(self) -> str:
        """An upload in parts, to its end; returns what its key begins with, and no other does."""
        key = f"clusters/{self.world.cluster}/probe-{self.world.fresh()}/artifact"
        request = upload("box", key, Place.ENDPOINT, once=True)
        self.world.within(Place.ENDPOINT, lambda: request(self.world))
        return key

    def alarm(self, name: str = "SilenceAlarm") -> str:
        alarms = self.world.client("cloudwatch", "root").describe_alarms(AlarmNames=[self.world.outputs[name]])
        return str(alarms["MetricAlarms"][0]["StateValue"])

    def heard(self, name: str | None = None) -> list[str]:
        """The states that the topic told since the last look, of every alarm or of one."""
        sqs, states = self.world.client("sqs", "root"), []
        while messages := sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                told = json.loads(json.loads(message["Body"])["Message"])
                if name is None or told["AlarmName"] == self.world.outputs[name]:
                    states.append(told["NewStateValue"])
                sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return states

    def counted(self) -> float:
        """Manifests of the last minutes, as CloudWatch counts them."""
        return self._of_bucket("ManifestSealed")

    def rejections(self) -> float:
        """Records of rejected artifacts, of the last minutes as well."""
        return self._of_bucket("ArtifactRejected")

    def threats(self, since: datetime) -> float:
        """Attempts on the stack's keys, as CloudWatch counts them."""
        return self._sum(f"KeyThreatened-{self.world.cluster}", since)

    def _of_bucket(self, metric: str) -> float:
        bucket = {"Name": "Bucket", "Value": self.world.outputs["BackupBucket"]}
        return self._sum(metric, datetime.now(timezone.utc) - timedelta(hours=1), bucket)

    def _sum(self, metric: str, since: datetime, *dimensions: dict[str, str]) -> float:
        found = self.world.client("cloudwatch", "root").get_metric_statistics(
            Namespace="Drawbridge",
            MetricName=metric,
            Dimensions=list(dimensions),
            StartTime=since,
            EndTime=datetime.now(timezone.utc) + timedelta(minutes=1),
            Period=3600,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in found["Datapoints"]))

    def recorded(
        self, operation: str, bucket: str, key: str, role: str | None = None, error: str | None = None
    ) -> bool:
        """Whether the trail has a request to an object whose key begins so; `bucket` and `role` are outputs' names."""
        arn = f"arn:aws:s3:::{self.world.outputs[bucket]}/{key}"
        by = f":assumed-role/{self.world.outputs[role].rpartition('/')[2]}/" if role else ""
        return any(
            (record["eventName"], record.get("errorCode")) == (operation, error)
            and record["resources"][0]["ARN"].startswith(arn)
            and by in record["userIdentity"]["arn"]
            for record in self.records()
        )

    def records(self) -> list[dict[str, Any]]:
        """Everything that the trail has written."""
        s3, bucket = self.world.client("s3", "root"), self.world.outputs["LogBucket"]
        found: list[dict[str, Any]] = []
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="AWSLogs/"):
            for entry in page.get("Contents", []):
                body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                found += json.loads(gzip.decompress(body))["Records"]
        return found

    def refusal(self, service: str, action: str) -> Callable[[], bool]:
        """Whether a service was refused something since this was asked for."""
        since = time.time()

        def found() -> bool:
            return any(
                line["decision"] == "deny" and line["action"] == action and line.get("who") == service
                for line in self.world.audit()
                if line["time"] >= since
            )

        return found

    @contextlib.contextmanager
    def without(self, policy: str, sid: str, *part: str) -> Iterator[None]:
        """The stacks with one statement of a policy, or a part of it, taken out."""
        with tempfile.TemporaryDirectory(prefix="drawbridge-watch-") as directory:
            Mutant(policy, sid, part).write(Path(directory))
            self.world.deploy(Path(directory))
            try:
                yield
            finally:
                self.world.deploy(None)
