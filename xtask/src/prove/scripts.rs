//! Parts that are a script on a test bed with everything installed: it prints what it sees and writes a table.

use std::fs;

use anyhow::{Context as _, Result};

use super::Proof;
use crate::{paths, shell::command, test::shown};

/// One script and what its figures are called.
pub(super) struct Script {
    pub(super) path: &'static str,
    /// Names the part, its table and `docs/evidence/<name>.md`.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) how: &'static str,
    /// Whether it takes the stack's outputs.
    pub(super) stack: bool,
    /// More words for it.
    pub(super) words: &'static [&'static str],
}

pub(super) const LOGS: Script = Script {
    path: "tests/logs/run.py",
    name: "logs",
    title: "Logs",
    how: "Writers number their lines and record when they wrote each; jobs of one series follow each other (`tests/logs/`). \
          What all of them stored is held against the record: each line once and in order, every missing line within a \
          recorded gap, no gap without a missing line but where the table says so. Every container is restarted once; for one of them the API server \
          does not take the pod's status then.",
    stack: true,
    words: &[],
};

pub(super) const LOAD: Script = Script {
    path: "tests/load/run.py",
    name: "load",
    title: "Load",
    how: "200 jobs at once, an API server that restarts, an etcd that is slow, 10,000 finished jobs (`tests/load/`).",
    stack: false,
    words: &[],
};

pub(super) const BENCH: Script = Script {
    path: "benches/transfer/run.py",
    name: "bench",
    title: "Transfer",
    how: "Drawbridge beside `kubectl exec POD -- tar c | zstd -3 | ssh BOX \"aws s3 cp - s3://...\"`: same trees, same \
          cluster, same local S3, in turn. Median of five rounds, and their range; then one round with every program's \
          processor seconds.",
    stack: true,
    words: &["--stages"],
};

pub(super) const MEMORY: Script = Script {
    path: "benches/memory/run.py",
    name: "memory",
    title: "Memory",
    how: "Peak resident memory (VmHWM) of a fresh controller and a fresh box, four artifacts in parallel, both limited to \
          128 MiB by control groups.",
    stack: true,
    words: &[],
};

pub(super) const NETWORK: Script = Script {
    path: "tests/network/check.py",
    name: "network",
    title: "Ways out of a box",
    how: "As root on a box that `create` made, every other way out was tried (`tests/network/`), with somebody who listens on \
          the internet, where AWS's services are, and on another box. A way counts as stopped only if the same attempt gets \
          through once its controls are opened, or an allowed one by the same tool does. Of several controls each was left \
          closed alone while the others were open, and stopped it.",
    stack: true,
    words: &["--alone"],
};

pub(super) const ATTACKS: Script = Script {
    path: "tests/attacks/run.py",
    name: "attacks",
    title: "Attacks",
    how: "Every attempt of `tests/attacks/` by what somebody may have stolen, on a real cluster with the operator installed and \
          the local AWS with the stack deployed. A row holds when the attempt ends with exactly the expected error; its twin, \
          which differs little, is allowed; the attempt gets through once what stops it is taken away on the live bed (a \
          statement of a policy, a rule of a group, of RBAC or of the CRD, a variable of a function; that a policy does not \
          allow something is taken away by allowing it; a comparison in a function's code stays, and a forged state shows that \
          nothing else stops the attempt); of several controls each stops it while the others are away; and all of it stands \
          and stops the attempt again at the end.",
    stack: true,
    words: &[],
};

pub(super) const CHECKS: Script = Script {
    path: "benches/checks/run.py",
    name: "checks",
    title: "Checks",
    how: "The same 1 GiB of configuration and logs with every check on and with every check off, in turn (`benches/checks/`): \
          seconds from the first TCP connection to the signed receipt, median of five rounds and their range. Then infected, careless and encrypted sets, as \
          the stack's checks say.",
    stack: true,
    words: &[],
};

pub(super) fn run(proof: &Proof, script: &Script) -> Result<()> {
    proof.on_a_bed(|bed| {
        bed.install()?;
        let table = paths::target().join(format!("{}.md", script.name));
        let mut python = command(bed.tools.python());
        python.arg(script.path).args(script.words).args(["--run", &bed.run]).arg("--table").arg(&table);
        if script.stack {
            python.arg("--stack").arg(&bed.stack_file);
        }
        python
            .env("DRAWBRIDGE_BIN", &bed.tools.bin)
            .env("DRAWBRIDGE_VENV", &bed.tools.venv)
            .env("DRAWBRIDGE_AWS_CLI", &bed.tools.aws_cli);
        let result = shown(script.title, &mut python);
        // What was measured is worth keeping also when a bound was broken; the table says so.
        if let Ok(figures) = fs::read_to_string(&table) {
            proof.record(script.name, script.title, script.how, &figures)?;
            fs::remove_file(&table).context("removing the table")?;
        }
        result
    })
}
