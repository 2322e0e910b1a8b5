//! The table of what a posture means for a vault and its jobs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use drawbridge_protocol::posture::{Guarantee, GuaranteeState as Said, Name, Posture};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::posture::{Gate, HELD, Limits, asked, changes, counted, gate, is_stale};
use crate::{
    api::{BackupVault, ConditionStatus, conditions},
    fault::{Fault, Reason},
};

const LIMITS: Limits = Limits {
    every: Duration::from_mins(10),
    max_age: Duration::from_mins(1),
    grace: Duration::from_mins(30),
};
const NOW: i64 = 10_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A vault whose posture function said that, `age` seconds ago.
#[allow(clippy::needless_pass_by_value, reason = "a table's rows read better")]
fn vault(guarantees: Value, age: i64) -> BackupVault {
    serde_json::from_value(json!({
        "apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupVault", "metadata": { "name": "v", "generation": 1 },
        "spec": { "region": "r", "functions": { "create": "c", "cleanup": "d", "posture": "p" },
                  "allowedNamespaces": { "matchNames": ["a"] } },
        "status": { "posture": { "askedAt": at(NOW - age), "checkedAt": at(NOW - age), "observedGeneration": 1,
            "guarantees": guarantees } }
    }))
    .unwrap()
}

fn guarantee(id: &str, state: &str, since: i64) -> Value {
    json!({ "id": id, "state": state, "message": format!("of {id}"), "since": at(NOW - since) })
}

/// One that cannot be looked at, and how it stood when it last could.
fn untold(id: &str, since: i64, last_known: &str) -> Value {
    let mut untold = guarantee(id, "Unknown", since);
    untold["lastKnown"] = json!(last_known);
    untold
}

fn changed(guarantees: Value, age: i64, change: fn(&mut BackupVault)) -> BackupVault {
    let mut vault = vault(guarantees, age);
    change(&mut vault);
    vault
}

fn failing(vault: &mut BackupVault) {
    vault.status.as_mut().unwrap().posture.as_mut().unwrap().error = Some("throttled".to_owned());
}

fn requires(vault: &mut BackupVault, ids: &[&str]) {
    vault.spec.required_guarantees = Some(ids.iter().map(|id| (*id).to_owned()).collect());
}

/// A gate, short enough for a table.
fn told(gate: &Gate) -> String {
    match gate {
        Gate::Open => "open".to_owned(),
        Gate::Stale => "stale".to_owned(),
        Gate::Broken { message } => format!("broken: {message}"),
        Gate::Unknown { message } => format!("unknown: {message}"),
    }
}

#[test]
fn the_gate() {
    let held = || json!([guarantee("boxes", "Holds", 500), guarantee("started", "Holds", 500)]);
    let broken = || json!([guarantee("boxes", "Broken", 5), guarantee("sweeper", "Holds", 5)]);
    let unknown = |since| json!([untold("boxes", since, "Holds"), guarantee("sweeper", "Holds", 5)]);
    let cases = [
        ("without a posture function", changed(broken(), 5, |v| v.spec.functions.posture = None), "open"),
        ("never looked at", changed(held(), 5, |v| v.status = None), "stale"),
        ("all hold", vault(held(), 60), "open"),
        ("all held a while ago", vault(held(), 61), "stale"),
        ("of another spec", changed(held(), 5, |v| v.metadata.generation = Some(2)), "stale"),
        ("a required one is broken", vault(broken(), 5), "broken: boxes: of boxes"),
        ("and was, when somebody last looked", vault(broken(), 5_000), "broken: boxes: of boxes"),
        (
            "one that nobody requires is broken",
            vault(json!([guarantee("started", "Broken", 5), guarantee("boxes", "Holds", 5)]), 5),
            "open",
        ),
        (
            "unless the vault requires it",
            changed(json!([guarantee("started", "Broken", 5)]), 5, |v| requires(v, &["started"])),
            "broken: started: of started",
        ),
        ("a vault that requires none", changed(broken(), 5, |v| requires(v, &[])), "open"),
        (
            "one that the stack does not know",
            changed(held(), 5, |v| requires(v, &["boxes", "typo"])),
            "unknown: typo: the stack's posture function does not know it; correct spec.requiredGuarantees or upgrade \
             the stack",
        ),
        ("one that cannot be looked at", vault(unknown(1_799), 5), "open"),
        (
            "for half an hour",
            vault(unknown(1_800), 5),
            "unknown: boxes, since 1970-01-01T02:16:40Z: of boxes",
        ),
        (
            "one that was broken when it could last be looked at",
            vault(json!([untold("boxes", 5, "Broken"), guarantee("sweeper", "Holds", 5)]), 5),
            "broken: boxes: it was broken and cannot be looked at since 1970-01-01T02:46:35Z: of boxes",
        ),
        (
            "one that could never be looked at",
            vault(json!([guarantee("boxes", "Unknown", 5), guarantee("sweeper", "Holds", 5)]), 5),
            "unknown: boxes: it could not be looked at yet: of boxes",
        ),
        ("a function that does not answer", changed(held(), 1_799, failing), "open"),
        (
            "for half an hour",
            changed(held(), 1_800, failing),
            "unknown: the posture function has not answered since 1970-01-01T02:16:40Z: throttled",
        ),
        (
            "a function that never answered",
            changed(json!([]), 5, |v| {
                failing(v);
                v.status.as_mut().unwrap().posture.as_mut().unwrap().checked_at = None;
            }),
            "unknown: the posture function has not answered for this spec: throttled",
        ),
    ];
    for (what, vault, expected) in cases {
        assert_eq!(told(&gate(&vault, LIMITS, at(NOW))), expected, "{what}");
    }
}

#[test]
fn what_is_old_is_looked_at_again_whatever_it_said() {
    let broken = || json!([guarantee("boxes", "Broken", 5)]);
    assert!(!is_stale(&vault(broken(), 60), LIMITS, at(NOW)));
    assert!(is_stale(&vault(broken(), 61), LIMITS, at(NOW)));
    let without = changed(broken(), 61, |v| v.spec.functions.posture = None);
    assert!(!is_stale(&without, LIMITS, at(NOW)));
}

fn posture(all: &[(Name, Said)]) -> Posture {
    let all = all.iter().map(|(name, state)| Guarantee::new(*name, *state, "words")).collect();
    Posture::new(at(NOW), all).unwrap()
}

#[test]
fn an_answer_turns_the_condition_and_keeps_since_when() {
    let before = vault(json!([guarantee("boxes", "Holds", 500), guarantee("sweeper", "Broken", 400)]), 100);
    let answer = posture(&[
        (Name::Boxes, Said::Broken),
        (Name::Sweeper, Said::Broken),
        (Name::Started, Said::Unknown),
    ]);
    let status = asked(&before, Ok(answer), LIMITS, at(NOW));
    let condition = conditions::find(&status.conditions, HELD).unwrap();
    assert_eq!((condition.status, condition.reason.as_str()), (ConditionStatus::False, "Broken"));
    assert_eq!(condition.message, "boxes: words; sweeper: words");
    let known = status.posture.as_ref().unwrap();
    let since: Vec<i64> = known.guarantees.iter().map(|one| NOW - one.since.as_second()).collect();
    assert_eq!(since, [0, 400, 0]);
    let told: Vec<&str> = changes(before.status.as_ref().unwrap().posture.as_ref(), &status)
        .into_iter()
        .map(|one| one.id.as_str())
        .collect();
    assert_eq!(told, ["boxes", "started"]);

    let mended = BackupVault { status: Some(status), ..before };
    let answer = posture(&[(Name::Boxes, Said::Holds), (Name::Sweeper, Said::Holds)]);
    let status = asked(&mended, Ok(answer), LIMITS, at(NOW + 5));
    let condition = conditions::find(&status.conditions, HELD).unwrap();
    assert_eq!((condition.status, condition.reason.as_str()), (ConditionStatus::True, "Held"));
}

/// What the condition says and what a job may do after such answers, one after the other, all of them of `boxes`.
fn after(answers: &[Said]) -> (ConditionStatus, String) {
    let mut seen = changed(json!([]), 0, |v| v.status = None);
    for (second, state) in (NOW..).zip(answers) {
        let status = asked(&seen, Ok(posture(&[(Name::Boxes, *state)])), LIMITS, at(second));
        seen.status = Some(status);
    }
    let told = told(&gate(&seen, LIMITS, at(NOW + 10)));
    let status = seen.status.unwrap();
    (conditions::find(&status.conditions, HELD).unwrap().status, told)
}

#[test]
fn only_what_held_counts_while_nobody_can_look() {
    let cases: [(&str, &[Said], ConditionStatus, &str); 5] = [
        ("held", &[Said::Holds, Said::Unknown, Said::Unknown], ConditionStatus::True, "open"),
        (
            "broken",
            &[Said::Holds, Said::Broken, Said::Unknown, Said::Unknown],
            ConditionStatus::False,
            "broken: boxes: it was broken and cannot be looked at since 1970-01-01T02:46:42Z: words",
        ),
        (
            "never seen",
            &[Said::Unknown, Said::Unknown],
            ConditionStatus::Unknown,
            "unknown: boxes: it could not be looked at yet: words",
        ),
        ("mended", &[Said::Broken, Said::Unknown, Said::Holds, Said::Unknown], ConditionStatus::True, "open"),
        ("seen at last", &[Said::Unknown, Said::Holds], ConditionStatus::True, "open"),
    ];
    for (what, answers, condition, gate) in cases {
        assert_eq!(after(answers), (condition, gate.to_owned()), "{what}");
    }
}

#[test]
fn what_was_seen_before_the_spec_changed_does_not_count() {
    let before = changed(json!([guarantee("boxes", "Holds", 500)]), 5, |v| v.metadata.generation = Some(2));
    let answers = [
        (
            Ok(posture(&[(Name::Boxes, Said::Unknown)])),
            "unknown: boxes: it could not be looked at yet: words",
        ),
        (
            Err(Fault::new(Reason::BrokerThrottled, "slow down")),
            "unknown: the posture function has not answered for this spec: BrokerThrottled: slow down",
        ),
    ];
    for (answer, expected) in answers {
        let status = asked(&before, answer, LIMITS, at(NOW));
        let after = BackupVault { status: Some(status), ..before.clone() };
        assert_eq!(told(&gate(&after, LIMITS, at(NOW))), expected);
    }
}

#[test]
fn a_question_without_an_answer_keeps_what_was_seen() {
    let before = vault(json!([guarantee("boxes", "Holds", 500)]), 100);
    let fault = || Err(Fault::new(Reason::BrokerThrottled, "slow down"));
    let status = asked(&before, fault(), LIMITS, at(NOW));
    let condition = conditions::find(&status.conditions, HELD).unwrap();
    assert_eq!((condition.status, condition.reason.as_str()), (ConditionStatus::True, "Unsure"));
    let known = status.posture.unwrap();
    assert_eq!((known.asked_at, known.checked_at), (Some(at(NOW)), Some(at(NOW - 100))));
    assert_eq!(known.guarantees.len(), 1);
    assert_eq!(known.error.as_deref(), Some("BrokerThrottled: slow down"));

    let never = BackupVault { status: None, ..before };
    let status = asked(&never, fault(), LIMITS, at(NOW));
    let condition = conditions::find(&status.conditions, HELD).unwrap();
    assert_eq!((condition.status, condition.reason.as_str()), (ConditionStatus::Unknown, "Unknown"));
}

#[test]
fn the_first_answer_tells_of_what_does_not_hold_alone() {
    let new = changed(json!([]), 0, |v| v.status = None);
    let answer = posture(&[(Name::Boxes, Said::Holds), (Name::Sweeper, Said::Broken)]);
    let status = asked(&new, Ok(answer), LIMITS, at(NOW));
    assert_eq!(changes(None, &status).len(), 1);
}

#[test]
fn metrics_have_known_labels_whatever_an_answer_says() {
    let known = |ids: &[&str]| {
        let all: Vec<Value> = ids.iter().map(|id| guarantee(id, "Broken", 0)).collect();
        vault(json!(all), 0).status.unwrap().posture.unwrap()
    };
    let (one, two) = (known(&["boxes", "made-up"]), known(&["boxes", "another-one"]));
    let counts = counted([&one, &two].into_iter());
    assert_eq!(counts, [(("boxes", "broken"), 2), (("other", "broken"), 2)].into());
}
