//! The release before (commit 94692b2) beside this one, on the real parts. `cargo xtask prove skew` builds it, deploys it and
//! runs these one after the other; each says what must stand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[allow(dead_code)] // what other tests need besides
#[path = "../e2e/bed.rs"]
mod bed;
#[allow(dead_code)]
#[path = "../e2e/job.rs"]
mod job;
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

const THIS: &str = "this release";
const BEFORE: &str = "94692b2";

/// The reason of the vault's condition on versions.
fn versions_fit(bed: &Bed) -> Option<String> {
    let vault: Value =
        serde_json::from_str(&bed.kubectl(&["get", "backupvault", "default", "-o", "json"]).unwrap())
            .unwrap();
    let conditions = vault["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == "VersionsFit")?;
    found["reason"].as_str().map(str::to_owned)
}

fn shows(bed: &Bed, reason: &str) {
    let shown = wait(HEARD, || versions_fit(bed).as_deref() == Some(reason));
    assert!(shown, "the vault's VersionsFit was to be {reason}, it is {:?}", versions_fit(bed));
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
    shows(&bed, "OlderStack");
    record(
        THIS,
        BEFORE,
        "this_controller_completes_on_the_stack_before",
        begun,
        "VersionsFit=True (OlderStack)",
    );
}

#[test]
fn a_stack_upgraded_in_mid_session_loses_nothing() {
    let (bed, begun) = (Bed::open(), Instant::now());
    let code = std::env::var("DRAWBRIDGE_NEWER_CODE").expect("DRAWBRIDGE_NEWER_CODE: the zips to upgrade to");
    let workload = Workload::start(&bed, "skew-upgrade", 2, 256);
    let job = Job::apply(&bed, &workload, "upgraded");
    job.wait_until_bytes_cross(JOB);
    let mut upgrade = bed.python();
    let (run, stack) = (bed.fact("/run"), bed.dir().join("stack.json"));
    upgrade.args(["testbed/aws/deploy.py", "update", "--run", &run, "--stack"]).arg(stack).arg("--code");
    bed::output({
        upgrade.args(code.split(' '));
        upgrade
    })
    .unwrap();
    let status = completes(&bed, &job);
    assert!(!is_certified(&status), "the session keeps to what was chosen at its beginning: {status}");
    let next = Job::apply(&bed, &workload, "after");
    let status = completes(&bed, &next);
    assert!(is_certified(&status), "the next one speaks the newer revision: {status}");
    shows(&bed, "SameRevision");
    let shown =
        "the open session ended in its own words; the next was certified, VersionsFit=True (SameRevision)";
    record(
        THIS,
        "94692b2, upgraded under way",
        "a_stack_upgraded_in_mid_session_loses_nothing",
        begun,
        shown,
    );
}

#[test]
fn the_controller_before_completes_on_this_stack() {
    let (bed, begun) = (Bed::open(), Instant::now());
    let image = bed.kubectl(&[
        "get",
        "deployment",
        "drawbridge",
        "-n",
        "drawbridge-system",
        "-o",
        "jsonpath={.spec.template.spec.containers[0].image}",
    ]);
    assert!(image.unwrap().ends_with(":previous"), "the controller before is to be installed");
    let workload = Workload::start(&bed, "skew-older-controller", 2, 4);
    let job = Job::apply(&bed, &workload, "whole");
    let status = completes(&bed, &job);
    assert!(!is_certified(&status), "it could not have read a certificate: {status}");
    record(BEFORE, THIS, "the_controller_before_completes_on_this_stack", begun, "it verified its receipt");
}
