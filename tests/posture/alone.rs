//! Nobody asks for a look: a job has one made where the last is too old, and others while it waits.

use std::time::{Duration, Instant};

use drawbridge_protocol::posture::Name;
use jiff::Timestamp;
use serde_json::json;

use crate::{
    LIMIT,
    bed::{Bed, wait},
    buckets,
    job::Job,
    run,
    vault::Vault,
    workload::Workload,
    write,
};

#[test]
fn a_job_has_an_old_look_repeated_and_runs_by_itself_when_the_stack_is_mended() {
    let max_age = std::env::var("DRAWBRIDGE_POSTURE_MAX_AGE").expect("DRAWBRIDGE_POSTURE_MAX_AGE: seconds");
    let max_age = Duration::from_secs(max_age.parse().expect("DRAWBRIDGE_POSTURE_MAX_AGE is a number"));
    let bed = Bed::open();
    let workload = Workload::start(&bed, "posture-alone", 1, 1);
    let vault = Vault::of(&bed, "default");
    assert!(wait(LIMIT, || vault.is_held()), "the stack was to be whole before anything is broken");

    let mut flips = buckets::flips(&bed).into_iter();
    let flip = flips.find(|flip| flip.guarantee == Name::BackupPublicAccess).expect("a flip of it");
    let id = flip.guarantee.id();
    assert!(flip.guarantee.is_required(), "{id}: a job waits for required guarantees alone");
    run(&bed, &flip.breaks);
    let (looked, asked_for) = (vault.looked_at(), vault.asked_for());
    let is_old = || Timestamp::now().duration_since(looked).unsigned_abs() > max_age;
    assert!(wait(max_age + LIMIT, is_old), "the last look, at {looked}, grew no older");
    assert_eq!(vault.looked_at(), looked, "nobody was to look before the job");
    assert!(vault.is_held(), "nobody was to have seen it yet");

    let applied = Instant::now();
    let job = Job::apply(&bed, &workload, "alone");
    let held = wait(LIMIT, || match job.reason_and_message("Progressing") {
        Some((reason, said)) => reason == "PostureBroken" && said.contains(id),
        None => false,
    });
    assert!(held, "{id}: the job does not wait: {:#}", job.status());
    let seen_after = applied.elapsed();
    let (_, message) = job.reason_and_message("Progressing").expect("the condition");
    assert!(job.status()["session"].is_null(), "{id}: a session was opened");

    let mended = Instant::now();
    run(&bed, &flip.mends);
    job.wait_for_phase("Complete", LIMIT);
    let complete_after = mended.elapsed();
    assert_eq!(vault.asked_for(), asked_for, "nobody was to ask by annotation");
    write(
        &json!({"guarantee": id, "flip": flip.what, "seen_after": seen_after.as_secs_f64(), "message": message,
        "complete_after": complete_after.as_secs_f64()}),
    );
}
