"""Lambda functions: who may invoke them, the role that they run as, and the network place of their processes.

ministack lets events and notifications reach a function that has no permission for it, and starts a function whose
role does not trust Lambda. A template that forgets either must fail here as it would in AWS.
"""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
from typing import Any

from ministack import app
from ministack.core import lambda_runtime
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch_logs, eventbridge, lambda_svc

from ..layout import ACCOUNT, RUNTIME_ADDRESS
from . import asynchronous, concurrency, faults, log_metrics, services

# What a function's process sees of this process's environment, besides what Lambda itself sets.
INHERITED = ("PATH", "LANG", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "DRAWBRIDGE_TESTBED")


def service_may_invoke(function_arn: str, service: str, source_arn: str) -> bool:
    """Whether the function's resource policy lets an AWS service invoke it for this source."""
    found = lambda_svc.function_policy_for_arn(function_arn)
    return found is not None and services.may(service, "lambda:InvokeFunction", function_arn, source_arn, found[0])


def rule_may_write(group: str, rule_arn: str) -> bool:
    """Whether the resource policies of CloudWatch Logs let a rule write to this log group."""
    stream = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group}:log-stream:rule"
    documents = [policy["policyDocument"] for policy in cloudwatch_logs._resource_policies.values()]
    return all(
        any(services.may("events.amazonaws.com", action, stream, rule_arn, document) for document in documents)
        for action in ("logs:CreateLogStream", "logs:PutLogEvents")
    )


def _install_event_targets() -> None:
    original = eventbridge._invoke_target

    def invoke_target(target: dict[str, Any], event: Any, rule: dict[str, Any], view: Any = None) -> None:
        arn = target.get("Arn", "")
        if ":logs:" in arn:
            group = arn.partition(":log-group:")[2].removesuffix(":*")
            if group in cloudwatch_logs._log_groups and rule_may_write(group, rule.get("Arn", "")):
                seen = view or eventbridge._pattern_event_view(event)
                log_metrics.put_event(group, f"{rule['Name']}-{event['EventId']}", json.dumps(seen.event_with_detail()))
            return
        if ":lambda:" not in arn or service_may_invoke(arn, "events.amazonaws.com", rule.get("Arn", "")):
            original(target, event, rule, view)

    def dispatch(arn: str, payload: str) -> None:
        """Asynchronous as in AWS: a failed invocation is tried again."""
        function, config, _ = lambda_svc._get_func_record_for_ref(arn)
        if function and config:
            record = lambda_svc._execution_record_for_config(function, config)
            lambda_svc.invoke_async_with_retry(record, json.loads(payload))

    eventbridge._invoke_target = invoke_target
    eventbridge._dispatch_to_lambda = dispatch


def _install_notifications() -> None:
    s3 = app._get_module("s3")
    deliver, validate = s3._deliver_event_to_lambda, s3._validate_notification_configs

    def deliver_checked(arn: str, payload: dict[str, Any], region: str) -> None:
        bucket = payload["Records"][0]["s3"]["bucket"]["name"]
        if service_may_invoke(arn, "s3.amazonaws.com", f"arn:aws:s3:::{bucket}"):
            deliver(arn, payload, region)

    def validate_checked(configs: list[dict[str, Any]], region: str, bucket: str = "", skip: bool = False) -> Any:
        """S3 refuses a notification that it could not deliver."""
        wrong = [
            c["arn"]
            for c in configs
            if c["type"] == "lambda" and not service_may_invoke(c["arn"], "s3.amazonaws.com", f"arn:aws:s3:::{bucket}")
        ]
        if wrong and not skip:
            return s3._invalid_notification_config(
                "Unable to validate the following destination configurations: " + ", ".join(wrong)
            )
        return validate(configs, region, bucket, skip)

    s3._deliver_event_to_lambda = deliver_checked
    s3._validate_notification_configs = validate_checked


def trusts(role: dict[str, Any], service: str) -> bool:
    """Whether a role's trust policy lets the service assume it."""
    document = role.get("AssumeRolePolicyDocument") or "{}"
    document = json.loads(document) if isinstance(document, str) else document
    statements = document.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal")
        names = principal.get("Service", []) if isinstance(principal, dict) else []
        actions = statement.get("Action", [])
        actions = actions if isinstance(actions, list) else [actions]
        if statement.get("Effect") == "Allow" and "sts:AssumeRole" in actions:
            if service in (names if isinstance(names, list) else [names]):
                return True
    return False


def _install_role_check() -> None:
    original = lambda_svc._create_function

    def create_function(data: dict[str, Any]) -> Any:
        name = str(data.get("Role", "")).rpartition("/")[2]
        role = app._get_module("iam")._roles.get(name)
        if role is None or not trusts(role, "lambda.amazonaws.com"):
            return lambda_svc.error_response_json(
                "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.", 400
            )
        return original(data)

    lambda_svc._create_function = create_function


def _install_network_place(namespace: str) -> None:
    """A function's process lives in a namespace of its own, and reaches the runtime API over a direct link."""
    listen = socketserver.TCPServer.__init__

    def listen_on_link(self: Any, address: tuple[str, int], handler: Any, *args: Any, **options: Any) -> None:
        listen(
            self,
            (RUNTIME_ADDRESS, 0) if handler.__name__ == "RuntimeAPIHandler" else address,
            handler,
            *args,
            **options,
        )

    environment = lambda_svc._provided_worker_env

    def own_environment(config: dict[str, Any], code_directory: str, port: int) -> dict[str, str]:
        made = environment(config, code_directory, port)
        kept = {name: value for name, value in made.items() if name in INHERITED or os.environ.get(name) != value}
        return {**kept, "AWS_LAMBDA_RUNTIME_API": f"{RUNTIME_ADDRESS}:{port}"}

    class Subprocess:
        """The module `subprocess`, but functions start in their namespace."""

        def __getattr__(self, name: str) -> Any:
            return getattr(subprocess, name)

        def Popen(self, argv: list[str], *args: Any, **options: Any) -> Any:  # noqa: N802, the name is subprocess's
            place = ["nsenter", f"--net=/run/netns/{namespace}"] if argv[0].endswith("/bootstrap") else []
            return subprocess.Popen([*place, *argv], *args, **options)

    socketserver.TCPServer.__init__ = listen_on_link
    lambda_svc._provided_worker_env = own_environment
    lambda_svc.subprocess = lambda_runtime.subprocess = Subprocess()


def instance_state_changed(instance_id: str, state: str, account: str = ACCOUNT) -> None:
    """Puts EC2's event on the default bus, from which rules take it."""
    from ministack.core.responses import request_scope

    with request_scope(account, get_region()):
        eventbridge._put_events(
            {
                "Entries": [
                    {
                        "Source": "aws.ec2",
                        "DetailType": "EC2 Instance State-change Notification",
                        "Detail": json.dumps({"instance-id": instance_id, "state": state}),
                        "Resources": [f"arn:aws:ec2:{get_region()}:{account}:instance/{instance_id}"],
                    }
                ]
            },
            allow_aws_source=True,
        )


def _install_newer_requests() -> None:
    invoke = lambda_svc._invoke

    async def invoke_newer(name: str, event: Any, *args: Any, **options: Any) -> Any:
        if faults.newer.get() and isinstance(event, dict) and "version" in event:
            event = {**event, "version": event["version"] + 1}
        return await invoke(name, event, *args, **options)

    lambda_svc._invoke = invoke_newer


def install(namespace: str) -> None:
    concurrency.install()
    asynchronous.install()
    _install_newer_requests()
    _install_event_targets()
    _install_notifications()
    _install_role_check()
    _install_network_place(namespace)
    eventbridge._SCHEDULER_TICK_INTERVAL = app._get_module("scheduler")._SCHEDULE_TICK_INTERVAL = 1
