//! What S3 can do to a box: refuse, throttle, fail, stall and lose an answer, at each of its writes.

use std::time::Duration;

use serde_json::json;

use crate::{
    aws::Rule,
    bed::Bed,
    case::{Case, Spec},
    pods::{PARTS, Place},
};

/// What S3 answers, how the job calls it, what it must say, a word for names.
const ANSWERS: [(&str, &str, &str, &str); 5] = [
    ("AccessDenied", "StorageDenied", "policies", "denied"),
    ("SlowDown", "StorageThrottled", "SlowDown", "slow"),
    ("InternalError", "StorageFailed", "InternalError", "internal"),
    ("ServiceUnavailable", "StorageThrottled", "ServiceUnavailable", "unavailable"),
    ("stall", "StorageTimedOut", "no whole answer in time", "stalled"),
];
/// The longest that a box takes to give an answer up that stalls each time: five attempts of a minute at Complete, and
/// the waits between them.
const STALLED: Duration = Duration::from_secs(480);

/// Each answer at one operation, always; then a few times, which the box survives; then never.
fn everything_at(operation: &'static str, place: &'static str, namespace: &'static str, keys: &str) {
    let bed = Bed::open();
    Place::new(&bed, namespace).pod("app", PARTS);
    let (pattern, spec) = (format!("clusters/demo/{namespace}/{keys}"), Spec::of("app"));
    for (answer, reason, word, name) in ANSWERS {
        let rule = Rule::always(&bed, operation, &pattern, answer);
        let fault = format!("{answer} at {place}").leak();
        let about = format!("{operation} of clusters/demo/{namespace}/{name}/");
        Case::begin(&bed, fault, namespace, name, &spec).fails_within(STALLED, reason, &[&about, word]);
        assert!(rule.struck() > 0, "{operation} was never asked");
    }
    for (answer, name) in [("SlowDown", "a-slow-while"), ("stall", "a-stall")] {
        let times = if answer == "stall" { 1 } else { 2 };
        let rule = Rule::times(&bed, operation, &pattern, answer, times);
        let fault = format!("{answer} at {place}, {times} times").leak();
        Case::begin(&bed, fault, namespace, name, &spec).completes_in_the_first_attempt("the box asks again");
        assert_eq!(rule.struck(), u64::from(times));
    }
    Case::twin(&bed, namespace, "job", &spec);
}

#[test]
fn at_create_multipart_upload() {
    everything_at("CreateMultipartUpload", "CreateMultipartUpload", "fault-s3-create", "*");
}

#[test]
fn at_upload_part() {
    everything_at("UploadPart", "UploadPart", "fault-s3-part", "*");
}

#[test]
fn at_complete_multipart_upload() {
    everything_at("CompleteMultipartUpload", "CompleteMultipartUpload", "fault-s3-complete", "*");
}

#[test]
fn at_the_manifest() {
    everything_at("PutObject", "the manifest", "fault-s3-manifest", "*/manifest.json");
}

#[test]
fn an_answer_that_gets_lost_after_it_took_effect() {
    let bed = Bed::open();
    Place::new(&bed, "fault-s3-lost").pod("app", PARTS);
    for (operation, keys, name) in
        [("CompleteMultipartUpload", "*", "complete"), ("PutObject", "*/manifest.json", "manifest")]
    {
        let rule = json!({"operation": operation, "match": format!("clusters/demo/fault-s3-lost/{keys}"),
            "answer": "InternalError", "effect": true, "times": 1});
        let rule = Rule::of(&bed, &rule);
        let fault = format!("the answer to {operation} ({name}) is lost after it took effect").leak();
        Case::begin(&bed, fault, "fault-s3-lost", name, &Spec::of("app"))
            .completes_in_the_first_attempt("the box finds its own object and overwrites nothing");
        assert_eq!(rule.struck(), 1);
    }
}

#[test]
fn a_retry_helps_when_s3_is_well_again() {
    let bed = Bed::open();
    Place::new(&bed, "fault-s3-retry").pod("app", PARTS);
    let rule =
        Rule::always(&bed, "PutObject", "clusters/demo/fault-s3-retry/*/manifest.json", "InternalError");
    let spec = Spec { retries: 3, ..Spec::of("app") };
    Case::begin(&bed, "InternalError at the manifest, for one attempt", "fault-s3-retry", "job", &spec)
        .retries_until_mended("StorageFailed", &["manifest.json", "InternalError"], || drop(rule));
}
