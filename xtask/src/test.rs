//! `cargo xtask test`: every test that CI runs, in the order in which they fail fastest.

use std::ffi::OsStr;

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    bed::Bed,
    checks, fuzz, package,
    shell::{command, say, started},
    tools::{self, Tools},
};

/// Seconds of fuzzing, all targets together; `cargo xtask prove fuzz` takes an hour.
const FUZZING: u64 = 60;

#[derive(Args)]
pub(crate) struct Options {
    /// Names the test bed's run.
    #[arg(long, default_value = "test")]
    run: String,
    /// Leaves out the static checks.
    #[arg(long)]
    skip_checks: bool,
    /// Leaves the test bed running.
    #[arg(long)]
    keep: bool,
}

/// Passes every test, or says which did not.
pub(crate) fn run(options: &Options) -> Result<()> {
    started();
    let tools = tools::ensure()?;
    let package = package::build(&tools)?;
    unit(&tools)?;
    parts(&tools)?;
    fuzz::run(&fuzz::build()?, FUZZING, false)?;
    if !options.skip_checks {
        checks::all(&tools)?;
    }
    Bed::down(&options.run)?;
    let result = Bed::up(&options.run, &tools, &package).and_then(|bed| on_the_bed(&bed));
    if !options.keep {
        Bed::down(&options.run)?;
    }
    result?;
    say("all tests passed");
    Ok(())
}

/// Tests that need no test bed: units, golden files, the box and its client over loopback.
fn unit(tools: &Tools) -> Result<()> {
    let mut cargo = command("cargo");
    cargo.args(["test", "--release", "--locked", "--workspace"]).env("DRAWBRIDGE_VENV", &tools.venv);
    shown("cargo test --workspace", &mut cargo)
}

/// The test bed's own tests: its programs, and each half of it against what it stands for.
fn parts(tools: &Tools) -> Result<()> {
    let python = |arguments: &[&str]| {
        let mut python = command(tools.python());
        python.args(arguments).env("DRAWBRIDGE_BIN", &tools.bin).env("DRAWBRIDGE_VENV", &tools.venv);
        python
    };
    let modules = [
        "-m",
        "unittest",
        "testbed.test_asynchronous",
        "testbed.test_common",
        "testbed.test_cloudformation",
        "testbed.test_network",
        "testbed.test_watching",
        "infra.forms.test_forms",
        "tests.policy.test_catalogue",
        "tests.network.test_traits",
        "tests.attacks.test_rows",
    ];
    shown("the test bed's units", &mut python(&modules))?;
    // Its two runs stand side by side, are killed, and must leave nothing.
    shown("the local AWS behaves as EC2, S3 and IAM do", &mut python(&["testbed/aws/checks.py"]))
}

/// Tests on the real parts.
fn on_the_bed(bed: &Bed) -> Result<()> {
    let script = |path: &str| {
        let mut python = command(bed.tools.python());
        python
            .arg(path)
            .args(["--run", &bed.run])
            .env("DRAWBRIDGE_BIN", &bed.tools.bin)
            .env("DRAWBRIDGE_VENV", &bed.tools.venv);
        python
    };
    if bed.tools.kind {
        say("kind's cluster is taken for granted: testbed/kubernetes/smoke.py tests the project's own");
    } else {
        shown("the cluster behaves as a cluster", &mut script("testbed/kubernetes/smoke.py"))?;
    }
    bed.install()?;
    shown(
        "AWS identities: what each may and may not",
        script("tests/policy/probes.py").arg("--stack").arg(&bed.stack_file),
    )?;
    shown(
        "every other way out of a box, tried by its root",
        script("tests/network/check.py").arg("--stack").arg(&bed.stack_file),
    )?;
    shown(
        "a stack with a lock and a key: nobody deletes, shortens or disables",
        script("tests/policy/options.py").arg("--stack").arg(&bed.stack_file),
    )?;
    shown(
        "silence is noticed, and every touch of the buckets recorded",
        script("tests/watch/check.py").arg("--stack").arg(&bed.stack_file),
    )?;
    shown(
        "sessions opened and closed, also at the wrong moment",
        script("tests/sessions/check.py").arg("--stack").arg(&bed.stack_file),
    )?;
    shown(
        "the operator's AWS identity: a key, its token, EKS Pod Identity",
        script("tests/identity/check.py").arg("--stack").arg(&bed.stack_file),
    )?;
    shown(
        "Kubernetes identities: what each may and may not",
        &mut script("tests/policy/kubernetes_probes.py"),
    )?;
    shown(
        "attacks by every thief, each beside what is allowed",
        script("tests/attacks/run.py").arg("--stack").arg(&bed.stack_file).arg("--standing"),
    )?;
    on_real_parts(bed, "end to end on the real parts", "e2e", &[], &[])?;
    on_real_parts(bed, "the most telling faults", "faults", &["telling::"], &[])
}

/// Runs the tests of a target that have one of these words in their names, or all, one after the other.
pub(crate) fn on_real_parts(
    bed: &Bed,
    what: &str,
    target: &str,
    words: &[&str],
    environment: &[(&str, &OsStr)],
) -> Result<()> {
    let mut cargo = command("cargo");
    cargo
        // With the features that the units were compiled with: another choice compiles most dependencies again.
        .args(["test", "--release", "--locked", "--workspace", "--test", target, "--"])
        .args(["--test-threads=1", "--nocapture"])
        .args(words)
        .envs(environment.iter().copied())
        .env("DRAWBRIDGE_BED", format!("/var/tmp/drawbridge/{}", bed.run))
        .env("DRAWBRIDGE_BIN", &bed.tools.bin)
        .env("DRAWBRIDGE_VENV", &bed.tools.venv)
        .env("DRAWBRIDGE_AWS_CLI", &bed.tools.aws_cli);
    shown(what, &mut cargo)
}

/// Runs a test whose own output is what a reader wants to see.
pub(crate) fn shown(what: &str, command: &mut std::process::Command) -> Result<()> {
    say(what);
    let status = command.status()?;
    if !status.success() {
        bail!("{what}: failed ({status})");
    }
    Ok(())
}
