//! The crash matrix on the real parts.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Proof, faults::evidence};

/// Three times in a row.
const ROUNDS: &str = "3";

const HOW: &str = "A job is brought to each kind of step that the plan knows (`StepKind`; a kind without a row does not \
                   compile) and is hit there: the controller killed with SIGKILL, the box's process killed, the Lambda \
                   processes killed (at the two steps that invoke one, in the middle of its EC2 request, which then takes \
                   effect), the job deleted. A step is met because the controller runs with `testbed/shim.c` before libc: \
                   it sees the log line that says that the step is planned and kills or holds the process before the \
                   line, and so the step, goes on. A cell is green when the job ends (Complete, in this attempt or in \
                   another, or deleted), nothing is left on the AWS side, and as many sessions were closed as there were \
                   attempts, so that no id served two. Where no box runs yet, killing it hits nothing; such cells say so.";

#[derive(Deserialize)]
struct Cell {
    round: u32,
    step: String,
    disruption: String,
    seconds: f64,
    attempts: i64,
    end: String,
    hit: String,
}

pub(super) fn run(proof: &Proof) -> Result<()> {
    proof.on_a_bed(|bed| {
        bed.install()?;
        let lines =
            evidence(bed, "crash", "the crash matrix", &[], &[("DRAWBRIDGE_ROUNDS", ROUNDS.as_ref())])?;
        let cells: Vec<Cell> = lines
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("reading the evidence '{line}'")))
            .collect::<Result<_>>()?;
        proof.record("crash", "Crash matrix", HOW, &table(&cells))
    })
}

/// A line for each cell, with what each round came to.
fn table(cells: &[Cell]) -> String {
    let mut lines: BTreeMap<(&str, &str), Vec<&Cell>> = BTreeMap::new();
    for cell in cells {
        lines.entry((&cell.step, &cell.disruption)).or_default().push(cell);
    }
    let rounds = cells.iter().map(|cell| cell.round).max().unwrap_or(0);
    let mut text = format!(
        "{} cells, {rounds} rounds, all green\n\n| step | hit | what was hit | end of each round (attempts) | s |\n|---|---|---|---|---|\n",
        lines.len()
    );
    for ((step, disruption), rounds) in lines {
        let join = |part: &dyn Fn(&Cell) -> String| {
            rounds.iter().map(|cell| part(cell)).collect::<Vec<_>>().join("; ")
        };
        let ends = join(&|cell| format!("{} ({})", cell.end, cell.attempts));
        let seconds = join(&|cell| format!("{:.0}", cell.seconds));
        let hit = rounds.first().map_or("", |cell| cell.hit.as_str());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {step} | {disruption} | {hit} | {ends} | {seconds} |");
    }
    text
}
