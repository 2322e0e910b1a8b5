"""Buckets, their policies, and the key that one may have."""

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
    locked = wanted.has("ObjectLockEnabled") and wanted.flag("ObjectLockEnabled")
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=locked)
    block = wanted.object("PublicAccessBlockConfiguration")
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={name: block.flag(name) for name in ACCESS_BLOCKS}
    )
    owners = [{"ObjectOwnership": r.text("ObjectOwnership")} for r in wanted.object("OwnershipControls").objects("Rules")]
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": owners})
    s3.put_bucket_encryption(
        Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": _encryption(wanted.object("BucketEncryption"))}
    )
    if wanted.has("VersioningConfiguration"):
        status = wanted.object("VersioningConfiguration").text("Status")
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
    if wanted.has("ObjectLockConfiguration"):
        _lock(s3, bucket, wanted.object("ObjectLockConfiguration"), locked)
    _put_lifecycle(s3, bucket, wanted)
    if wanted.has("NotificationConfiguration"):
        _put_notifications(clients, bucket, wanted)
    return Made(bucket, {"Arn": f"arn:aws:s3:::{bucket}"})


def _update_bucket(clients: Clients, standing: Made, wanted: Properties) -> None:
    _put_lifecycle(clients("s3"), standing.reference, wanted)
    if wanted.has("NotificationConfiguration"):
        _put_notifications(clients, standing.reference, wanted)
    else:
        clients("s3").put_bucket_notification_configuration(Bucket=standing.reference, NotificationConfiguration={})


def _put_lifecycle(s3: Any, bucket: str, wanted: Properties) -> None:
    rules = [_lifecycle(rule) for rule in wanted.object("LifecycleConfiguration").objects("Rules")]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def _put_notifications(clients: Clients, bucket: str, wanted: Properties) -> None:
    notify = _notifications(clients, wanted.object("NotificationConfiguration"), f"arn:aws:s3:::{bucket}")
    clients("s3").put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=notify)


def _lock(s3: Any, bucket: str, wanted: Properties, locked: bool) -> None:
    if not locked:
        raise TemplateError(f"bucket '{bucket}' has an ObjectLockConfiguration, but ObjectLockEnabled is not true")
    retention = wanted.object("Rule").object("DefaultRetention")
    rule = {"DefaultRetention": {"Mode": retention.text("Mode"), "Days": retention.number("Days")}}
    configuration = {"ObjectLockEnabled": wanted.text("ObjectLockEnabled"), "Rule": rule}
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=configuration)


def _encryption(wanted: Properties) -> list[dict[str, Any]]:
    rules = []
    for rule in wanted.objects("ServerSideEncryptionConfiguration"):
        default = rule.object("ServerSideEncryptionByDefault")
        applied = {"SSEAlgorithm": default.text("SSEAlgorithm"), **default.given("KMSMasterKeyID")}
        bucket_key = {"BucketKeyEnabled": rule.flag("BucketKeyEnabled")} if rule.has("BucketKeyEnabled") else {}
        rules.append({"ApplyServerSideEncryptionByDefault": applied, **bucket_key})
    return rules


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
    if rule.has("ExpiredObjectDeleteMarker"):
        if "Expiration" in wanted:
            raise TemplateError(f"lifecycle rule {wanted['ID']}: S3 takes either days or ExpiredObjectDeleteMarker")
        wanted["Expiration"] = {"ExpiredObjectDeleteMarker": rule.flag("ExpiredObjectDeleteMarker")}
    if rule.has("NoncurrentVersionExpiration"):
        days = rule.object("NoncurrentVersionExpiration").number("NoncurrentDays")
        wanted["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    return wanted


def _notifications(clients: Clients, wanted: Properties, arn: str) -> dict[str, Any]:
    targets = [_notification(clients, target, arn) for target in wanted.objects("LambdaConfigurations", [])]
    notify: dict[str, Any] = {"LambdaFunctionConfigurations": targets}
    if wanted.has("EventBridgeConfiguration") and wanted.object("EventBridgeConfiguration").flag("EventBridgeEnabled"):
        notify["EventBridgeConfiguration"] = {}
    return notify


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


def _key(clients: Clients, wanted: Properties) -> Made:
    kms = clients("kms")
    key = kms.create_key(
        Description=wanted.text("Description", ""),
        Policy=document(wanted, "KeyPolicy"),
        BypassPolicyLockoutSafetyCheck=wanted.flag("BypassPolicyLockoutSafetyCheck", False),
    )["KeyMetadata"]
    if not 7 <= wanted.number("PendingWindowInDays") <= 30:
        raise TemplateError("a key's PendingWindowInDays is 7 to 30")
    if wanted.flag("EnableKeyRotation"):
        kms.enable_key_rotation(KeyId=key["KeyId"])
    return Made(key["KeyId"], {"Arn": key["Arn"]})


def _update_key(clients: Clients, standing: Made, wanted: Properties) -> None:
    policy = document(wanted, "KeyPolicy")
    clients("kms").put_key_policy(KeyId=standing.reference, PolicyName="default", Policy=policy)


def _alias(clients: Clients, wanted: Properties) -> Made:
    name = wanted.text("AliasName")
    clients("kms").create_alias(AliasName=name, TargetKeyId=wanted.text("TargetKeyId"))
    return Made(name)


KINDS = {
    "AWS::S3::Bucket": Kind(
        _bucket, frozenset({"LifecycleConfiguration", "NotificationConfiguration"}), _update_bucket
    ),
    "AWS::KMS::Key": Kind(_key, frozenset({"KeyPolicy"}), _update_key),
    "AWS::KMS::Alias": Kind(_alias),
    "AWS::S3::BucketPolicy": Kind(_bucket_policy, frozenset({"PolicyDocument"}), _update_bucket_policy),
}
