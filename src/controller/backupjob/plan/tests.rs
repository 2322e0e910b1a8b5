//! The table of `plan`. Each case is a job as the API server would hold it, what was seen, and the step expected.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use drawbridge_protocol::session::{ReadyBox, Refusal, Waiting};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Ending, Observation, Step, VaultView, could_begin, plan};
use crate::{
    api::BackupJob,
    controller::{
        admission::Turn,
        backoff::Backoff,
        backupjob::local::{Closing, Figures, LocalView, Opening, Sealed, Transfer},
    },
    fault::{Fault, Reason},
    transfer::Snapshot,
};

const SESSION: &str = "0123456789abcdef0123456789abcdef";
const START: i64 = 1_000;
/// The table's clock, a minute after the job's start.
const NOW: i64 = 1_060;
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(10), longest: Duration::from_mins(5) };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A job with one source, started at `START`, and that status and metadata besides.
fn job(status: Value, metadata: Value) -> BackupJob {
    let mut body = json!({
        "apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupJob",
        "metadata": { "name": "j", "namespace": "ns", "uid": "u", "generation": 1 },
        "spec": { "vault": "v", "backoffLimit": 2, "activeDeadlineSeconds": 600, "sources": [{ "name": "etc", "files": {
            "selector": { "matchLabels": { "app": "web" } }, "paths": ["/etc"] } }] },
        "status": { "phase": "Pending", "startTime": at(START) }
    });
    merge(&mut body["status"], status);
    merge(&mut body["metadata"], metadata);
    serde_json::from_value(body).unwrap()
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn pending() -> BackupJob {
    job(json!({}), json!({}))
}

/// A job with an open session in that phase.
fn open(phase: &str) -> BackupJob {
    open_with(phase, json!({}), json!({}))
}

fn open_with(phase: &str, status: Value, metadata: Value) -> BackupJob {
    let mut held = json!({ "finalizers": ["drawbridge.dev/session"] });
    merge(&mut held, metadata);
    let mut full = json!({ "phase": phase, "attempt": 1, "session": {
        "id": SESSION, "openedAt": at(START + 10), "deadline": at(START + 3_610), "abandonAfter": at(START + 4_210),
        "region": "us-east-1", "cleanupFunction": "cleanup" } });
    merge(&mut full, status);
    job(full, held)
}

fn fault_status(reason: &str) -> Value {
    json!({ "fault": { "reason": reason, "message": "why", "permanent": false, "at": at(NOW) } })
}

fn receipt_status() -> Value {
    json!({ "receipt": { "session": SESSION, "bucket": "b", "manifest": "clusters/c/ns/j/s/manifest.json",
        "manifestSha256": "0".repeat(64), "artifacts": 1, "bytes": 1, "sealedAt": at(NOW), "sessionKey": "k",
        "envelope": { "payloadType": "t", "payload": "", "signatures": [] } } })
}

fn deleted() -> Value {
    json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" })
}

fn cancelled() -> Value {
    json!({ "annotations": { "drawbridge.dev/cancel": "enough" } })
}

fn seen() -> Observation {
    Observation {
        vault: VaultView::Usable,
        turn: Some(Turn::Granted),
        selection: Some(Ok(2)),
        local: LocalView::default(),
        stopping: false,
    }
}

/// Seen by the process that opened the session.
fn ours(opening: Opening, transfer: Transfer) -> Observation {
    let local = LocalView { ours: true, opening, transfer, ..LocalView::default() };
    Observation { vault: VaultView::Unasked, turn: None, selection: None, local, stopping: false }
}

fn closing(closing: Closing) -> Observation {
    let mut seen = ours(Opening::Unasked, Transfer::Idle);
    seen.local.closing = closing;
    seen
}

fn ready() -> Box<ReadyBox> {
    Box::new(
        serde_json::from_value(json!({
            "address": "198.51.100.20", "port": 22,
            "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "session_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "instance": "i-1",
            "deadline": at(START + 3_600), "bucket": "b", "prefix": "clusters/c/ns/j/s/"
        }))
        .unwrap(),
    )
}

/// A box came, and nothing vouches for it under the vault's receipt key.
fn unverified() -> Opening {
    Opening::Unverified { message: "the certificate is not signed with the pinned receipt key".to_owned() }
}

fn sealed() -> Box<Sealed> {
    Box::new(Sealed {
        envelope: serde_json::from_value(json!({ "payloadType": "t", "payload": "", "signatures": [] })).unwrap(),
        receipt: serde_json::from_value(json!({
            "version": 1, "session": SESSION, "job": { "namespace": "ns", "name": "j", "uid": "a", "attempt": 1 },
            "client_key": "k", "bucket": "b", "manifest": "clusters/c/ns/j/s/manifest.json",
            "manifest_sha256": "0".repeat(64), "artifacts": 1, "bytes": 1, "sealed_at": at(NOW)
        }))
        .unwrap(),
        logs: None,
        checks: None,
    })
}

fn figures(bytes: u64, sealing: bool) -> Figures {
    let across = Snapshot { original_bytes: bytes, sent_bytes: bytes / 2, artifacts: 0 };
    Figures { artifacts_total: 2, across, sealing }
}

fn fault(reason: Reason) -> Fault {
    Fault::new(reason, "why")
}

/// What a step comes to, short enough for a table.
fn told(step: &Step) -> String {
    let ending = |ending: &Ending| match ending {
        Ending::Complete => "complete".to_owned(),
        Ending::Failed(fault) => format!("failed {}", fault.reason.as_str()),
        Ending::Retry { at: when } if *when == at(NOW) => "retry now".to_owned(),
        Ending::Retry { .. } => "retry later".to_owned(),
    };
    let name = step.name();
    match step {
        Step::Wait { why, .. } => format!("{name} {}", why.reason),
        Step::Stop(fault) => format!("{name} {}", fault.reason.as_str()),
        Step::Setback { fault, ending: end } => format!("{name} {} {}", fault.reason.as_str(), ending(end)),
        Step::Conclude(end) | Step::Abandon { ending: end, .. } => format!("{name} {}", ending(end)),
        _ => name.to_owned(),
    }
}

fn check(cases: Vec<(&str, BackupJob, Observation, &str)>) {
    for (what, job, seen, expected) in cases {
        let step = plan(&job, &seen, BACKOFF, at(NOW));
        assert_eq!(told(&step), expected, "{what}: {step:?}");
    }
}

#[test]
fn a_job_without_a_session() {
    let with = |change: fn(&mut Observation)| {
        let mut seen = seen();
        change(&mut seen);
        seen
    };
    let queued = Turn::Queued { ahead: 1, open: 4, limit: 4 };
    let mut behind = seen();
    behind.turn = Some(queued);
    check(vec![
        ("all is there", pending(), seen(), "begin_attempt"),
        ("a new job, not even started", BackupJob { status: None, ..pending() }, seen(), "begin_attempt"),
        ("no vault", pending(), with(|seen| seen.vault = VaultView::Missing), "wait VaultNotFound"),
        (
            "a vault that is not ready",
            pending(),
            with(|seen| seen.vault = VaultView::NotReady { message: String::new() }),
            "wait VaultNotReady",
        ),
        (
            "a vault for others",
            pending(),
            with(|seen| seen.vault = VaultView::NotAllowed { message: String::new() }),
            "wait NamespaceNotAllowed",
        ),
        (
            "a vault whose posture nobody looked at",
            pending(),
            with(|seen| seen.vault = VaultView::Unchecked),
            "wait CheckingPosture",
        ),
        (
            "a vault that breaks a promise",
            pending(),
            with(|seen| seen.vault = VaultView::PostureBroken { message: String::new() }),
            "wait PostureBroken",
        ),
        (
            "a vault of which nobody knows",
            pending(),
            with(|seen| seen.vault = VaultView::PostureUnknown { message: String::new() }),
            "wait PostureUnknown",
        ),
        (
            "a session that is open crosses all the same",
            open("Opening"),
            {
                let mut seen = ours(Opening::Unasked, Transfer::Idle);
                seen.vault = VaultView::PostureBroken { message: String::new() };
                seen
            },
            "ask_for_box",
        ),
        ("not its turn", pending(), behind, "wait Queued"),
        ("the process stops", pending(), with(|seen| seen.stopping = true), "wait ControllerStopping"),
        (
            "no pods",
            pending(),
            with(|seen| seen.selection = Some(Err(fault(Reason::NoPodsMatched)))),
            "setback NoPodsMatched retry later",
        ),
        (
            "no pods for the last time",
            job(json!({ "failures": 2 }), json!({})),
            with(|seen| seen.selection = Some(Err(fault(Reason::NoPodsMatched)))),
            "setback NoPodsMatched failed BackoffLimitExceeded",
        ),
        (
            "what no retry can help",
            pending(),
            with(|seen| seen.selection = Some(Err(fault(Reason::ContainerMissing)))),
            "setback ContainerMissing failed ContainerMissing",
        ),
        (
            "between attempts",
            job(json!({ "nextAttemptAt": at(NOW + 5) }), json!({})),
            seen(),
            "wait BackingOff",
        ),
        ("after that", job(json!({ "nextAttemptAt": at(NOW) }), json!({})), seen(), "begin_attempt"),
        (
            "past the deadline",
            job(json!({ "startTime": at(NOW - 601) }), json!({})),
            seen(),
            "setback DeadlineExceeded failed DeadlineExceeded",
        ),
        ("cancelled", job(json!({}), cancelled()), seen(), "setback Cancelled failed Cancelled"),
        ("deleted", job(json!({}), deleted()), seen(), "rest"),
    ]);
}

#[test]
fn a_job_that_is_over() {
    let end = |second: i64| json!({ "phase": "Complete", "completionTime": at(second) });
    let ttl = |second: i64| {
        let mut job = job(end(second), json!({}));
        job.spec.ttl_seconds_after_finished = Some(30);
        job
    };
    let held = json!({ "finalizers": ["drawbridge.dev/session"] });
    check(vec![
        ("complete", job(end(NOW), json!({})), seen(), "rest"),
        ("complete, cancelled too late", job(end(NOW), cancelled()), seen(), "rest"),
        ("complete, the finalizer left by a crash", job(end(NOW), held), seen(), "drop_finalizer"),
        ("its time to live not over", ttl(NOW - 29), seen(), "look_again"),
        ("its time to live over", ttl(NOW - 30), seen(), "delete"),
        (
            "deleted with the finalizer but no session",
            job(
                json!({}),
                json!({ "finalizers": ["drawbridge.dev/session"], "deletionTimestamp": "2026-01-01T00:00:00Z" }),
            ),
            seen(),
            "drop_finalizer",
        ),
    ]);
}

#[test]
fn a_session_that_opens() {
    let pending =
        |waiting_for, second| Opening::Pending { waiting_for, since: at(NOW - 5), again_at: at(second) };
    let long = |waiting_for| Opening::Pending { waiting_for, since: at(NOW - 601), again_at: at(NOW + 1) };
    let failed = |needs_a_person, errors, second| Opening::Failed {
        fault: fault(Reason::BrokerThrottled),
        needs_a_person,
        errors,
        again_at: at(second),
    };
    let asked = |opening| ours(opening, Transfer::Idle);
    let expired = open_with(
        "Opening",
        json!({ "session": {
        "id": SESSION, "openedAt": at(NOW - 60), "deadline": at(NOW), "abandonAfter": at(NOW + 600),
        "region": "r", "cleanupFunction": "c" } }),
        json!({}),
    );
    let refused = |reason| asked(Opening::Refused { reason, message: String::new() });
    check(vec![
        ("not asked yet", open("Opening"), asked(Opening::Unasked), "ask_for_box"),
        (
            "too early to ask again",
            open("Opening"),
            asked(pending(Waiting::Instance, NOW + 1)),
            "wait WaitingForInstance",
        ),
        ("time to ask again", open("Opening"), asked(pending(Waiting::Report, NOW)), "ask_for_box"),
        ("no slot", open("Opening"), asked(pending(Waiting::Slot, NOW + 1)), "wait WaitingForSlot"),
        ("no slot for long", open("Opening"), asked(long(Waiting::Slot)), "wait WaitingForSlot"),
        ("no box for too long", open("Opening"), asked(long(Waiting::Report)), "stop BoxNotReady"),
        ("ready", open("Opening"), asked(Opening::Ready(ready())), "cross"),
        ("a box that nothing vouches for", open("Opening"), asked(unverified()), "stop ReceiptUnverified"),
        ("AWS is throttled", open("Opening"), asked(failed(false, 1, NOW + 1)), "wait BrokerThrottled"),
        ("and asked again", open("Opening"), asked(failed(false, 1, NOW)), "ask_for_box"),
        ("but not for ever", open("Opening"), asked(failed(false, 6, NOW)), "stop BrokerThrottled"),
        (
            "nor where a person is needed",
            open("Opening"),
            asked(failed(true, 1, NOW)),
            "stop BrokerThrottled",
        ),
        ("refused for capacity", open("Opening"), refused(Refusal::Capacity), "stop CreateRefusedCapacity"),
        ("refused for good", open("Opening"), refused(Refusal::BadRequest), "stop CreateRefusedBadRequest"),
        ("another process opened it", open("Opening"), seen(), "stop Interrupted"),
        ("its time is up", expired, asked(Opening::Unasked), "stop SessionExpired"),
        ("deleted", open_with("Opening", json!({}), deleted()), asked(Opening::Unasked), "stop Cancelled"),
        (
            "cancelled",
            open_with("Opening", json!({}), cancelled()),
            asked(Opening::Unasked),
            "stop Cancelled",
        ),
    ]);
}

#[test]
fn each_refusal_of_create_stops_the_session_with_a_reason_of_its_own() {
    let expected = |refusal| match refusal {
        Refusal::SessionReused => "CreateRefusedSessionReused",
        Refusal::SessionEnded => "CreateRefusedSessionEnded",
        Refusal::BoxEnded => "BoxEnded",
        Refusal::DeadlinePassed => "CreateRefusedDeadlinePassed",
        Refusal::Quota => "CreateRefusedQuota",
        Refusal::DailyQuota => "CreateRefusedDailyQuota",
        Refusal::Stopped => "CreateRefusedStopped",
        Refusal::Capacity => "CreateRefusedCapacity",
        Refusal::BadRequest => "CreateRefusedBadRequest",
        Refusal::VersionSkew => "CreateRefusedVersionSkew",
    };
    let mut reasons = std::collections::BTreeSet::new();
    for refusal in Refusal::ALL {
        let refused = Opening::Refused { reason: *refusal, message: "because of 7".to_owned() };
        let Step::Stop(fault) = plan(&open("Opening"), &ours(refused, Transfer::Idle), BACKOFF, at(NOW))
        else {
            panic!("{refusal:?} does not stop the session")
        };
        assert_eq!(fault.reason.as_str(), expected(*refusal));
        assert!(fault.message.contains("because of 7; "), "{fault}");
        reasons.insert(fault.reason.as_str());
    }
    assert_eq!(reasons.len(), Refusal::ALL.len());
}

#[test]
fn a_job_of_a_used_up_day_tries_again_on_the_next() {
    let status = json!({ "fault": fault_status("CreateRefusedDailyQuota")["fault"], "failures": 0 });
    let job = open_with("Closing", status, json!({}));
    let step = plan(&job, &closing(Closing::Destroyed), BACKOFF, at(NOW));
    let Step::Conclude(Ending::Retry { at: when }) = step else { panic!("{step:?}") };
    let midnight = at(86_400);
    assert!(when >= midnight && when < midnight + jiff::SignedDuration::from_mins(2), "{when}");
}

#[test]
fn a_transfer() {
    let crossing = |transfer| ours(Opening::Ready(ready()), transfer);
    let running = |bytes, sealing| crossing(Transfer::Running(figures(bytes, sealing)));
    let mut reported = running(10, false);
    reported.local.reported_at = Some(at(NOW - 1));
    let ended = |result| crossing(Transfer::Ended { result, figures: figures(10, true), at: at(NOW) });
    let shown = json!({ "artifacts": { "total": 2, "done": 0, "display": "0/2" },
                        "bytes": { "original": 10, "stored": 5, "display": "10 B" } });
    let overdue = json!({ "startTime": at(NOW - 601) });
    check(vec![
        ("further than shown", open("Running"), running(10, false), "report"),
        ("as far as shown", open_with("Running", shown, json!({})), running(10, false), "look_again"),
        ("shown a second ago", open("Running"), reported, "look_again"),
        ("all stored", open("Running"), running(10, true), "report"),
        ("sealed", open("Sealing"), ended(Ok(sealed())), "keep_receipt"),
        (
            "sealed, though deleted meanwhile",
            open_with("Running", json!({}), deleted()),
            ended(Ok(sealed())),
            "keep_receipt",
        ),
        ("failed", open("Running"), ended(Err(fault(Reason::StreamTruncated))), "stop StreamTruncated"),
        (
            "the host key differs",
            open("Running"),
            ended(Err(fault(Reason::HostKeyMismatch))),
            "stop HostKeyMismatch",
        ),
        (
            "the receipt has no good certificate",
            open("Sealing"),
            ended(Err(fault(Reason::ReceiptUnverified))),
            "stop ReceiptUnverified",
        ),
        ("written down but never begun", open("Running"), crossing(Transfer::Idle), "cross"),
        ("the process was killed", open("Running"), seen(), "stop Interrupted"),
        ("deleted", open_with("Running", json!({}), deleted()), running(10, false), "stop Cancelled"),
        (
            "past the job's deadline",
            open_with("Running", overdue, json!({})),
            running(10, false),
            "stop DeadlineExceeded",
        ),
    ]);
}

#[test]
fn a_session_that_closes() {
    let destroying = |second| {
        closing(Closing::Destroying { remaining: vec!["instance i-1".into()], again_at: at(second) })
    };
    let failed =
        |second| closing(Closing::Failed { message: "denied".into(), errors: 3, again_at: at(second) });
    let destroyed = || closing(Closing::Destroyed);
    let closing_with = |status| open_with("Closing", status, json!({}));
    let overdue = |status: Value| {
        let mut full = json!({ "session": {
            "id": SESSION, "openedAt": at(NOW - 5_000), "deadline": at(NOW - 600), "abandonAfter": at(NOW),
            "region": "r", "cleanupFunction": "c" } });
        merge(&mut full, status);
        open_with("Closing", full, json!({}))
    };
    let last = |reason: &str| {
        let mut status = fault_status(reason);
        merge(&mut status, json!({ "failures": 2 }));
        status
    };
    let mut stale = receipt_status();
    stale["receipt"]["session"] = json!("f".repeat(32));
    merge(&mut stale, fault_status("TransferFailed"));
    check(vec![
        ("not asked yet", closing_with(receipt_status()), closing(Closing::Unasked), "ask_to_close"),
        ("another process takes over", closing_with(receipt_status()), seen(), "ask_to_close"),
        ("still there", closing_with(receipt_status()), destroying(NOW + 1), "wait Closing"),
        ("time to ask again", closing_with(receipt_status()), destroying(NOW), "ask_to_close"),
        ("AWS cannot be asked", closing_with(receipt_status()), failed(NOW + 1), "wait ClosingFailed"),
        ("and is asked again", closing_with(receipt_status()), failed(NOW), "ask_to_close"),
        ("gone, with a receipt", closing_with(receipt_status()), destroyed(), "conclude complete"),
        ("gone, with another session's receipt", closing_with(stale), destroyed(), "conclude retry later"),
        (
            "gone, after a failure",
            closing_with(fault_status("TransferFailed")),
            destroyed(),
            "conclude retry later",
        ),
        (
            "gone, after the last failure",
            closing_with(last("TransferFailed")),
            destroyed(),
            "conclude failed BackoffLimitExceeded",
        ),
        ("gone, after our own crash", closing_with(last("Interrupted")), destroyed(), "conclude retry now"),
        (
            "gone, after a receipt without a good certificate",
            closing_with(fault_status("ReceiptUnverified")),
            destroyed(),
            "conclude retry later",
        ),
        (
            "gone, after what no retry can help",
            closing_with(fault_status("Rejected")),
            destroyed(),
            "conclude failed Rejected",
        ),
        (
            "gone, the job deleted",
            open_with("Closing", fault_status("Cancelled"), deleted()),
            destroyed(),
            "conclude failed Cancelled",
        ),
        (
            "gone, with a receipt, the job deleted meanwhile",
            open_with("Closing", receipt_status(), deleted()),
            destroyed(),
            "conclude complete",
        ),
        ("overdue, but asked first", overdue(receipt_status()), closing(Closing::Unasked), "ask_to_close"),
        (
            "overdue, AWS out of reach",
            overdue(fault_status("Cancelled")),
            failed(NOW + 9),
            "abandon failed Cancelled",
        ),
        ("overdue, something is left", overdue(receipt_status()), destroying(NOW + 9), "abandon complete"),
    ]);
}

#[test]
fn a_single_attempt_fails_with_its_own_word() {
    let mut job = open_with("Closing", fault_status("BoxUnreachable"), json!({}));
    job.spec.backoff_limit = 0;
    let step = plan(&job, &closing(Closing::Destroyed), BACKOFF, at(NOW));
    assert_eq!(told(&step), "conclude failed BoxUnreachable");
}

#[test]
fn waiting_ends_at_the_jobs_deadline() {
    let mut seen = seen();
    seen.vault = VaultView::Missing;
    let job = job(json!({ "startTime": at(NOW - 595) }), json!({}));
    let Step::Wait { until, .. } = plan(&job, &seen, BACKOFF, at(NOW)) else { panic!("expected to wait") };
    assert_eq!(until, at(NOW + 5));
}

#[test]
fn vault_and_pods_are_looked_at_only_by_a_job_that_could_begin() {
    assert!(could_begin(&pending(), at(NOW)));
    for job in [
        open("Opening"),
        job(json!({ "phase": "Complete" }), json!({})),
        job(json!({ "nextAttemptAt": at(NOW + 1) }), json!({})),
        job(json!({}), deleted()),
        job(json!({}), cancelled()),
        job(json!({ "startTime": at(NOW - 601) }), json!({})),
    ] {
        assert!(!could_begin(&job, at(NOW)), "{job:?}");
    }
}

#[test]
fn every_step_stands_in_the_table() {
    let table = include_str!("tests.rs");
    for step in [
        "rest",
        "look_again",
        "wait ",
        "begin_attempt",
        "setback ",
        "ask_for_box",
        "cross",
        "report",
        "keep_receipt",
        "stop ",
        "ask_to_close",
        "abandon ",
        "conclude ",
        "drop_finalizer",
        "delete",
    ] {
        let cases = table.matches(&format!(", \"{step}")).count()
            + table.matches(&format!("\n            \"{step}")).count();
        assert!(cases > 0, "no case expects {step}");
    }
}
