"""Functions, their logs and queues, and the rules that invoke them."""

from __future__ import annotations

import json
import re
from typing import Any

from testbed.aws.cloudformation.properties import Properties
from testbed.aws.cloudformation.resources.kind import Clients, Kind, Made


def _log_group(clients: Clients, wanted: Properties) -> Made:
    logs, name = clients("logs"), wanted.text("LogGroupName")
    logs.create_log_group(logGroupName=name)
    logs.put_retention_policy(logGroupName=name, retentionInDays=wanted.number("RetentionInDays"))
    return Made(name)


def _function(clients: Clients, wanted: Properties) -> Made:
    lambda_, name, code = clients("lambda"), wanted.text("FunctionName"), wanted.object("Code")
    made = lambda_.create_function(
        FunctionName=name,
        Runtime=wanted.text("Runtime"),
        Architectures=wanted.texts("Architectures"),
        Code={"S3Bucket": code.text("S3Bucket"), "S3Key": code.text("S3Key")},
        **_configuration(wanted),
    )
    lambda_.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    if wanted.has("ReservedConcurrentExecutions"):
        _reserve(lambda_, name, wanted)
    return Made(name, {"Arn": made["FunctionArn"]})


def _reserve(lambda_: Any, name: str, wanted: Properties) -> None:
    reserved = wanted.number("ReservedConcurrentExecutions")
    lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)


def _configuration(wanted: Properties) -> dict[str, Any]:
    variables = wanted.object("Environment").raw("Variables")
    return {
        "Role": wanted.text("Role"),
        "Handler": wanted.text("Handler"),
        "Description": wanted.text("Description", ""),
        "MemorySize": wanted.number("MemorySize"),
        "Timeout": wanted.number("Timeout"),
        "Environment": {"Variables": {key: str(value) for key, value in variables.items()}},
    }


def _update_function(clients: Clients, standing: Made, wanted: Properties) -> None:
    lambda_, name, code = clients("lambda"), standing.reference, wanted.object("Code")
    lambda_.update_function_configuration(FunctionName=name, **_configuration(wanted))
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    lambda_.update_function_code(FunctionName=name, S3Bucket=code.text("S3Bucket"), S3Key=code.text("S3Key"))
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    if wanted.has("ReservedConcurrentExecutions"):
        _reserve(lambda_, name, wanted)
    else:
        lambda_.delete_function_concurrency(FunctionName=name)


def _queue(clients: Clients, wanted: Properties) -> Made:
    """How long asynchronous calls wait, and how often they are tried again."""
    named = {"FunctionName": wanted.text("FunctionName"), "Qualifier": wanted.text("Qualifier")}
    clients("lambda").put_function_event_invoke_config(
        **named,
        MaximumRetryAttempts=wanted.number("MaximumRetryAttempts"),
        MaximumEventAgeInSeconds=wanted.number("MaximumEventAgeInSeconds"),
    )
    return Made("|".join(named.values()))


def _update_queue(clients: Clients, _standing: Made, wanted: Properties) -> None:
    _queue(clients, wanted)


def _rule(clients: Clients, wanted: Properties) -> Made:
    events, name = clients("events"), wanted.text("Name")
    trigger = wanted.given("ScheduleExpression")
    if wanted.has("EventPattern"):
        trigger["EventPattern"] = json.dumps(wanted.raw("EventPattern"))
    arn = events.put_rule(Name=name, Description=wanted.text("Description", ""), State="ENABLED", **trigger)["RuleArn"]
    events.put_targets(Rule=name, Targets=_targets(wanted))
    return Made(name, {"Arn": arn})


def _targets(wanted: Properties) -> list[dict[str, str]]:
    return [
        {"Id": target.text("Id"), "Arn": target.text("Arn"), **target.given("Input")}
        for target in wanted.objects("Targets")
    ]


def _update_rule(clients: Clients, standing: Made, wanted: Properties) -> None:
    """The new targets first: no event finds none."""
    events, name, targets = clients("events"), standing.reference, _targets(wanted)
    events.put_targets(Rule=name, Targets=targets)
    kept = {target["Id"] for target in targets}
    gone = [target["Id"] for target in events.list_targets_by_rule(Rule=name)["Targets"] if target["Id"] not in kept]
    if gone:
        events.remove_targets(Rule=name, Ids=gone)


def _permission(clients: Clients, wanted: Properties) -> Made:
    function, principal = wanted.text("FunctionName"), wanted.text("Principal")
    source = wanted.text("SourceArn")
    statement = re.sub(r"[^A-Za-z0-9_-]", "-", f"{principal}-{source.rsplit(':', 1)[-1]}")[:100]
    clients("lambda").add_permission(
        FunctionName=function,
        StatementId=statement,
        Action=wanted.text("Action"),
        Principal=principal,
        SourceArn=source,
        **wanted.given("SourceAccount"),
    )
    return Made(statement)


def _remove_permission(clients: Clients, standing: Made, properties: Properties) -> None:
    clients("lambda").remove_permission(
        FunctionName=properties.text("FunctionName"), StatementId=standing.reference
    )


KINDS = {
    "AWS::Logs::LogGroup": Kind(_log_group),
    "AWS::Lambda::Function": Kind(
        _function,
        frozenset(
            {
                *("Code", "Environment", "MemorySize", "Timeout", "Description", "Handler"),
                "ReservedConcurrentExecutions",
            }
        ),
        _update_function,
    ),
    "AWS::Lambda::EventInvokeConfig": Kind(
        _queue, frozenset({"MaximumRetryAttempts", "MaximumEventAgeInSeconds"}), _update_queue
    ),
    "AWS::Lambda::Permission": Kind(_permission, remove=_remove_permission),
    "AWS::Events::Rule": Kind(_rule, frozenset({"Targets"}), _update_rule),
}
