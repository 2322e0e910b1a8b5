"""What watches: trails, topics, metrics of logs, alarms."""

from __future__ import annotations

import json
from typing import Any

from testbed.aws.cloudformation.errors import TemplateError
from testbed.aws.cloudformation.properties import Properties
from testbed.aws.cloudformation.resources.kind import Clients, Kind, Made, document

# CloudWatch's limits of an alarm's window, in seconds: with periods of an hour and more, and with shorter ones.
LONG_WINDOW, SHORT_WINDOW = 604_800, 86_400


def _trail(clients: Clients, wanted: Properties) -> Made:
    trails, name = clients("cloudtrail"), wanted.text("TrailName")
    arn = trails.create_trail(
        Name=name,
        S3BucketName=wanted.text("S3BucketName"),
        EnableLogFileValidation=wanted.flag("EnableLogFileValidation"),
        IncludeGlobalServiceEvents=wanted.flag("IncludeGlobalServiceEvents"),
        IsMultiRegionTrail=wanted.flag("IsMultiRegionTrail"),
    )["TrailARN"]
    selectors = [_selector(selector) for selector in wanted.objects("EventSelectors")]
    trails.put_event_selectors(TrailName=name, EventSelectors=selectors)
    if wanted.flag("IsLogging"):
        trails.start_logging(Name=name)
    return Made(name, {"Arn": arn})


def _selector(wanted: Properties) -> dict[str, Any]:
    resources = [{"Type": r.text("Type"), "Values": r.texts("Values")} for r in wanted.objects("DataResources", [])]
    return {
        "ReadWriteType": wanted.text("ReadWriteType"),
        "IncludeManagementEvents": wanted.flag("IncludeManagementEvents"),
        "DataResources": resources,
    }


def _topic(clients: Clients, wanted: Properties) -> Made:
    name = wanted.text("TopicName")
    return Made(clients("sns").create_topic(Name=name)["TopicArn"], {"TopicName": name})


def _topic_policy(clients: Clients, wanted: Properties) -> Made:
    policy = document(wanted, "PolicyDocument")
    for topic in wanted.texts("Topics"):
        clients("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    return Made("topic-policy")


def _update_topic_policy(clients: Clients, _standing: Made, wanted: Properties) -> None:
    _topic_policy(clients, wanted)


def _subscription(clients: Clients, wanted: Properties) -> Made:
    made = clients("sns").subscribe(
        TopicArn=wanted.text("TopicArn"),
        Protocol=wanted.text("Protocol"),
        Endpoint=wanted.text("Endpoint"),
        ReturnSubscriptionArn=True,
    )
    return Made(made["SubscriptionArn"])


def _log_policy(clients: Clients, wanted: Properties) -> Made:
    name, text = wanted.text("PolicyName"), wanted.text("PolicyDocument")
    json.loads(text)
    clients("logs").put_resource_policy(policyName=name, policyDocument=text)
    return Made(name)


def _update_log_policy(clients: Clients, _standing: Made, wanted: Properties) -> None:
    _log_policy(clients, wanted)


def _metric_filter(clients: Clients, wanted: Properties) -> Made:
    name = wanted.text("FilterName")
    clients("logs").put_metric_filter(
        logGroupName=wanted.text("LogGroupName"),
        filterName=name,
        filterPattern=wanted.text("FilterPattern"),
        metricTransformations=[_transformation(one) for one in wanted.objects("MetricTransformations")],
    )
    return Made(name)


def _transformation(wanted: Properties) -> dict[str, Any]:
    made: dict[str, Any] = {
        "metricNamespace": wanted.text("MetricNamespace"),
        "metricName": wanted.text("MetricName"),
        "metricValue": wanted.text("MetricValue"),
    }
    dimensions = {one.text("Key"): one.text("Value") for one in wanted.objects("Dimensions", [])}
    return {**made, "dimensions": dimensions} if dimensions else made


def _alarm(clients: Clients, wanted: Properties) -> Made:
    name, period, count = wanted.text("AlarmName"), wanted.number("Period"), wanted.number("EvaluationPeriods")
    if period * count > (LONG_WINDOW if period >= 3600 else SHORT_WINDOW):
        raise TemplateError(f"alarm {name}: {count} periods of {period} s are longer than CloudWatch looks back")
    dimensions = [{"Name": d.text("Name"), "Value": d.text("Value")} for d in wanted.objects("Dimensions", [])]
    clients("cloudwatch").put_metric_alarm(
        AlarmName=name,
        AlarmDescription=wanted.text("AlarmDescription", ""),
        Namespace=wanted.text("Namespace"),
        MetricName=wanted.text("MetricName"),
        Dimensions=dimensions,
        Statistic=wanted.text("Statistic"),
        Period=period,
        EvaluationPeriods=count,
        DatapointsToAlarm=wanted.number("DatapointsToAlarm", count),
        ComparisonOperator=wanted.text("ComparisonOperator"),
        Threshold=wanted.number("Threshold"),
        TreatMissingData=wanted.text("TreatMissingData", "missing"),
        AlarmActions=wanted.texts("AlarmActions", []),
        OKActions=wanted.texts("OKActions", []),
    )
    arn = clients("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["AlarmArn"]
    return Made(name, {"Arn": arn})


KINDS = {
    "AWS::CloudTrail::Trail": Kind(_trail),
    "AWS::SNS::Topic": Kind(_topic),
    "AWS::SNS::TopicPolicy": Kind(_topic_policy, frozenset({"PolicyDocument"}), _update_topic_policy),
    "AWS::SNS::Subscription": Kind(_subscription),
    "AWS::Logs::ResourcePolicy": Kind(_log_policy, frozenset({"PolicyDocument"}), _update_log_policy),
    "AWS::Logs::MetricFilter": Kind(_metric_filter),
    "AWS::CloudWatch::Alarm": Kind(_alarm),
}
