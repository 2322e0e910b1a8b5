//! The release before beside this one, on the real parts. `cargo xtask prove skew` builds it, deploys it and
//! runs these one after the other; each says what must stand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[allow(dead_code)] // what other tests need besides
#[path = "../faults/aws.rs"]
mod aws;
#[allow(dead_code)]
#[path = "../e2e/bed.rs"]
mod bed;
#[allow(dead_code)]
#[path = "../e2e/job.rs"]
mod job;
mod whole;
#[allow(dead_code)]
#[path = "../e2e/workload.rs"]
mod workload;

use std::{
    fs::OpenOptions,
    io::Write as _,
    time::{Duration, Instant},
};

use bed::{Bed, wait};
use job::Job;
use serde_json::{Value, json};
use workload::Workload;

/// Long enough for a job of a few hundred MiB on a busy machine; a job that takes longer hangs.
const JOB: Duration = Duration::from_secs(240);
/// From a closed session to nothing left on the AWS side.
const CLEAN: Duration = Duration::from_secs(60);
/// For a condition of the vault to follow what its stack was heard to speak.
const HEARD: Duration = Duration::from_secs(60);

/// This release, and the one before, as the evidence names them.
fn this() -> String {
    std::env::var("DRAWBRIDGE_THIS_RELEASE").expect("DRAWBRIDGE_THIS_RELEASE: version and commit")
}

fn before() -> String {
    std::env::var("DRAWBRIDGE_RELEASE_BEFORE").expect("DRAWBRIDGE_RELEASE_BEFORE: version and commit")
}

/// The zips to upgrade to, by spaces.
fn newer_code() -> String {
    std::env::var("DRAWBRIDGE_NEWER_CODE").expect("DRAWBRIDGE_NEWER_CODE: the zips to upgrade to")
}

/// Updates the stack to this release's template, policies and zips, as a user does by CloudFormation.
fn upgrade(bed: &Bed, code: &str) -> Result<String, String> {
    let mut upgrade = bed.python();
    let (run, stack) = (bed.fact("/run"), bed.dir().join("stack.json"));
    upgrade.args(["testbed/aws/deploy.py", "update", "--run", &run, "--stack"]).arg(stack).arg("--code");
    upgrade.args(code.split(' '));
    bed::output(upgrade)
}

fn controller_image(bed: &Bed) -> String {
    let path = "jsonpath={.spec.template.spec.containers[0].image}";
    bed.kubectl(&["get", "deployment", "drawbridge", "-n", "drawbridge-system", "-o", path]).unwrap()
}

/// The reason of one of the vault's conditions.
fn reason(bed: &Bed, condition: &str) -> Option<String> {
    let vault = bed.get("backupvault", "default", "default")?;
    let conditions = vault["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|other| other["type"] == condition)?;
    found["reason"].as_str().map(str::to_owned)
}

fn shows(bed: &Bed, condition: &str, expected: &str) {
    let shown = wait(HEARD, || reason(bed, condition).as_deref() == Some(expected));
    assert!(shown, "the vault's {condition} was to be {expected}, it is {:?}", reason(bed, condition));
}

/// The job is Complete in its first attempt, and nothing is left.
fn completes(bed: &Bed, job: &Job) -> Value {
    job.wait_for_phase("Complete", JOB);
    let status = job.status();
    assert_eq!(status["attempt"], 1, "nothing may be lost: {status}");
    bed.wait_until_nothing_is_left(CLEAN);
    status
}

/// Whether the receipt has a certificate. A controller of the release before does not say.
fn is_certified(status: &Value) -> bool {
    status["receipt"]["certified"] == true
}

fn record(controller: &str, stack: &str, test: &str, begun: Instant, shown: &str) {
    let line = json!({ "controller": controller, "stack": stack, "test": test,
                       "seconds": begun.elapsed().as_secs_f64(), "shown": shown });
    let path = std::env::var_os("DRAWBRIDGE_EVIDENCE").expect("DRAWBRIDGE_EVIDENCE");
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}

#[test]
fn this_controller_completes_on_the_stack_before() {
    let (bed, begun) = (Bed::open(), Instant::now());
    let workload = Workload::start(&bed, "skew-older-stack", 2, 4);
    let job = Job::apply(&bed, &workload, "whole");
    let status = completes(&bed, &job);
    assert!(!is_certified(&status), "the stack before certifies nothing: {status}");
    shows(&bed, "VersionsFit", "OlderStack");
    record(
        &this(),
        &format!("functions of {}", before()),
        "this_controller_completes_on_the_stack_before",
        begun,
        "VersionsFit=True (OlderStack)",
    );
}

#[test]
fn a_stack_upgraded_in_mid_session_loses_nothing() {
    let (bed, begun) = (Bed::open(), Instant::now());
    let code = newer_code();
    let workload = Workload::start(&bed, "skew-upgrade", 2, 256);
    let job = Job::apply(&bed, &workload, "upgraded");
    job.wait_until_bytes_cross(JOB);
    upgrade(&bed, &code).unwrap();
    let status = completes(&bed, &job);
    assert!(!is_certified(&status), "the session keeps to what was chosen at its beginning: {status}");
    let next = Job::apply(&bed, &workload, "after");
    let status = completes(&bed, &next);
    assert!(is_certified(&status), "the next one speaks the newer revision: {status}");
    shows(&bed, "VersionsFit", "SameRevision");
    let shown =
        "the open session ended in its own words; the next was certified, VersionsFit=True (SameRevision)";
    record(
        &this(),
        &format!("functions of {}, upgraded under way", before()),
        "a_stack_upgraded_in_mid_session_loses_nothing",
        begun,
        shown,
    );
}

#[test]
fn the_controller_before_completes_on_this_stack() {
    let (bed, begun) = (Bed::open(), Instant::now());
    assert!(controller_image(&bed).ends_with(":previous"), "the controller before is to be installed");
    let workload = Workload::start(&bed, "skew-older-controller", 2, 4);
    let job = Job::apply(&bed, &workload, "whole");
    let status = completes(&bed, &job);
    assert!(!is_certified(&status), "it could not have read a certificate: {status}");
    record(
        &before(),
        &this(),
        "the_controller_before_completes_on_this_stack",
        begun,
        "it verified its receipt",
    );
}
