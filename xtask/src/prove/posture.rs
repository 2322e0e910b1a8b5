//! Every guarantee broken once in the account, and what became of the next job.

use std::{ffi::OsStr, fmt::Write as _};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Proof, faults::evidence};
use crate::{
    bed::{Bed, NAMESPACE},
    shell::step,
};

const HOW: &str = "Each guarantee of [docs/posture.md](../posture.md) was broken in the local AWS account by its owner, as \
                   an administrator with the AWS CLI would, while the real posture function, the real controller and a \
                   real cluster ran. A row counts when the first look after it turned the vault's condition `PostureHeld` \
                   and named the guarantee, the next job opened no session and said `PostureBroken` in its condition and \
                   an event, and the same job completed after the guarantee was put back. A guarantee that is not \
                   required by default was required by the vault for its row. Seconds: from the request for a look to \
                   the condition; from the repair to the end of the job.";
const ALONE: &str = "Nobody asks: the last look was older than `posture.maxAgeSeconds`, here 10, which is the least (60 unless \
                     set), when the job was applied. The job had the stack looked at, and again while it waited. Seconds: \
                     from the job to its condition; from the repair to its end.";

/// The chart's least `posture.maxAgeSeconds`.
const MAX_AGE: &str = "10";
/// Tests: every guarantee, by request; one, without.
const EACH: &str = "each_guarantee_turns_the_condition_and_holds_the_next_job";
const UNASKED: &str = "a_job_has_an_old_look_repeated_and_runs_by_itself_when_the_stack_is_mended";

/// One line of the tests' evidence.
#[derive(Deserialize)]
struct Row {
    guarantee: String,
    flip: String,
    seen_after: f64,
    message: String,
    complete_after: f64,
}

pub(super) fn run(proof: &Proof) -> Result<()> {
    let (each, unasked) = proof.on_a_bed(|bed| {
        bed.install()?;
        let each = evidence(bed, "posture", "every guarantee broken once", &[EACH], &[])?;
        look_as_often_as_may_be(bed)?;
        let seconds = [("DRAWBRIDGE_POSTURE_MAX_AGE", OsStr::new(MAX_AGE))];
        let unasked = evidence(bed, "posture", "one broken, and nobody asks", &[UNASKED], &seconds)?;
        Ok((each, unasked))
    })?;
    let figures = format!("{}\n{ALONE}\n\n{}", table(&rows(&each)?), table(&rows(&unasked)?));
    proof.record("posture", "Every guarantee, broken and mended", HOW, &figures)
}

fn rows(lines: &str) -> Result<Vec<Row>> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("reading the evidence '{line}'")))
        .collect()
}

/// A job waits for no longer than it must.
fn look_as_often_as_may_be(bed: &Bed) -> Result<()> {
    let mut helm = bed.helm();
    helm.args(["upgrade", "drawbridge", "charts/drawbridge", "--namespace", NAMESPACE, "--reuse-values"])
        .args(["--set", &format!("posture.maxAgeSeconds={MAX_AGE}"), "--wait", "--timeout", "120s"]);
    step("helm upgrade: looks count for 10 s", &format!("helm-posture-{}", bed.run), &mut helm)
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "Flips: {}\n\n| guarantee | what was done | seen after, s | what it said | run after, s |\n|---|---|---:|---|---:|\n",
        rows.len()
    );
    for Row { guarantee, flip, seen_after, message, complete_after } in rows {
        let message = message.replace('|', "\\|");
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "| `{guarantee}` | {flip} | {seen_after:.1} | {message} | {complete_after:.1} |");
    }
    text
}
