//! Every guarantee is broken in the account, as an administrator could break it: the vault's condition turns with the next
//! look, the next job waits and says why, and runs when the guarantee holds again.
//!
//! `cargo xtask prove posture` runs it on a test bed of its own and writes docs/evidence/posture.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod alone;
#[allow(dead_code)] // what the end-to-end tests need besides
#[path = "../e2e/bed.rs"]
mod bed;
mod buckets;
mod functions;
mod identities;
#[allow(dead_code)]
#[path = "../e2e/job.rs"]
mod job;
mod network;
mod vault;
#[allow(dead_code)]
#[path = "../e2e/workload.rs"]
mod workload;

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io::Write as _,
    time::{Duration, Instant},
};

use drawbridge_protocol::posture::Name;
use serde_json::json;

use bed::{Bed, wait};
use job::Job;
use vault::Vault;
use workload::Workload;

/// The longest that a look, or a job of a few bytes, may take.
const LIMIT: Duration = Duration::from_secs(120);

/// One way to break one guarantee, as calls of the AWS CLI.
struct Flip {
    guarantee: Name,
    /// For people.
    what: &'static str,
    breaks: Vec<Call>,
    mends: Vec<Call>,
    /// How long until it can be seen, where it is not at once.
    patience: Duration,
}

type Call = Vec<String>;

/// A call, from its words.
fn call(words: &[&str]) -> Call {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Flip {
    fn of(guarantee: Name, what: &'static str, breaks: Vec<Call>, mends: Vec<Call>) -> Self {
        Self { guarantee, what, breaks, mends, patience: Duration::ZERO }
    }
}

#[test]
fn each_guarantee_turns_the_condition_and_holds_the_next_job() {
    let bed = Bed::open();
    let workload = Workload::start(&bed, "posture", 1, 1);
    let vault = Vault::of(&bed, "default");
    vault.waits_until_held(LIMIT);

    let mut flips = buckets::flips(&bed);
    flips.extend(network::flips(&bed));
    flips.extend(identities::flips(&bed));
    flips.extend(functions::flips(&bed));
    let flipped: BTreeSet<Name> = flips.iter().map(|flip| flip.guarantee).collect();
    let on_this_stack = vault.guarantees();
    for name in Name::ALL {
        let is_here = on_this_stack.iter().any(|id| id == name.id());
        assert!(flipped.contains(name) || !is_here, "no flip breaks {}", name.id());
    }
    for (number, flip) in flips.into_iter().enumerate() {
        row(&bed, &vault, &workload, number, &flip);
    }
}

/// One row of the evidence.
fn row(bed: &Bed, vault: &Vault<'_>, workload: &Workload, number: usize, flip: &Flip) {
    let id = flip.guarantee.id();
    eprintln!("  {id}: {}", flip.what);
    if !flip.guarantee.is_required() {
        vault.requires(Some(&[id]));
        vault.waits_until_held(LIMIT);
    }
    run(bed, &flip.breaks);
    let (seen_after, message) = vault.turns(id, flip.patience + LIMIT, flip.patience == Duration::ZERO);

    let job = Job::apply(bed, workload, &format!("row-{number}"));
    let held = wait(LIMIT, || match job.reason_and_message("Progressing") {
        Some((reason, said)) => reason == "PostureBroken" && said.contains(id),
        None => false,
    });
    assert!(held, "{id}: the job does not wait: {:#}", job.status());
    assert!(wait(LIMIT, || job.has_event("PostureBroken")), "{id}: no event says so");
    assert!(job.status()["session"].is_null(), "{id}: a session was opened");

    let mended = Instant::now();
    run(bed, &flip.mends);
    vault.look();
    job.wait_for_phase("Complete", LIMIT);
    let complete_after = mended.elapsed();
    if !flip.guarantee.is_required() {
        vault.requires(None);
    }
    vault.waits_until_held(LIMIT);
    write(
        &json!({"guarantee": id, "flip": flip.what, "seen_after": seen_after.as_secs_f64(), "message": message,
        "complete_after": complete_after.as_secs_f64()}),
    );
}

fn run(bed: &Bed, calls: &[Call]) {
    for call in calls {
        let words: Vec<&str> = call.iter().map(String::as_str).collect();
        bed.aws(&words);
    }
}

/// Adds a line to the file that `DRAWBRIDGE_EVIDENCE` names, if it names one.
fn write(line: &serde_json::Value) {
    let Some(path) = std::env::var_os("DRAWBRIDGE_EVIDENCE") else { return };
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}
