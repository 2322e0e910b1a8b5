//! Every fault on the real parts, and what it ended in.

use std::{ffi::OsStr, fmt::Write as _, fs, thread};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::Proof;
use crate::{bed::Bed, paths, test};

const HOW: &str = "Each fault was made on the real parts (kube-apiserver, kubelet, containers, SSH, Lambda processes, box \
                   processes, the local AWS). A row counts when the job's condition and an event have the reason, the \
                   message names the object and the remedy, nothing is left on the AWS side (instances, interfaces, \
                   security groups, slots, state, unfinished uploads) and no failed job has a manifest; and when the \
                   same job completes once the fault is gone. Seconds are from `kubectl apply` to the end state, or to \
                   the condition where the job waits; two test beds shared the machine.";

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

/// Most of the time is spent waiting for timeouts: half of the tests run on a test bed of their own, beside the rest.
const HALF: [&str; 3] = ["storage::", "clocks::", "opening::"];

pub(super) fn run(proof: &Proof) -> Result<()> {
    let rest: Vec<&str> = HALF.iter().flat_map(|module| ["--skip", module]).collect();
    let on_bed = |run: String, words: &[&str]| {
        proof.on_bed(&run, |bed| {
            bed.install()?;
            evidence(bed, "faults", "every fault on the real parts", words, &[])
        })
    };
    let halves = thread::scope(|scope| {
        let half = scope.spawn(|| on_bed(format!("{}-b", proof.run), &HALF));
        let rest = on_bed(proof.run.clone(), &rest);
        let half = half.join().unwrap_or_else(|_| bail!("the thread of one half of the faults panicked"));
        Ok::<_, anyhow::Error>([rest?, half?].concat())
    })?;
    let mut rows: Vec<Row> = halves
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("reading the evidence '{line}'")))
        .collect::<Result<_>>()?;
    rows.sort_by(|a, b| (&a.test, &a.fault).cmp(&(&b.test, &b.fault)));
    proof.record("faults", "Every fault has a name", HOW, &table(&rows))
}

/// Runs tests of a target on the bed and gives what they wrote down.
pub(super) fn evidence(
    bed: &Bed,
    target: &str,
    what: &str,
    words: &[&str],
    more: &[(&str, &OsStr)],
) -> Result<String> {
    let path = paths::target().join(format!("{target}-{}.jsonl", bed.run));
    fs::write(&path, "").with_context(|| format!("writing {}", path.display()))?;
    let environment = [&[("DRAWBRIDGE_EVIDENCE", path.as_os_str())], more].concat();
    test::on_real_parts(bed, what, target, words, &environment)?;
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
