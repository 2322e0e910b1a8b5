//! The mutation run over the policy files.

use std::fs;

use anyhow::{Context as _, Result};

use super::Proof;
use crate::{paths, shell::command, test::shown};

const HOW: &str = "Every statement of `infra/policies/`, every condition and every action or resource of a list was \
                   removed once, the policies were deployed again, and the probes of `tests/policy/probes.py` ran. It \
                   counts as held when at least one probe turned red.";

pub(super) fn run(proof: &Proof) -> Result<()> {
    proof.on_a_bed(|bed| {
        let table = paths::target().join("policy-mutation.md");
        let mut python = command(bed.tools.python());
        python
            .args(["tests/policy/mutate.py", "--parts", "--run", &bed.run, "--stack"])
            .arg(&bed.stack_file)
            .arg("--table")
            .arg(&table)
            .env("DRAWBRIDGE_BIN", &bed.tools.bin)
            .env("DRAWBRIDGE_VENV", &bed.tools.venv);
        shown("removing each policy statement in turn", &mut python)?;
        let rows = fs::read_to_string(&table).with_context(|| format!("reading {}", table.display()))?;
        proof.record("policy", "Policy mutation", HOW, &rows)
    })
}
