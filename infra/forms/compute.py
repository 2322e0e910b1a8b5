"""Functions, their logs, and the rules that invoke them."""

from __future__ import annotations

from infra.forms.hcl import Block
from infra.forms.kind import Kind, Resource, plain
from infra.forms.properties import Properties, block


def _function(resource: Resource, wanted: Properties) -> list[Block]:
    attributes = wanted.texts(
        "FunctionName Description Runtime Architectures Handler Role MemorySize Timeout ReservedConcurrentExecutions"
    )
    code = wanted.object("Code").texts("S3Bucket S3Key")
    variables = resource.translator.expression(wanted.object("Environment").raw("Variables"))
    environment = block("environment", None, {"variables": variables})
    return [resource.of("aws_lambda_function", {**attributes, **code}, environment)]


def _rule(resource: Resource, wanted: Properties) -> list[Block]:
    attributes = wanted.texts("Name Description ScheduleExpression")
    if wanted.has("EventPattern"):
        pattern = resource.translator.expression(wanted.raw("EventPattern"))
        attributes["event_pattern"] = f"jsonencode({pattern})"
    found = [resource.of("aws_cloudwatch_event_rule", attributes)]
    rule = resource.translator.expression({"Ref": resource.logical})
    for _, target in wanted.objects("Targets"):
        aim = {"rule": rule, **target.texts("Id:target_id Arn Input")}
        found.append(resource.of("aws_cloudwatch_event_target", aim, suffix=str(target.raw("Id"))))
    return found


KINDS = {
    "AWS::Logs::LogGroup": plain(
        "aws_cloudwatch_log_group", "LogGroupName:name RetentionInDays", reference="name", Arn="arn"
    ),
    "AWS::Lambda::Function": Kind("aws_lambda_function", _function, "function_name", {"Arn": "arn"}),
    "AWS::Lambda::EventInvokeConfig": plain(
        "aws_lambda_function_event_invoke_config", "FunctionName Qualifier MaximumRetryAttempts MaximumEventAgeInSeconds"
    ),
    "AWS::Lambda::Permission": plain("aws_lambda_permission", "FunctionName Action Principal SourceAccount SourceArn"),
    "AWS::Events::Rule": Kind("aws_cloudwatch_event_rule", _rule, "name", {"Arn": "arn"}),
}
