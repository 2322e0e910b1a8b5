//! Ways to break the buckets' guarantees.

use drawbridge_protocol::posture::Name;
use serde_json::{Value, json};

use crate::{Call, Flip, bed::Bed, call};

pub(crate) fn flips(bed: &Bed) -> Vec<Flip> {
    let (backup, state) = (bed.output("BackupBucket"), bed.output("StateBucket"));
    let ownership = |value: &str| {
        let controls = json!({"Rules": [{"ObjectOwnership": value}]});
        on(&backup, "put-bucket-ownership-controls", "--ownership-controls", &controls)
    };
    let versioning = |status: &str| {
        let configuration = json!({"Status": status});
        on(&backup, "put-bucket-versioning", "--versioning-configuration", &configuration)
    };
    let shipped = bed.aws(&["s3api", "get-bucket-lifecycle-configuration", "--bucket", &backup]);
    let shipped: Value = serde_json::from_str(&shipped).unwrap();
    let shipped = shipped["Rules"].as_array().unwrap().clone();
    let expires =
        json!({"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}});
    let lifecycle = |rules: Value| {
        let configuration = json!({"Rules": rules});
        on(&backup, "put-bucket-lifecycle-configuration", "--lifecycle-configuration", &configuration)
    };
    vec![
        without_a_statement(bed, &backup, Name::BackupPolicy),
        without_a_statement(bed, &state, Name::StatePolicy),
        public_access(&backup, Name::BackupPublicAccess, "BlockPublicPolicy"),
        public_access(&state, Name::StatePublicAccess, "RestrictPublicBuckets"),
        Flip::of(
            Name::BackupOwnership,
            "access control lists let count again",
            vec![ownership("ObjectWriter")],
            vec![ownership("BucketOwnerEnforced")],
        ),
        encryption(&backup, Name::BackupEncryption),
        encryption(&state, Name::StateEncryption),
        Flip::of(
            Name::BackupLock,
            "versioning turned on, which nobody deployed",
            vec![versioning("Enabled")],
            vec![versioning("Suspended")],
        ),
        Flip::of(
            Name::BackupLifecycle,
            "a lifecycle rule that expires everything after a day",
            vec![lifecycle(shipped.iter().cloned().chain([expires]).collect())],
            vec![lifecycle(shipped.into())],
        ),
        marker(bed, &backup),
    ]
}

/// A call on a bucket that takes one JSON argument.
fn on(bucket: &str, what: &str, argument: &str, value: &Value) -> Call {
    call(&["s3api", what, "--bucket", bucket, argument, &value.to_string()])
}

fn without_a_statement(bed: &Bed, bucket: &str, guarantee: Name) -> Flip {
    let answer: Value =
        serde_json::from_str(&bed.aws(&["s3api", "get-bucket-policy", "--bucket", bucket])).unwrap();
    let whole: Value = serde_json::from_str(answer["Policy"].as_str().unwrap()).unwrap();
    let mut less = whole.clone();
    let statements = less["Statement"].as_array_mut().unwrap();
    let before = statements.len();
    statements.retain(|statement| statement["Sid"] != "WriteOnce");
    assert_eq!(statements.len(), before - 1, "the policy of {bucket} has a statement WriteOnce");
    let put = |document: &Value| on(bucket, "put-bucket-policy", "--policy", document);
    Flip::of(
        guarantee,
        "the bucket's policy without its statement WriteOnce",
        vec![put(&less)],
        vec![put(&whole)],
    )
}

fn public_access(bucket: &str, guarantee: Name, off: &str) -> Flip {
    let all = json!({"BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true,
        "RestrictPublicBuckets": true});
    let mut less = all.clone();
    less[off] = json!(false);
    let put =
        |block: &Value| on(bucket, "put-public-access-block", "--public-access-block-configuration", block);
    Flip::of(guarantee, "one of the four public access blocks off", vec![put(&less)], vec![put(&all)])
}

fn encryption(bucket: &str, guarantee: Name) -> Flip {
    let put = |algorithm: &str| {
        let rules = json!({"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}]});
        on(bucket, "put-bucket-encryption", "--server-side-encryption-configuration", &rules)
    };
    // Removed, S3 would encrypt with its own key all the same.
    Flip::of(
        guarantee,
        "the bucket's default encryption under a key of somebody's",
        vec![put("aws:kms")],
        vec![put("AES256")],
    )
}

fn marker(bed: &Bed, bucket: &str) -> Flip {
    let read = ["s3api", "get-bucket-notification-configuration", "--bucket", bucket];
    let before: Value = serde_json::from_str(&bed.aws(&read)).unwrap();
    let put = |configuration: &Value| {
        on(bucket, "put-bucket-notification-configuration", "--notification-configuration", configuration)
    };
    let kept = json!({"LambdaFunctionConfigurations": before["LambdaFunctionConfigurations"]});
    Flip::of(Name::EndedMarker, "the bucket's notification removed", vec![put(&json!({}))], vec![put(&kept)])
}
