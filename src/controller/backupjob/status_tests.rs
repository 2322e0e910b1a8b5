//! What each step writes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use jiff::Timestamp;
use serde_json::json;

use super::{
    local::Figures,
    plan::{Ending, Why},
    status::{Draft, progress_reason},
};
use crate::{
    api::{BackupJob, BackupVault, ConditionStatus, Phase, conditions},
    fault::{Fault, Reason},
    transfer::Snapshot,
};

const SESSION: &str = "0123456789abcdef0123456789abcdef";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn job() -> BackupJob {
    serde_json::from_value(json!({
        "apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupJob",
        "metadata": { "name": "j", "namespace": "ns", "uid": "u", "generation": 3 },
        "spec": { "vault": "v", "sources": [{ "name": "etc", "files": {
            "selector": { "matchLabels": { "app": "web" } }, "paths": ["/etc"] } }] }
    }))
    .unwrap()
}

fn vault() -> BackupVault {
    serde_json::from_value(json!({
        "apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupVault", "metadata": { "name": "v" },
        "spec": { "region": "r", "functions": { "create": "c", "cleanup": "d" }, "sessionTimeoutSeconds": 600,
                  "graceSeconds": 60, "allowedNamespaces": { "matchNames": ["ns"] } }
    }))
    .unwrap()
}

/// The job with the status that a draft came to.
fn with(draft: Draft<'_>) -> BackupJob {
    BackupJob { status: Some(draft.status), ..job() }
}

#[test]
fn the_first_write_starts_the_job() {
    let status = Draft::of(&job(), at(5)).waits(&Why { reason: "Queued", message: "m".into() }).status;
    assert_eq!((status.start_time, status.observed_generation, status.sources), (Some(at(5)), Some(3), 1));
    assert_eq!(progress_reason(&status), "Queued");
}

#[test]
fn waiting_for_the_same_thing_changes_nothing() {
    let why = Why { reason: "Queued", message: "m".into() };
    let waiting = with(Draft::of(&job(), at(5)).waits(&why));
    assert_eq!(waiting.status, Some(Draft::of(&waiting, at(50)).waits(&why).status));
}

#[test]
fn a_session_is_written_with_all_that_closing_it_takes() {
    let status = Draft::of(&job(), at(5)).begins(SESSION, &vault(), 2).status;
    let session = status.session.unwrap();
    assert_eq!((status.phase, status.attempt, status.artifacts.display.as_str()), (Phase::Opening, 1, "0/2"));
    assert_eq!(
        (session.id.as_str(), session.region.as_str(), session.cleanup_function.as_str()),
        (SESSION, "r", "d")
    );
    assert_eq!((session.deadline, session.abandon_after), (at(605), at(665)));
}

#[test]
fn each_attempt_has_its_number() {
    let first = with(Draft::of(&job(), at(5)).begins(SESSION, &vault(), 2));
    let ended = with(Draft::of(&first, at(6)).stops(&Fault::new(Reason::TransferFailed, "m")));
    let closed = with(Draft::of(&ended, at(7)).concludes(&Ending::Retry { at: at(20) }));
    let status = closed.status.clone().unwrap();
    assert_eq!((status.phase, status.failures, status.next_attempt_at), (Phase::Pending, 1, Some(at(20))));
    assert!(status.session.is_none());
    let second = Draft::of(&closed, at(20)).begins(&"f".repeat(32), &vault(), 2).status;
    assert_eq!((second.attempt, second.next_attempt_at, second.start_time), (2, None, Some(at(5))));
}

#[test]
fn our_own_restart_is_no_failure() {
    let first = with(Draft::of(&job(), at(5)).begins(SESSION, &vault(), 2));
    let ended = with(Draft::of(&first, at(6)).stops(&Fault::new(Reason::Interrupted, "m")));
    let status = Draft::of(&ended, at(7)).concludes(&Ending::Retry { at: at(7) }).status;
    assert_eq!((status.failures, status.next_attempt_at), (0, None));
}

#[test]
fn progress_and_sealing_are_shown() {
    let open = with(Draft::of(&job(), at(5)).begins(SESSION, &vault(), 2));
    let across = Snapshot { original_bytes: 2_048, sent_bytes: 1_000, artifacts: 1 };
    let status =
        Draft::of(&open, at(6)).reports(Figures { artifacts_total: 2, across, sealing: true }).status;
    assert_eq!((status.phase, status.artifacts.display.as_str()), (Phase::Sealing, "1/2"));
    assert_eq!((status.bytes.display.as_str(), status.bytes.stored), ("2.0 KiB", 1_000));
}

#[test]
fn the_end_is_a_condition_as_batch_v1_has_it() {
    let fault = Fault::new(Reason::DeadlineExceeded, "too long");
    let status = Draft::of(&job(), at(9)).setback(&fault, &Ending::Failed(fault.clone())).status;
    let failed = conditions::find(&status.conditions, "Failed").unwrap();
    assert_eq!((failed.status, failed.reason.as_str()), (ConditionStatus::True, "DeadlineExceeded"));
    assert_eq!((status.phase, status.completion_time), (Phase::Failed, Some(at(9))));
    assert!(!conditions::is_true(&status.conditions, "Progressing"));
    assert!(conditions::find(&status.conditions, "Complete").is_none());
}
