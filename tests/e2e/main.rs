//! End to end on the real parts: a real cluster, the Lambda binaries, the box, each its own process in its own network
//! place. `cargo xtask test` brings the test bed up and runs these one after the other; alone they say what is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[allow(dead_code)] // the faults and the crash matrix need more of it
mod bed;
#[allow(dead_code)]
mod job;
mod workload;

use std::time::Duration;

use bed::Bed;
use job::Job;
use workload::Workload;

/// Long enough for a job of a few hundred MiB on a busy machine; a job that takes longer hangs.
const JOB: Duration = Duration::from_secs(180);
/// From a closed session to nothing left on the AWS side.
const CLEAN: Duration = Duration::from_secs(60);

#[test]
fn a_job_completes_with_a_receipt_and_leaves_nothing() {
    let bed = Bed::open();
    let workload = Workload::start(&bed, "e2e-complete", 2, 4);
    let job = Job::apply(&bed, &workload, "whole");
    job.wait_for_phase("Complete", JOB);

    let status = job.status();
    assert_eq!(status["attempt"], 1, "a job that nothing disturbs needs one attempt: {status}");
    assert_eq!(status["artifacts"]["done"], 2, "two replicas are two artifacts: {status}");
    assert_eq!(job.condition("Complete"), Some("True".to_owned()));
    assert!(job.finalizers().is_empty(), "the finalizer is held only while a session is open");
    let stored = bed.objects(&status["receipt"]);
    assert_eq!(stored.len(), 5, "two artifacts, SHA256SUMS, the manifest and its envelope: {stored:?}");
    bed.wait_until_nothing_is_left(CLEAN);
}

#[test]
fn a_deleted_running_job_leaves_nothing() {
    let bed = Bed::open();
    let workload = Workload::start(&bed, "e2e-delete", 2, 256);
    let job = Job::apply(&bed, &workload, "deleted");
    job.wait_until_bytes_cross(JOB);
    assert!(!bed.leftovers().instances.is_empty(), "a running job has a box");

    job.delete();
    job.wait_until_gone(CLEAN);
    bed.wait_until_nothing_is_left(CLEAN);
}

#[test]
fn a_controller_killed_in_mid_transfer_completes_in_a_new_attempt() {
    let bed = Bed::open();
    let workload = Workload::start(&bed, "e2e-kill", 2, 256);
    let job = Job::apply(&bed, &workload, "killed");
    job.wait_until_bytes_cross(JOB);
    let first = job.session();

    bed.kill_controller();
    job.wait_for_phase("Complete", JOB);
    let status = job.status();
    assert_eq!(status["attempt"], 2, "{status}");
    assert_ne!(job.last_session(), first, "a session id is never used with two keys");
    bed.wait_until_nothing_is_left(CLEAN);
}

#[test]
fn an_empty_selection_never_succeeds() {
    let bed = Bed::open();
    let workload = Workload::start(&bed, "e2e-empty", 1, 1);
    let job = Job::apply_selecting(&bed, &workload, "empty", "no-such-app", 0);
    job.wait_for_phase("Failed", JOB);
    assert_eq!(job.condition("Failed"), Some("True".to_owned()));
    assert!(job.told("NoPodsMatched"), "conditions and events name the cause: {}", job.status());
    bed.wait_until_nothing_is_left(CLEAN);
}

#[test]
fn a_spec_is_immutable_and_bad_ones_are_refused_at_admission() {
    let bed = Bed::open();
    let workload = Workload::start(&bed, "e2e-admission", 1, 1);
    let job = Job::apply(&bed, &workload, "immutable");
    let refused = job.patch_spec(r#"{"spec":{"backoffLimit":5}}"#).expect_err("a spec may not change");
    assert!(refused.contains("cannot change"), "{refused}");
    for (what, path) in [("relative", "data"), ("dots", "/data/../etc")] {
        let refused = Job::try_apply(&bed, &workload, what, path).expect_err("a bad path is refused");
        assert!(refused.contains("path"), "{what}: {refused}");
    }
    job.wait_for_phase("Complete", JOB);
    bed.wait_until_nothing_is_left(CLEAN);
}

#[test]
fn uninstalling_the_chart_in_mid_transfer_leaves_nothing() {
    let bed = Bed::open();
    let workload = Workload::start(&bed, "e2e-uninstall", 2, 256);
    let job = Job::apply(&bed, &workload, "drained");
    job.wait_until_bytes_cross(JOB);

    bed.uninstall();
    bed.wait_until_nothing_is_left(CLEAN);
    assert!(job.finalizers().is_empty(), "no finalizer may outlive the operator");
    job.delete();
    job.wait_until_gone(CLEAN);
    bed.install_again();
}
