"""Buckets and their policies."""

from __future__ import annotations

import json
from typing import Any

from testbed.aws.cloudformation.errors import TemplateError
from testbed.aws.cloudformation.properties import Properties
from testbed.aws.cloudformation.resources.kind import Clients, Kind, Made, document

ACCESS_BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def _bucket(clients: Clients, wanted: Properties) -> Made:
    s3, bucket = clients("s3"), wanted.text("BucketName")
    if not 3 <= len(bucket) <= 63:
        raise TemplateError(f"bucket name '{bucket}' has {len(bucket)} characters, S3 takes 3 to 63")
    s3.create_bucket(Bucket=bucket)
    block = wanted.object("PublicAccessBlockConfiguration")
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={name: block.flag(name) for name in ACCESS_BLOCKS}
    )
    owners = [{"ObjectOwnership": r.text("ObjectOwnership")} for r in wanted.object("OwnershipControls").objects("Rules")]
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": owners})
    s3.put_bucket_encryption(
        Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": _encryption(wanted.object("BucketEncryption"))}
    )
    rules = [_lifecycle(rule) for rule in wanted.object("LifecycleConfiguration").objects("Rules")]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    arn = f"arn:aws:s3:::{bucket}"
    if wanted.has("NotificationConfiguration"):
        configurations = wanted.object("NotificationConfiguration").objects("LambdaConfigurations")
        targets = [_notification(clients, target, arn) for target in configurations]
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": targets}
        )
    return Made(bucket, {"Arn": arn})


def _encryption(wanted: Properties) -> list[dict[str, Any]]:
    defaults = [
        rule.object("ServerSideEncryptionByDefault") for rule in wanted.objects("ServerSideEncryptionConfiguration")
    ]
    return [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": d.text("SSEAlgorithm")}} for d in defaults]


def _lifecycle(rule: Properties) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "ID": rule.text("Id"),
        "Status": rule.text("Status"),
        "Filter": {"Prefix": rule.text("Prefix", "")},
    }
    if rule.has("AbortIncompleteMultipartUpload"):
        days = rule.object("AbortIncompleteMultipartUpload").number("DaysAfterInitiation")
        wanted["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    if rule.has("ExpirationInDays"):
        wanted["Expiration"] = {"Days": rule.number("ExpirationInDays")}
    return wanted


def _notification(clients: Clients, target: Properties, bucket_arn: str) -> dict[str, Any]:
    function = target.text("Function")
    _require_permission(clients, function, bucket_arn)
    rules = target.object("Filter").object("S3Key").objects("Rules")
    return {
        "LambdaFunctionArn": function,
        "Events": [target.text("Event")],
        "Filter": {"Key": {"FilterRules": [{"Name": r.text("Name"), "Value": r.text("Value")} for r in rules]}},
    }


def _require_permission(clients: Clients, function: str, bucket_arn: str) -> None:
    """S3 refuses a notification to a function that it may not invoke; the local one does not look."""
    lambda_ = clients("lambda")
    try:
        statements = json.loads(lambda_.get_policy(FunctionName=function)["Policy"])["Statement"]
    except lambda_.exceptions.ResourceNotFoundException:
        statements = []
    for statement in statements:
        if "s3.amazonaws.com" in str(statement["Principal"]) and bucket_arn in json.dumps(statement["Condition"]):
            return
    raise TemplateError(f"{function} does not let s3.amazonaws.com invoke it for {bucket_arn}: S3 refuses that")


def _bucket_policy(clients: Clients, wanted: Properties) -> Made:
    bucket = wanted.text("Bucket")
    clients("s3").put_bucket_policy(Bucket=bucket, Policy=document(wanted, "PolicyDocument"))
    return Made(bucket)


def _update_bucket_policy(clients: Clients, standing: Made, wanted: Properties) -> None:
    clients("s3").put_bucket_policy(Bucket=standing.reference, Policy=document(wanted, "PolicyDocument"))


KINDS = {
    "AWS::S3::Bucket": Kind(_bucket),
    "AWS::S3::BucketPolicy": Kind(_bucket_policy, frozenset({"PolicyDocument"}), _update_bucket_policy),
}
