//! What can be wrong between the job's turn and a box that listens.

use serde_json::json;

use crate::{
    aws::{Rule, Setting, cli},
    bed::Bed,
    case::{Case, Spec},
    network::Moved,
    pods::{Place, SMALL},
};

#[test]
fn aws_denies_throttles_or_fails_the_invocation() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-invoke");
    place.pod("app", SMALL);
    let spec = Spec::of("app");
    for (fault, name, answer, reason, words) in [
        ("AWS denies the invocation of create", "denied", "AccessDenied", "BrokerDenied", "operator policy"),
        ("create does not exist", "missing", "ResourceNotFoundException", "BrokerMissing", "stack's outputs"),
        ("AWS throttles create", "throttled", "TooManyRequestsException", "BrokerThrottled", "throttles"),
        ("AWS fails to invoke create", "failed", "ServiceException", "BrokerFailed", "asked again later"),
    ] {
        let _rule = Rule::always(&bed, "Invoke", "*-create", answer);
        Case::begin(&bed, fault, "fault-invoke", name, &spec).fails(reason, &["demo-create", words]);
    }
    Rule::times(&bed, "Invoke", "*-create", "TooManyRequestsException", 4);
    Case::begin(&bed, "AWS throttles create for a while", "fault-invoke", "a-while", &spec)
        .completes_in_the_first_attempt("it is asked again, later each time");
    Case::twin(&bed, "fault-invoke", "job", &spec);
}

#[test]
fn create_refuses() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-refused");
    place.pod("app", SMALL);
    let spec = Spec::of("app");
    let stopped = Setting::of(&bed, "DRAWBRIDGE_MAX_BOXES", "0");
    Case::begin(&bed, "create refused: the stack is stopped", "fault-refused", "stopped", &spec)
        .fails("CreateRefusedStopped", &["MaxBoxes is 0", "ask whoever runs the stack"]);
    drop(stopped);
    let bucket = bed.output("StateBucket");
    let why = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(why.path(), "incident 7").unwrap();
    let (body, key) = (why.path().to_str().unwrap(), "switch/stop");
    cli(&bed, &["s3api", "put-object", "--bucket", &bucket, "--key", key, "--body", body]);
    Case::begin(
        &bed,
        "create refused: an administrator has stopped the stack",
        "fault-refused",
        "stop",
        &spec,
    )
    .fails("CreateRefusedStopped", &["switch/stop", "incident 7", "ask whoever runs the stack"]);
    cli(&bed, &["s3api", "delete-object", "--bucket", &bucket, "--key", key]);
    let newer = Rule::always(&bed, "Invoke", "*-create", "newer");
    Case::begin(&bed, "create refused: a request of another version", "fault-refused", "version", &spec)
        .fails("CreateRefusedBadRequest", &["version 2", "one version"]);
    drop(newer);
    Case::twin(&bed, "fault-refused", "job", &spec);
    // That job had a session today.
    let used_up = Setting::of(&bed, "DRAWBRIDGE_MAX_SESSIONS_PER_DAY", "1");
    Case::begin(&bed, "create refused: the day's sessions are used up", "fault-refused", "day", &spec)
        .fails("CreateRefusedDailyQuota", &["opens again at", "MaxSessionsPerDay"]);
    drop(used_up);
    Case::twin(&bed, "fault-refused", "next", &spec);
}

#[test]
fn all_slots_are_taken() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-slots");
    place.pod("app", SMALL);
    let bucket = bed.output("StateBucket");
    let slot = tempfile::NamedTempFile::new().unwrap();
    let held = json!({"version": 1, "session": "0".repeat(32), "deadline": "2099-01-01T00:00:00Z"});
    std::fs::write(slot.path(), held.to_string()).unwrap();
    let body = slot.path().to_str().unwrap();
    let keys: Vec<String> = (0..4).map(|number| format!("slots/{number}")).collect();
    for key in &keys {
        cli(&bed, &["s3api", "put-object", "--bucket", &bucket, "--key", key, "--body", body]);
    }
    Case::begin(&bed, "every slot of the stack is taken", "fault-slots", "job", &Spec::of("app"))
        .waits_until_mended("WaitingForSlot", &["all boxes that the stack allows are in use"], || {
            for key in &keys {
                cli(&bed, &["s3api", "delete-object", "--bucket", &bucket, "--key", key]);
            }
        });
}

#[test]
fn a_box_that_cannot_report_is_no_box() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-report");
    place.pod("app", SMALL);
    let rule = Rule::always(&bed, "PutObject", "ready/*", "AccessDenied");
    Case::begin(&bed, "a box that ends before it reported", "fault-report", "job", &Spec::of("app"))
        .fails("BoxEnded", &["instance i-", "get-console-output"]);
    drop(rule);
    Case::twin(&bed, "fault-report", "job", &Spec::of("app"));
}

#[test]
fn ec2_throttles_for_a_while() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-ec2");
    place.pod("app", SMALL);
    let rule =
        json!({"service": "ec2", "operation": "RunInstances", "answer": "RequestLimitExceeded", "times": 2});
    let rule = Rule::of(&bed, &rule);
    Case::begin(&bed, "EC2 throttles RunInstances for a while", "fault-ec2", "job", &Spec::of("app"))
        .completes_in_the_first_attempt("it is asked again under the same client token");
    drop(rule);
}

#[test]
fn an_egress_address_that_changed() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-egress");
    place.pod("app", SMALL);
    let moved = Moved::of(&bed);
    Case::begin(
        &bed,
        "the cluster's egress address changed: the box's address times out",
        "fault-egress",
        "job",
        &Spec::of("app"),
    )
    .fails(
        "BoxUnreachable",
        &["no answer from the box at 198.51.100.", "egress address has changed", "ClientCidrs"],
    );
    drop(moved);
    Case::twin(&bed, "fault-egress", "job", &Spec::of("app"));
}
