//! The simulation with many seeds, and the protocol's model with larger bounds.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::Proof;
use crate::{paths, shell::command, test::shown};

/// Seeds that are played; `cargo xtask test` plays 500.
const SEEDS: &str = "10000";

const HOW: &str = "`tests/simulation` runs the controller's own loop and both Lambdas against a model of Kubernetes, EC2 and \
                   S3 in virtual time; each seed deals another run of faults. `tests/protocol` is a model of a session in \
                   which every order of events is looked at. In both, each guard is taken away once, and a promise must \
                   break. `DRAWBRIDGE_SIM_SEED=n cargo test --release --workspace --test simulation` plays a seed again.";

pub(super) fn run(proof: &Proof) -> Result<()> {
    let tables = paths::target().join("simulation");
    fs::create_dir_all(&tables).with_context(|| format!("making {}", tables.display()))?;
    for target in ["simulation", "protocol"] {
        let mut cargo = command("cargo");
        cargo
            .args(["test", "--release", "--locked", "--workspace", "--test", target, "--", "--nocapture"])
            .env("DRAWBRIDGE_SIM_SEEDS", SEEDS)
            .env("DRAWBRIDGE_SIM_TABLE", tables.join("seeds.md"))
            .env("DRAWBRIDGE_SIM_GUARDS", tables.join("without.md"))
            .env("DRAWBRIDGE_PROTOCOL_TABLES", &tables);
        shown(target, &mut cargo)?;
    }
    let figures = format!(
        "## Simulation\n\n{}\n## Simulation without one guard\n\n{}\n## Model of the protocol\n\n{}\n## Model without one \
         guard\n\n{}",
        table(&tables, "seeds.md")?,
        table(&tables, "without.md")?,
        table(&tables, "states.md")?,
        table(&tables, "guards.md")?,
    );
    proof.record("simulation", "Simulation and model", HOW, &figures)
}

fn table(tables: &Path, name: &str) -> Result<String> {
    let path = tables.join(name);
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}
