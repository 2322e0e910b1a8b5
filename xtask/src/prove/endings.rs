//! Each ending of a box alone, on a test bed without Kubernetes: AWS alone ends boxes.

use std::fs;

use anyhow::{Context as _, Result};

use super::Proof;
use crate::{bed::Bed, paths, shell::command, test::shown};

const HOW: &str = "Each ending has a stack of its own in one local AWS, a session through the real `create`, and a box \
                   that runs. Everything else that could end the box was taken away before: its root killed the boot \
                   script, the box's program or the armed shutdown inside the machine, as far as the row does not \
                   name them; the marker's S3 permission was removed and the two EventBridge rules were disabled; \
                   nobody called `create` or `cleanup`. The last row has nothing left, and its box outlives its \
                   deadline: what took the others away works. The cluster is played by its own AWS identity, which \
                   asks as the controller does, each second.";

pub(super) fn run(proof: &Proof) -> Result<()> {
    let result = on_aws_alone(proof);
    Bed::down(&proof.run)?;
    result
}

fn on_aws_alone(proof: &Proof) -> Result<()> {
    Bed::down(&proof.run)?;
    let table = paths::target().join("endings.md");
    let python = |script: &str| {
        let mut python = command(proof.tools.python());
        python.arg(script).env("DRAWBRIDGE_BIN", &proof.tools.bin).env("DRAWBRIDGE_VENV", &proof.tools.venv);
        python
    };
    let mut up = python("testbed/testbed.py");
    shown("booting the local AWS", up.args(["up", "--run", &proof.run, "--without", "kubernetes"]))?;
    let mut endings = python("tests/endings/run.py");
    endings.args(["--run", &proof.run, "--code"]).args([
        &proof.package.create_zip,
        &proof.package.cleanup_zip,
        &proof.package.posture_zip,
    ]);
    let result = shown("each ending of a box alone", endings.arg("--table").arg(&table));
    // What was measured is worth keeping also when a bound was broken; the table says so.
    if let Ok(figures) = fs::read_to_string(&table) {
        proof.record("endings", "Endings of a box", HOW, &figures)?;
        fs::remove_file(&table).context("removing the table")?;
    }
    result
}
