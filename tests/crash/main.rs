//! The crash matrix: at every step of a job, the controller is killed, the box is killed, the Lambda process is killed, the
//! job is deleted. Whatever is hit, the job ends, nothing is left, and no session id is used twice.
//!
//! The rows are `StepKind`, matched without a wildcard: a step without a row does not compile. A step is met for certain: the
//! controller runs with `testbed/shim.c` before libc, which watches for the log line that the controller writes when it has
//! planned a step and not begun it, and kills the process there, or holds it while something else is killed.
//! `cargo xtask prove crash` runs this; `DRAWBRIDGE_ROUNDS` says how often, `DRAWBRIDGE_STEPS` which steps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[allow(dead_code)] // what other tests need besides
#[path = "../faults/aws.rs"]
mod aws;
#[allow(dead_code)]
#[path = "../e2e/bed.rs"]
mod bed;
mod cell;
#[allow(dead_code)]
#[path = "../faults/clock.rs"]
mod clock;
mod disruption;
#[allow(dead_code)]
#[path = "../e2e/job.rs"]
mod job;
#[allow(dead_code)]
#[path = "../faults/network.rs"]
mod network;
#[allow(dead_code)]
#[path = "../faults/pods.rs"]
mod pods;
mod scenario;
#[allow(dead_code)]
#[path = "../e2e/workload.rs"]
mod workload;

use std::{fs::OpenOptions, io::Write as _, time::Duration};

use drawbridge::controller::backupjob::StepKind;
use serde_json::json;

use aws::Setting;
use bed::Bed;
use cell::Cell;
use clock::Shimmed;
use disruption::Disruption;
use pods::{Place, SMALL};

/// Enough to be met in mid-stream, where the shim holds the controller. What all cells store stays in the local S3's memory.
const STREAM: &str = "mkdir -p /data && dd if=/dev/urandom of=/data/blob bs=1M count=256 2>/dev/null";
/// Where all of it happens.
const NAMESPACE: &str = "crash";
/// An abandoned session's box ends by its own timer; boxes live this long here.
const BOX_SECONDS: &str = "150";
/// From there to nothing left.
const TIMERS: Duration = Duration::from_secs(240);

#[test]
fn whatever_is_hit_at_whatever_step_the_job_ends_and_nothing_is_left() {
    let bed = Bed::open();
    let place = Place::new(&bed, NAMESPACE);
    place.pod("small", SMALL);
    place.pod("long", STREAM);
    // A chart value; ten seconds before each second attempt would say nothing here.
    let controller = Shimmed::controller_with(&bed, &[("DRAWBRIDGE_BACKOFF_SECONDS", "1")]);
    let _short = Setting::of(&bed, "DRAWBRIDGE_SESSION_SECONDS", BOX_SECONDS);
    scenario::vault(&bed);
    let rounds = std::env::var("DRAWBRIDGE_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    let only = std::env::var("DRAWBRIDGE_STEPS").ok();
    let mut failed = Vec::new();
    for round in 1..=rounds {
        for &step in
            StepKind::ALL.iter().filter(|step| only.as_ref().is_none_or(|only| only.contains(step.name())))
        {
            for disruption in Disruption::ALL {
                let cell =
                    Cell { bed: &bed, place: &place, controller: &controller, round, step, disruption };
                match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cell.run())) {
                    Ok(seen) => record(round, step, disruption, &seen),
                    Err(why) => {
                        let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
                        eprintln!("  FAILED {} x {}: {why}", step.name(), disruption.name());
                        failed.push(format!("round {round}: {} x {}: {why}", step.name(), disruption.name()));
                        controller.shim.release();
                    }
                }
            }
        }
        bed.wait_until_nothing_is_left(TIMERS);
    }
    assert!(failed.is_empty(), "{} cells failed:\n{}", failed.len(), failed.join("\n"));
}

/// How a cell ended.
pub(crate) struct Seen {
    seconds: f64,
    attempts: i64,
    end: &'static str,
    hit: String,
}

fn record(round: u32, step: StepKind, disruption: Disruption, seen: &Seen) {
    let Seen { seconds, attempts, end, hit } = seen;
    eprintln!(
        "  {round}: {} x {} ({hit}): {end}, {attempts} attempts, {seconds:.1} s",
        step.name(),
        disruption.name()
    );
    let Some(path) = std::env::var_os("DRAWBRIDGE_EVIDENCE") else { return };
    let line = json!({"round": round, "step": step.name(), "disruption": disruption.name(), "seconds": seconds,
        "attempts": attempts, "end": end, "hit": hit});
    writeln!(OpenOptions::new().create(true).append(true).open(path).unwrap(), "{line}").unwrap();
}
