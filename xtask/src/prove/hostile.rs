//! A client with valid keys and bad intent, against the box's program.

use std::{collections::BTreeSet, fmt::Write as _, fs};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Proof;
use crate::{paths, shell::command, test::shown};

const HOW: &str = "Each attack of `crates/jumpbox/tests/hostile` on a process of the box's own program, over loopback, in front \
                   of a local S3; the client has the session's key. A row counts when the box gave the named answer, an \
                   honest client's artifact got through beside it or after it, and the box's peak memory (VmHWM, 96 MiB \
                   at the most) held. Tests run beside each other, so seconds say nothing.";

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    attack: String,
    answer: String,
    peak_kib: Option<u64>,
}

pub(super) fn run(proof: &Proof) -> Result<()> {
    let evidence = paths::target().join("hostile.jsonl");
    fs::write(&evidence, "").with_context(|| format!("writing {}", evidence.display()))?;
    let mut cargo = command("cargo");
    cargo
        .args(["test", "--release", "--locked", "--workspace", "--test", "hostile"])
        .env("DRAWBRIDGE_VENV", &proof.tools.venv)
        .env("DRAWBRIDGE_EVIDENCE", &evidence);
    shown("a hostile client against the box", &mut cargo)?;
    let lines = fs::read_to_string(&evidence).with_context(|| format!("reading {}", evidence.display()))?;
    let rows: BTreeSet<Row> = lines
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("reading the evidence '{line}'")))
        .collect::<Result<_>>()?;
    proof.record("hostile", "A hostile client", HOW, &table(&rows))
}

fn table(rows: &BTreeSet<Row>) -> String {
    let mut text = format!("{} attacks\n\n| attack | answer | peak, MiB |\n|---|---|---:|\n", rows.len());
    for Row { attack, answer, peak_kib } in rows {
        let peak = peak_kib.map_or_else(|| "-".to_owned(), |kib| format!("{}", kib.div_ceil(1024)));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {attack} | {answer} | {peak} |");
    }
    text
}
