//! Every fault on the real parts, and what it ended in.

use std::{ffi::OsStr, fmt::Write as _, fs};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Proof;
use crate::{bed::Bed, paths, test};

const HOW: &str = "Each fault was made on the real parts (kube-apiserver, kubelet, containers, SSH, Lambda processes, box \
                   processes, the local AWS). A row counts when the job's condition and an event have the reason, the \
                   message names the object and the remedy, nothing is left on the AWS side (instances, interfaces, \
                   security groups, slots, state, unfinished uploads) and no failed job has a manifest; and when the \
                   same job completes once the fault is gone. Seconds are from `kubectl apply` to the end state, or to \
                   the condition where the job waits.";

/// One line of the tests' evidence.
#[derive(Deserialize)]
struct Row {
    fault: String,
    test: String,
    reason: String,
    seconds: f64,
    end: String,
    leftovers: u32,
}

pub(super) fn run(proof: &Proof) -> Result<()> {
    proof.on_a_bed(|bed| {
        bed.install()?;
        let lines = evidence(bed, "faults", "every fault on the real parts", &[])?;
        let rows: Vec<Row> = lines
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("reading the evidence '{line}'")))
            .collect::<Result<_>>()?;
        proof.record("faults", "Every fault has a name", HOW, &table(&rows))
    })
}

/// Runs all tests of a target on the bed and gives what they wrote down.
pub(super) fn evidence(bed: &Bed, target: &str, what: &str, more: &[(&str, &OsStr)]) -> Result<String> {
    let path = paths::target().join(format!("{target}.jsonl"));
    fs::write(&path, "").with_context(|| format!("writing {}", path.display()))?;
    let environment = [&[("DRAWBRIDGE_EVIDENCE", path.as_os_str())], more].concat();
    test::on_real_parts(bed, what, target, &[], &environment)?;
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{} faults\n\n| fault | test | reason | s | end | left |\n|---|---|---|---:|---|---:|\n",
        rows.len()
    );
    for Row { fault, test, reason, seconds, end, leftovers } in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {fault} | `{test}` | {reason} | {seconds:.1} | {end} | {leftovers} |");
    }
    text
}
