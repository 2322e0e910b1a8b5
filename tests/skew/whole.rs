//! The release before, all of it, upgraded to this one: its stack in mid-session, then its CRDs and its operator.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    aws::Rule,
    bed::{Bed, wait},
    before, completes, controller_image, is_certified,
    job::Job,
    newer_code, record, shows, this, upgrade,
    workload::Workload,
};

/// For the first bytes to cross, and for a job after them.
const CROSSING: Duration = Duration::from_secs(240);
/// How long parts are held at a time. A connection that can send nothing for 20 s is given up.
const PACE: Duration = Duration::from_secs(2);
/// The namespace and the job that are there before the upgrade and after it.
const NAMESPACE: &str = "skew-whole";
const JOB: &str = "upgraded";

/// Lets what boxes store cross slowly while `work` is done: a few parts at a time.
fn slowly<T>(bed: &Bed, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _held = Rule::always(bed, "UploadPart", "clusters/*", "hold");
                wait(PACE, || over.load(Ordering::Relaxed));
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
}

fn stored_mebibytes(job: &Job<'_>) -> u64 {
    job.status()["bytes"]["stored"].as_u64().unwrap_or(0) >> 20
}

#[test]
fn a_release_upgraded_whole_in_mid_session_loses_nothing() {
    let (bed, begun) = (Bed::open(), Instant::now());
    assert!(controller_image(&bed).ends_with(":previous"), "the controller before is to be installed");
    let code = newer_code();
    let workload = Workload::start(&bed, NAMESPACE, 2, 512);
    let job = Job::apply(&bed, &workload, JOB);
    job.wait_until_bytes_cross(CROSSING);
    let session = job.session();
    let (first, upgraded) = (stored_mebibytes(&job), Instant::now());
    slowly(&bed, || upgrade(&bed, &code)).unwrap();
    let (took, last) = (upgraded.elapsed(), stored_mebibytes(&job));
    let status = job.status();
    assert_eq!(status["phase"], "Running", "the upgrade was to end in mid-session: {status}");
    assert_eq!(job.session(), session, "the session was to stay open: {status}");
    // What only the template brings; it panics where the stack has it not.
    let made = ["SweepFunctionArn", "MarkerFunctionArn"].map(|output| bed.output(output));
    let [sweeps, markers] = made.each_ref().map(|arn| arn.rsplit(':').next().unwrap_or_default());

    let status = completes(&bed, &job);
    assert_eq!(job.last_session(), session, "what is stored was to be that session's: {status}");
    assert_eq!(status["artifacts"]["done"], 2, "two replicas are two artifacts: {status}");
    let stored = bed.objects(&status["receipt"]);
    assert_eq!(stored.len(), 5, "two artifacts, SHA256SUMS, the manifest and its envelope: {stored:?}");
    assert!(!is_certified(&status), "the controller before could not have read a certificate: {status}");
    let shown = format!(
        "template, policies and zips updated in {:.0} s, from {first} to {last} MiB of the transfer; all artifacts stored; \
         `{sweeps}` and `{markers}` made on the way",
        took.as_secs_f64(),
    );
    let stack = format!("{}, upgraded whole under way", before());
    record(&before(), &stack, "a_release_upgraded_whole_in_mid_session_loses_nothing", begun, &shown);
}

#[test]
fn the_next_job_is_of_this_release_throughout() {
    let (bed, begun) = (Bed::open(), Instant::now());
    assert!(
        !controller_image(&bed).ends_with(":previous"),
        "the controller of this release is to be installed"
    );
    let kept = bed.get("backupjob", NAMESPACE, JOB).expect("the job from before the upgrade");
    assert_eq!(kept["status"]["phase"], "Complete", "it was to stay as it was: {kept:#}");
    let vault = bed.get("backupvault", "default", "default").expect("the vault");
    assert!(vault["spec"]["receiptKey"].is_string(), "the vault is to pin the receipt key: {vault:#}");

    let workload = Workload::start(&bed, "skew-whole-after", 2, 4);
    let job = Job::apply(&bed, &workload, "after");
    let status = completes(&bed, &job);
    assert!(is_certified(&status), "both speak the newer revision: {status}");
    shows(&bed, "VersionsFit", "SameRevision");
    shows(&bed, "PostureHeld", "Held");
    record(
        &this(),
        &this(),
        "the_next_job_is_of_this_release_throughout",
        begun,
        "receipt certified under the pinned key, VersionsFit=True (SameRevision), PostureHeld=True on the upgraded stack",
    );
}
