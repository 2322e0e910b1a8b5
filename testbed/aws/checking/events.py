"""What invokes a function besides a call: an instance's state, an object's arrival, a schedule. And where it runs."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from testbed.aws.layout import ACCOUNT

from .kit import Bed, Checks, allow, trust, until
from .stack import Stack, create_function

SEEN = "checks-seen"
STATE_RULE = {
    "source": ["aws.ec2"],
    "detail-type": ["EC2 Instance State-change Notification"],
    "detail": {"state": ["terminated"]},
}
# A function of the custom runtime in shell: it stores each event in a bucket by its own credentials, and answers
# with its source address and whether it reaches what no function may.
BOOTSTRAP = """#!/bin/bash
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while :; do
    event=$(curl -fsS -D /tmp/headers.$$ "$api/next") || exit 1
    id=$(tr -d '\\r' </tmp/headers.$$ | sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: //p')
    curl -fsS --cacert "$LAMBDA_TASK_ROOT/ca.crt" -X PUT --aws-sigv4 "aws:amz:$AWS_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \\
        -H "x-amz-security-token: $AWS_SESSION_TOKEN" --data-binary "$event" "$AWS_ENDPOINT_URL_S3/%s/$AWS_LAMBDA_FUNCTION_NAME/$id"
    reached=none
    for closed in CONTROL 127.0.0.1/4567; do timeout 1 bash -c "</dev/tcp/$closed" 2>/dev/null && reached=$closed; done
    root=$(env | grep -c ROOTKEY)
    curl -fsS -o /dev/null -d "{\\"reached\\": \\"$reached\\", \\"root\\": $root, \\"endpoint\\": \\"$AWS_ENDPOINT_URL_S3\\"}" "$api/$id/response"
done
"""


class Events:
    """Checks on events, with one function that keeps what it is given."""

    def __init__(self, bed: Bed, stack: Stack, checks: Checks) -> None:
        self.bed, self.stack, self.checks = bed, stack, checks
        self.functions, self.s3, self.rules = bed.client("lambda"), bed.client("s3"), bed.client("events")
        self.s3.create_bucket(Bucket=SEEN)
        self.role = bed.role("checks-function", "lambda.amazonaws.com", allow("s3:PutObject", f"arn:aws:s3:::{SEEN}/*"))
        self.package = self._package()
        self.function = create_function(bed, "checks-function", self.package, self.role)

    def _package(self) -> bytes:
        control = self.bed.facts["control"].removeprefix("http://").replace(":", "/")
        secret = self.bed.facts["root"]["secret_access_key"]
        text = (BOOTSTRAP % SEEN).replace("CONTROL", control).replace("ROOTKEY", secret)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
            archive.write(self.bed.facts["ca_bundle"], "ca.crt")
        return buffer.getvalue()

    def seen(self, text: str, function: str = "checks-function") -> dict[str, Any] | None:
        """An event that the function got and that contains a text."""
        for found in self.s3.list_objects_v2(Bucket=SEEN, Prefix=f"{function}/").get("Contents", []):
            body = self.s3.get_object(Bucket=SEEN, Key=found["Key"])["Body"].read().decode()
            if text in body:
                return json.loads(body)
        return None

    def place(self) -> None:
        """Its own network place, its own credentials, the presigned URLs' endpoint."""
        answer = json.loads(
            self.functions.invoke(FunctionName=self.function, Payload=b'{"hello": 1}')["Payload"].read()
        )
        self.checks.that(
            "a function reaches neither the control API nor the back end", answer["reached"] == "none", answer
        )
        self.checks.that("... does not have the root key", answer["root"] == 0)
        self.checks.that("... is told S3's own address", answer["endpoint"] == self.bed.facts["s3_endpoint"])
        self.checks.that("... and wrote to S3 as its role", self.seen("hello"))
        iam = self.bed.client("iam")
        iam.create_role(RoleName="checks-untrusting", AssumeRolePolicyDocument=trust("ec2.amazonaws.com"))
        untrusting = f"arn:aws:iam::{ACCOUNT}:role/checks-untrusting"
        self.checks.denied(
            "a function whose role does not trust Lambda",
            lambda: create_function(self.bed, "checks-none", self.package, untrusting),
            "InvalidParameterValueException",
        )

    def instance_state(self, instances: Any) -> None:
        rule = self.rules.put_rule(Name="checks-state", EventPattern=json.dumps(STATE_RULE))["RuleArn"]
        self.rules.put_targets(Rule="checks-state", Targets=[{"Id": "f", "Arn": self.function}])
        first = instances.start()
        instances.ec2.terminate_instances(InstanceIds=[first])
        until(lambda: instances.state(first) == "terminated")
        self._permit("state", "events.amazonaws.com", rule)
        second = instances.start()
        instances.ec2.terminate_instances(InstanceIds=[second])
        event = until(lambda: self.seen(second))
        self.checks.that(
            "a terminated instance's event reaches the function",
            event and event["detail"] == {"instance-id": second, "state": "terminated"},
            event,
        )
        self.checks.that(
            "... has EC2's form",
            event and event["source"] == "aws.ec2" and event["detail-type"].startswith("EC2 Instance"),
        )
        self.checks.that("... not without a permission for the rule", not self.seen(first))
        self.rules.remove_targets(Rule="checks-state", Ids=["f"])

    def _permit(self, name: str, service: str, source: str) -> None:
        self.functions.add_permission(
            FunctionName="checks-function",
            StatementId=name,
            Action="lambda:InvokeFunction",
            Principal=service,
            SourceArn=source,
        )

    def notification(self) -> None:
        bucket = "checks-notify"
        self.s3.create_bucket(Bucket=bucket)
        rules = [{"Name": "prefix", "Value": "ended/"}]
        entry = {
            "LambdaFunctionArn": self.function,
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": rules}},
        }
        wanted = dict(Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [entry]})
        put = self.s3.put_bucket_notification_configuration
        self.checks.denied("a notification that the function does not permit", lambda: put(**wanted), "InvalidArgument")
        self._permit("notify", "s3.amazonaws.com", f"arn:aws:s3:::{bucket}")
        self.checks.allowed("... that it permits", lambda: put(**wanted))
        self.s3.put_object(Bucket=bucket, Key="other/x", Body=b"")
        self.s3.put_object(Bucket=bucket, Key="ended/session", Body=b"")
        event = until(lambda: self.seen("ended/session"))
        self.checks.that(
            "an object's arrival reaches the function",
            event and event["Records"][0]["s3"]["object"]["key"] == "ended/session",
        )
        self.checks.that("... not outside the prefix", not self.seen("other/x"))

    def schedule(self) -> None:
        """A minute is the shortest: run on request only."""
        rule = self.rules.put_rule(Name="checks-rate", ScheduleExpression="rate(1 minute)")["RuleArn"]
        self._permit("rate", "events.amazonaws.com", rule)
        self.rules.put_targets(
            Rule="checks-rate", Targets=[{"Id": "f", "Arn": self.function, "Input": '{"sweep":true}'}]
        )
        self.checks.that("a schedule invokes the function with its input", until(lambda: self.seen('"sweep"'), 75))
