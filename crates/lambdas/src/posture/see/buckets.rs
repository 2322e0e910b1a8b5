//! Buckets, as S3 shows them.

use aws_sdk_s3::{
    Client,
    types::{LambdaFunctionConfiguration, LifecycleRule},
};
use serde_json::{Value, json};

use super::{Seen, answered, document};

/// What only an administrator may put.
const SWITCH: &str = "switch/";
const STOP: &str = "switch/stop";

pub(super) async fn policy(client: &Client, bucket: &str) -> Seen {
    let action = "s3:GetBucketPolicy";
    let answer = client.get_bucket_policy().bucket(bucket).send().await;
    let found = answered(action, answer, &["NoSuchBucketPolicy", "NoSuchBucket"])?;
    found.and_then(|found| found.policy).map(|policy| document(action, &policy)).transpose()
}

pub(super) async fn public_access(client: &Client, bucket: &str) -> Seen {
    let answer = client.get_public_access_block().bucket(bucket).send().await;
    let none = ["NoSuchPublicAccessBlockConfiguration", "NoSuchBucket"];
    let found = answered("s3:GetBucketPublicAccessBlock", answer, &none)?;
    Ok(found.and_then(|found| found.public_access_block_configuration).map(|block| {
        json!({"BlockPublicAcls": block.block_public_acls, "BlockPublicPolicy": block.block_public_policy,
            "IgnorePublicAcls": block.ignore_public_acls, "RestrictPublicBuckets": block.restrict_public_buckets})
    }))
}

pub(super) async fn ownership(client: &Client, bucket: &str) -> Seen {
    let answer = client.get_bucket_ownership_controls().bucket(bucket).send().await;
    let found = answered(
        "s3:GetBucketOwnershipControls",
        answer,
        &["OwnershipControlsNotFoundError", "NoSuchBucket"],
    )?;
    let rules = found.and_then(|found| found.ownership_controls).map(|controls| controls.rules);
    Ok(rules.and_then(|rules| rules.first().map(|rule| json!(rule.object_ownership.as_str()))))
}

pub(super) async fn encryption(client: &Client, bucket: &str) -> Seen {
    let answer = client.get_bucket_encryption().bucket(bucket).send().await;
    let none = ["ServerSideEncryptionConfigurationNotFoundError", "NoSuchBucket"];
    let found = answered("s3:GetEncryptionConfiguration", answer, &none)?;
    let rules = found.and_then(|found| found.server_side_encryption_configuration).map(|found| found.rules);
    let default = rules
        .and_then(|rules| rules.into_iter().next())
        .and_then(|rule| rule.apply_server_side_encryption_by_default);
    Ok(default.map(|it| json!({"Algorithm": it.sse_algorithm.as_str(), "Key": it.kms_master_key_id})))
}

/// Versioning and the lock's default retention; nulls stand where there is none.
pub(super) async fn lock(client: &Client, bucket: &str) -> Seen {
    let answer = client.get_bucket_versioning().bucket(bucket).send().await;
    let Some(versioning) = answered("s3:GetBucketVersioning", answer, &["NoSuchBucket"])? else {
        return Ok(None);
    };
    let answer = client.get_object_lock_configuration().bucket(bucket).send().await;
    let none = ["ObjectLockConfigurationNotFoundError"];
    let lock = answered("s3:GetBucketObjectLockConfiguration", answer, &none)?
        .and_then(|found| found.object_lock_configuration);
    let retention = lock.and_then(|lock| lock.rule).and_then(|rule| rule.default_retention);
    let mode = retention.as_ref().and_then(|kept| kept.mode.as_ref()).map(|mode| mode.as_str().to_owned());
    let days = retention.as_ref().and_then(|kept| kept.days.or(kept.years.map(|years| years * 365)));
    let status = versioning.status.as_ref().map(|status| status.as_str().to_owned());
    Ok(Some(json!({"Versioning": status, "Mode": mode, "Days": days})))
}

pub(super) async fn lifecycle(client: &Client, bucket: &str) -> Seen {
    let answer = client.get_bucket_lifecycle_configuration().bucket(bucket).send().await;
    let none = ["NoSuchLifecycleConfiguration", "NoSuchBucket"];
    let found = answered("s3:GetLifecycleConfiguration", answer, &none)?;
    Ok(found.map(|found| found.rules().iter().map(rule).collect()))
}

/// A rule that names a date removes too; a day of 0 stands for it.
fn rule(rule: &LifecycleRule) -> Value {
    let expiration = rule.expiration.as_ref();
    let expires = expiration.and_then(|it| it.days.or(it.date.map(|_| 0)));
    let markers = expiration.and_then(|it| it.expired_object_delete_marker).unwrap_or(false);
    let noncurrent = rule.noncurrent_version_expiration.as_ref();
    let noncurrent = noncurrent.map(|expiration| expiration.noncurrent_days.unwrap_or_default());
    let aborts = rule.abort_incomplete_multipart_upload.as_ref();
    let filter = rule.filter.as_ref();
    let only_prefix = filter.is_none_or(|filter| {
        filter.tag.is_none()
            && filter.and.is_none()
            && filter.object_size_greater_than.is_none()
            && filter.object_size_less_than.is_none()
    });
    let prefix = filter.and_then(|filter| filter.prefix.clone()).unwrap_or_default();
    json!({"Id": rule.id, "Enabled": rule.status.as_str() == "Enabled",
        "Prefix": if only_prefix { Value::String(prefix) } else { Value::Null },
        "Expires": expires, "NoncurrentExpires": noncurrent, "Markers": markers,
        "AbortsAfter": aborts.and_then(|abort| abort.days_after_initiation)})
}

pub(super) async fn notifications(client: &Client, bucket: &str) -> Seen {
    let answer = client.get_bucket_notification_configuration().bucket(bucket).send().await;
    let found = answered("s3:GetBucketNotification", answer, &["NoSuchBucket"])?;
    Ok(found.map(|found| found.lambda_function_configurations().iter().map(notification).collect()))
}

fn notification(found: &LambdaFunctionConfiguration) -> Value {
    let rules = found
        .filter
        .as_ref()
        .and_then(|filter| filter.key.as_ref())
        .map(aws_sdk_s3::types::S3KeyFilter::filter_rules);
    let prefix = rules
        .into_iter()
        .flatten()
        .find(|rule| rule.name.as_ref().is_some_and(|name| name.as_str().eq_ignore_ascii_case("prefix")));
    let events: Vec<&str> = found.events.iter().map(aws_sdk_s3::types::Event::as_str).collect();
    json!({"Target": found.lambda_function_arn, "Events": events,
        "Prefix": prefix.and_then(|rule| rule.value.clone())})
}

/// By S3's clock, and without a look into the bucket's objects: the listing is all that the role may do there.
pub(super) async fn last_sweep(client: &Client, bucket: &str) -> Seen {
    let prefix = crate::names::key::SWEEPS;
    let answer = client.list_objects_v2().bucket(bucket).prefix(prefix).send().await;
    let found = answered("s3:ListBucket", answer, &["NoSuchBucket"])?;
    let newest =
        found.and_then(|found| found.contents().iter().filter_map(|object| object.last_modified).max());
    Ok(newest.and_then(|at| {
        let at = jiff::Timestamp::from_second(at.secs()).ok()?;
        Some(json!(at.to_string()))
    }))
}

/// Whether an administrator has stopped the stack.
pub(super) async fn stop(client: &Client, bucket: &str) -> Seen {
    let answer = client.list_objects_v2().bucket(bucket).prefix(SWITCH).send().await;
    let found = answered("s3:ListBucket", answer, &["NoSuchBucket"])?;
    let stop = found.and_then(|found| {
        found
            .contents()
            .iter()
            .find(|object| object.key() == Some(STOP))
            .and_then(|object| object.key.clone())
    });
    Ok(stop.map(Value::from))
}
