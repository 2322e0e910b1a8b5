//! Every guarantee broken once in the account, and what became of the next job.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Proof, faults::evidence};

const HOW: &str = "Each guarantee of [docs/posture.md](../posture.md) was broken in the local AWS account by its owner, as \
                   an administrator with the AWS CLI would, while the real posture function, the real controller and a \
                   real cluster ran. A row counts when the first look after it turned the vault's condition `PostureHeld` \
                   and named the guarantee, the next job opened no session and said `PostureBroken` in its condition and \
                   an event, and the same job completed after the guarantee was put back. A guarantee that is not \
                   required by default was required by the vault for its row. Seconds: from the request for a look to \
                   the condition; from the repair to the end of the job.";

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
    let lines = proof.on_a_bed(|bed| {
        bed.install()?;
        evidence(bed, "posture", "every guarantee broken once", &[], &[])
    })?;
    let rows: Vec<Row> = lines
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("reading the evidence '{line}'")))
        .collect::<Result<_>>()?;
    proof.record("posture", "Every guarantee, broken and mended", HOW, &table(&rows))
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{} flips\n\n| guarantee | what was done | seen after, s | what it said | run after, s |\n|---|---|---:|---|---:|\n",
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
