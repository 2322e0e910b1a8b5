//! The parsers under libFuzzer, and the dialogue under seeds.

use std::fmt::Write as _;

use anyhow::Result;

use super::Proof;
use crate::{
    fuzz::{self, Fuzzed},
    shell::command,
    test::shown,
};

const HOW: &str = "libFuzzer, guided by coverage, over the targets of `crates/fuzz`: the upload protocol's frames, the tar \
                   reader, an artifact with all structural checks, every JSON document that crosses a boundary, what \
                   stands under a genuine signature, names and keys. A run counts when no input broke a promise of its \
                   target, took over 20 s or 1 GiB. A tenth of the time goes to dialogues with the box's state machine, \
                   dealt by seeds; half of the rest to the frames, which a client with valid keys speaks to the box; \
                   the others share what is left. What is kept lies in `fuzz/corpus`, and every `cargo test` plays it.";

pub(super) fn run(proof: &Proof) -> Result<()> {
    let program = fuzz::build()?;
    // A tenth of the time goes to the dialogue.
    let dialogue = (proof.seconds / 10).max(1);
    let fuzzed = fuzz::run(&program, proof.seconds.saturating_sub(dialogue).max(1), true)?;
    let mut cargo = command("cargo");
    cargo
        .args(["test", "--release", "--locked", "--workspace", "--lib", "--", "connection::tests"])
        .env("DRAWBRIDGE_FUZZ_SECONDS", dialogue.to_string());
    shown("dialogues dealt by seeds", &mut cargo)?;
    proof.record("fuzz", "Fuzzing", HOW, &table(&fuzzed, dialogue))
}

fn table(fuzzed: &[Fuzzed], dialogue: u64) -> String {
    let mut text =
        "| target | s | inputs tried | ways taken | inputs kept | found |\n|---|---:|---:|---:|---:|---|\n"
            .to_owned();
    for Fuzzed { target, seconds, runs, inputs, features } in fuzzed {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {target} | {seconds:.0} | {runs} | {features} | {inputs} | nothing |");
    }
    let _ = writeln!(text, "| dialogue | {dialogue} | by seeds | - | - | nothing |");
    text
}
