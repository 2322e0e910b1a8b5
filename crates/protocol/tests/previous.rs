//! The release before, of commit 94692b2, by its golden files (`golden/previous`, never written anew): what it writes we
//! read, and what we write for it has nothing in it that it would refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod samples;

use std::{collections::BTreeSet, fmt::Debug, fs, path::PathBuf};

use drawbridge_protocol::{
    CleanupAnswer, CleanupRequest, CreateAnswer, CreateRequest, Envelope, Manifest, Orders, ReadyReport,
    Receipt, Revision,
    manifest::{Claimed, Statement},
    session::{CreateOutcome, Refusal},
    upload::{Accepted, Begin, Begun, Commit, End, Failure, FailureCode, Hello, Rejected, Sealed, Welcome},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Every refusal of `create` that it knew.
const REFUSALS: [&str; 8] = [
    "session_reused",
    "session_ended",
    "box_ended",
    "deadline_passed",
    "quota",
    "stopped",
    "capacity",
    "bad_request",
];

fn kept(name: &str) -> String {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/previous");
    let path = directory.join(format!("{name}.json"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Its document is read, and written again as it was.
fn read<T: Serialize + DeserializeOwned + Debug>(name: &str) -> T {
    let text = kept(name);
    let message: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let written = serde_json::to_value(&message).unwrap();
    assert_eq!(written, serde_json::from_str::<Value>(&text).unwrap(), "{name} is written otherwise");
    message
}

/// Every place that a value has a field at, list elements taken together.
fn places(value: &Value, at: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let place = format!("{at}/{name}");
                places(field, &place, all);
                all.insert(place);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| places(item, at, all)),
        _ => {}
    }
}

/// The fields that our document has and its documents of the kind have not: it refuses each.
fn unknown<T: Serialize>(ours: &T, theirs: &[&str]) -> Vec<String> {
    let (mut written, mut known) = (BTreeSet::new(), BTreeSet::new());
    places(&serde_json::to_value(ours).unwrap(), "", &mut written);
    for name in theirs {
        places(&serde_json::from_str(&kept(name)).unwrap(), "", &mut known);
    }
    written.difference(&known).cloned().collect()
}

#[test]
fn everything_that_it_writes_is_read() {
    read::<CreateRequest>("create_request");
    read::<CreateAnswer>("create_answer_pending");
    read::<CreateAnswer>("create_answer_refused");
    read::<CleanupRequest>("cleanup_request");
    read::<CleanupRequest>("cleanup_request_with_receipt");
    read::<CleanupAnswer>("cleanup_answer_destroying");
    read::<CleanupAnswer>("cleanup_answer_destroyed");
    read::<CleanupAnswer>("cleanup_answer_refused");
    read::<Hello>("hello");
    read::<Welcome>("welcome");
    read::<Begin>("begin");
    read::<Begun>("begun");
    read::<End>("end");
    read::<Claimed>("claimed_log");
    read::<Accepted>("accepted");
    read::<Rejected>("rejected");
    read::<Commit>("commit");
    read::<Sealed>("sealed");
    read::<Failure>("error");
    read::<Vec<FailureCode>>("error_codes");
    read::<ReadyReport>("ready_report");
    read::<Receipt>("receipt");
    read::<Envelope>("envelope");
    read::<Manifest>("manifest");
    read::<Statement<Manifest>>("manifest_statement");
    // A box is started by the `create` that it came with; its orders are read here for whoever finds them later.
    let orders: Orders = serde_json::from_str(&kept("orders")).unwrap();
    assert_eq!(orders.revision, Revision::FIRST);
}

#[test]
fn who_names_no_revision_speaks_the_first() {
    let request: CreateRequest = read("create_request");
    assert_eq!((request.speaks, request.revisions().newest()), (None, Revision::FIRST));
    let answer: CreateAnswer = read("create_answer_ready");
    let CreateOutcome::Ready(ready) = answer.outcome else { panic!("not ready") };
    assert_eq!((ready.revision, ready.certificate), (Revision::FIRST, None));
}

#[test]
fn a_stack_of_the_release_before_knows_every_field_that_it_is_sent() {
    let full = CreateRequest {
        speaks: samples::create_request_that_speaks().speaks,
        ..samples::create_request_in_a_series()
    };
    assert_eq!(
        unknown(&full, &["create_request"]),
        ["/series", "/speaks", "/speaks/newest", "/speaks/oldest"]
    );
    assert_eq!(unknown(&full.first(), &["create_request"]), [""; 0]);
    let closing = samples::cleanup_request(Some(samples::envelope()));
    assert_eq!(unknown(&closing, &["cleanup_request_with_receipt"]), [""; 0]);
    assert_eq!(unknown(&samples::hello(), &["hello"]), [""; 0]);
    assert_eq!(unknown(&samples::end(), &["end"]), [""; 0]);
    assert_eq!(unknown(&samples::claimed_log(), &["claimed_log"]), [""; 0]);
    assert_eq!(unknown(&samples::commit(), &["commit"]), [""; 0]);
    assert!(
        !unknown(&samples::commit_certified(), &["commit"]).is_empty(),
        "why a certificate is not sent to it"
    );
}

#[test]
fn a_controller_of_the_release_before_knows_every_field_that_it_is_sent() {
    let first = Revision::FIRST;
    let ready = ["create_answer_ready"];
    assert_eq!(unknown(&samples::create_ready(), &ready), [""; 0]);
    assert!(
        !unknown(&samples::create_ready_certified(), &ready).is_empty(),
        "what the session's revision leaves out"
    );

    let mut accepted = samples::accepted();
    accepted.objects = vec![samples::locked_object()];
    assert_eq!(unknown(&accepted.clone().in_words_of(first), &["accepted"]), [""; 0]);
    assert_eq!(accepted.clone().in_words_of(Revision::CERTIFIED), accepted, "who knows them is sent them");

    let receipt = samples::receipt_with_sources();
    assert_eq!(unknown(&receipt.clone().in_words_of(first), &["receipt"]), [""; 0]);
    assert_eq!(receipt.clone().in_words_of(Revision::CERTIFIED), receipt);

    assert_eq!(unknown(&samples::welcome(), &["welcome"]), [""; 0]);
    assert_eq!(unknown(&samples::begun(), &["begun"]), [""; 0]);
    assert_eq!(unknown(&samples::rejected(), &["rejected"]), [""; 0]);
    assert_eq!(unknown(&samples::sealed(), &["sealed"]), [""; 0]);
    assert_eq!(unknown(&samples::cleanup_destroying(), &["cleanup_answer_destroying"]), [""; 0]);
    let codes: Vec<String> = serde_json::from_str(&kept("error_codes")).unwrap();
    for code in samples::failure_codes() {
        let word = serde_json::to_value(code).unwrap();
        assert!(codes.iter().any(|known| word == known.as_str()), "{word}");
    }
}

#[test]
fn a_controller_of_the_release_before_knows_every_refusal_that_it_gets() {
    let word = |revision| {
        move |reason: &Refusal| {
            let refused = CreateOutcome::Refused { reason: *reason, message: String::new() };
            match refused.in_words_of(revision) {
                CreateOutcome::Refused { reason, .. } => reason.name(),
                other => panic!("{other:?}"),
            }
        }
    };
    for said in Refusal::ALL.iter().map(word(Revision::FIRST)) {
        assert!(REFUSALS.contains(&said), "{said}");
    }
    let ours: Vec<&str> = Refusal::ALL.iter().map(word(Revision::CERTIFIED)).collect();
    assert_eq!(ours, Refusal::ALL.iter().map(|refusal| refusal.name()).collect::<Vec<_>>());
}
