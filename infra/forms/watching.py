"""What watches: the trail, the topic, metrics of logs, alarms."""

from __future__ import annotations

from infra.forms.hcl import Block
from infra.forms.kind import Kind, Resource, plain
from infra.forms.properties import Properties, block


def _trail(resource: Resource, wanted: Properties) -> list[Block]:
    attributes = wanted.texts(
        "TrailName:name S3BucketName IsLogging:enable_logging EnableLogFileValidation:enable_log_file_validation "
        "IncludeGlobalServiceEvents IsMultiRegionTrail"
    )
    selectors = []
    for condition, selector in wanted.objects("EventSelectors"):
        data = [block("data_resource", c, r.texts("Type Values")) for c, r in selector.objects("DataResources")]
        selectors.append(
            block("event_selector", condition, selector.texts("ReadWriteType IncludeManagementEvents"), *data)
        )
    return [resource.of("aws_cloudtrail", attributes, *selectors)]


def _topic_policy(resource: Resource, wanted: Properties) -> list[Block]:
    (topic,) = wanted.raw("Topics")
    policy = resource.document(wanted, "PolicyDocument")
    return [resource.of("aws_sns_topic_policy", {"arn": resource.translator.expression(topic), "policy": policy})]


def _log_policy(resource: Resource, wanted: Properties) -> list[Block]:
    attributes = {**wanted.texts("PolicyName"), "policy_document": resource.document(wanted, "PolicyDocument")}
    return [resource.of("aws_cloudwatch_log_resource_policy", attributes)]


def _metric_filter(resource: Resource, wanted: Properties) -> list[Block]:
    attributes = wanted.texts("FilterName:name LogGroupName FilterPattern:pattern")
    metrics = []
    for condition, metric in wanted.objects("MetricTransformations"):
        found = metric.texts("MetricNamespace:namespace MetricName:name MetricValue:value DefaultValue Unit")
        metrics.append(block("metric_transformation", condition, {**found, **_dimensions(resource, metric, "Key")}))
    return [resource.of("aws_cloudwatch_log_metric_filter", attributes, *metrics)]


def _dimensions(resource: Resource, wanted: Properties, key: str) -> dict[str, str | None]:
    found = {one[key]: one["Value"] for one in wanted.raw("Dimensions", [])}
    return {"dimensions": resource.translator.expression(found)} if found else {}


def _alarm(resource: Resource, wanted: Properties) -> list[Block]:
    attributes = wanted.texts(
        "AlarmName AlarmDescription Namespace MetricName Statistic Period EvaluationPeriods DatapointsToAlarm "
        "ComparisonOperator Threshold TreatMissingData AlarmActions OKActions:ok_actions"
    )
    return [resource.of("aws_cloudwatch_metric_alarm", {**attributes, **_dimensions(resource, wanted, "Name")})]


KINDS = {
    "AWS::CloudTrail::Trail": Kind("aws_cloudtrail", _trail, "name", {"Arn": "arn"}),
    "AWS::SNS::Topic": plain("aws_sns_topic", "TopicName:name", reference="arn", TopicName="name"),
    "AWS::SNS::TopicPolicy": Kind("aws_sns_topic_policy", _topic_policy),
    "AWS::SNS::Subscription": plain("aws_sns_topic_subscription", "TopicArn Protocol Endpoint", reference="arn"),
    "AWS::Logs::ResourcePolicy": Kind("aws_cloudwatch_log_resource_policy", _log_policy),
    "AWS::Logs::MetricFilter": Kind("aws_cloudwatch_log_metric_filter", _metric_filter),
    "AWS::CloudWatch::Alarm": Kind("aws_cloudwatch_metric_alarm", _alarm, "alarm_name", {"Arn": "arn"}),
}
