"""Buckets, of which Terraform makes each setting a resource of its own; their policies; keys."""

from __future__ import annotations

from infra.forms.hcl import Block
from infra.forms.kind import Kind, Resource, plain
from infra.forms.properties import Properties, block

BLOCKS = "BlockPublicAcls BlockPublicPolicy IgnorePublicAcls RestrictPublicBuckets"


def _bucket(resource: Resource, wanted: Properties) -> list[Block]:
    bucket = {"bucket": resource.translator.expression({"Ref": resource.logical})}
    name = {"bucket": wanted.text("BucketName"), "object_lock_enabled": wanted.text("ObjectLockEnabled")}
    found = [resource.of("aws_s3_bucket", name)]

    def setting(
        kind: str, suffix: str, attributes: dict[str, str | None], *blocks: Block, when: str | None = None
    ) -> None:
        found.append(resource.of(f"aws_s3_bucket_{kind}", {**bucket, **attributes}, *blocks, suffix=suffix, when=when))

    setting("public_access_block", "access", wanted.object("PublicAccessBlockConfiguration").texts(BLOCKS))
    owners = [
        block("rule", c, r.texts("ObjectOwnership")) for c, r in wanted.object("OwnershipControls").objects("Rules")
    ]
    setting("ownership_controls", "ownership", {}, *owners)
    encryption = wanted.object("BucketEncryption").objects("ServerSideEncryptionConfiguration")
    setting("server_side_encryption_configuration", "encryption", {}, *(_encryption(c, r) for c, r in encryption))
    if versions := wanted.optional("VersioningConfiguration"):
        inner = block("versioning_configuration", None, versions[1].texts("Status"))
        setting("versioning", "versioning", {}, inner, when=versions[0])
    if lock := wanted.optional("ObjectLockConfiguration"):
        retention = lock[1].object("Rule").object("DefaultRetention").texts("Mode Days")
        rule = block("rule", None, {}, block("default_retention", None, retention))
        setting("object_lock_configuration", "lock", lock[1].texts("ObjectLockEnabled"), rule, when=lock[0])
    rules = wanted.object("LifecycleConfiguration").objects("Rules")
    setting("lifecycle_configuration", "lifecycle", {}, *(_lifecycle(condition, rule) for condition, rule in rules))
    if wanted.has("NotificationConfiguration"):
        attributes, targets = _notifications(wanted.object("NotificationConfiguration"))
        setting("notification", "notification", attributes, *targets)
    return found


def _encryption(condition: str | None, rule: Properties) -> Block:
    default = rule.object("ServerSideEncryptionByDefault").texts(
        "SSEAlgorithm:sse_algorithm KMSMasterKeyID:kms_master_key_id"
    )
    inner = block("apply_server_side_encryption_by_default", None, default)
    return block("rule", condition, rule.texts("BucketKeyEnabled"), inner)


def _lifecycle(condition: str | None, rule: Properties) -> Block:
    prefix = rule.text("Prefix")
    inner = [block("filter", None, {"prefix": prefix})]
    if rule.has("AbortIncompleteMultipartUpload"):
        days = rule.object("AbortIncompleteMultipartUpload").texts("DaysAfterInitiation")
        inner.append(block("abort_incomplete_multipart_upload", None, days))
    if rule.has("ExpirationInDays") or rule.has("ExpiredObjectDeleteMarker"):
        inner.append(block("expiration", None, rule.texts("ExpirationInDays:days ExpiredObjectDeleteMarker")))
    if rule.has("NoncurrentVersionExpiration"):
        days = rule.object("NoncurrentVersionExpiration").texts("NoncurrentDays")
        inner.append(block("noncurrent_version_expiration", None, days))
    return block("rule", condition, rule.texts("Id Status"), *inner)


def _notifications(wanted: Properties) -> tuple[dict[str, str | None], list[Block]]:
    attributes: dict[str, str | None] = {}
    if wanted.has("EventBridgeConfiguration"):
        attributes = wanted.object("EventBridgeConfiguration").texts("EventBridgeEnabled:eventbridge")
    targets = []
    for condition, target in wanted.objects("LambdaConfigurations"):
        found: dict[str, str | None] = {
            "lambda_function_arn": target.text("Function"),
            "events": f"[{target.text('Event')}]",
        }
        for _, rule in target.object("Filter").object("S3Key").objects("Rules"):
            found[f"filter_{rule.raw('Name')}"] = rule.text("Value")
        targets.append(block("lambda_function", condition, found))
    return attributes, targets


def _bucket_policy(resource: Resource, wanted: Properties) -> list[Block]:
    attributes = {**wanted.texts("Bucket"), "policy": resource.document(wanted, "PolicyDocument")}
    return [resource.of("aws_s3_bucket_policy", attributes)]


def _key(resource: Resource, wanted: Properties) -> list[Block]:
    attributes = wanted.texts(
        "Description EnableKeyRotation PendingWindowInDays:deletion_window_in_days BypassPolicyLockoutSafetyCheck "
        "KeyUsage KeySpec:customer_master_key_spec"
    )
    return [resource.of("aws_kms_key", {**attributes, "policy": resource.document(wanted, "KeyPolicy")})]


KINDS = {
    "AWS::S3::Bucket": Kind("aws_s3_bucket", _bucket, attributes={"Arn": "arn"}),
    "AWS::S3::BucketPolicy": Kind("aws_s3_bucket_policy", _bucket_policy),
    "AWS::KMS::Key": Kind("aws_kms_key", _key, "key_id", {"Arn": "arn"}),
    "AWS::KMS::Alias": plain("aws_kms_alias", "AliasName:name TargetKeyId"),
}
