//! The release before upgraded to this one as a user does it: the stack in mid-session, then CRDs and operator.

use std::{ffi::OsStr, fs, path::Path};

use anyhow::{Context as _, Result};

use super::{Releases, install_before, zips};
use crate::{
    bed::{Bed, CLUSTER, NAMESPACE, read_json},
    previous::Previous,
    prove::{Proof, faults::evidence},
    shell::{command, say, step},
};

/// The rows in their order.
const UPGRADE: &str = "a_release_upgraded_whole_in_mid_session_loses_nothing";
const NEXT: &str = "the_next_job_is_of_this_release_throughout";

/// Runs both rows on a test bed whose stack, CRDs and operator are the release before's.
pub(super) fn run(proof: &Proof, before: &Previous, releases: &Releases) -> Result<String> {
    Bed::down(&proof.run)?;
    let result = up(proof, before).and_then(|bed| rows(bed, proof, before, releases));
    if result.is_err() && proof.keep {
        say(&format!("the test bed stays; remove it with: cargo xtask down --run {}", proof.run));
    } else {
        Bed::down(&proof.run)?;
    }
    result
}

fn rows(mut bed: Bed, proof: &Proof, before: &Previous, releases: &Releases) -> Result<String> {
    install(&bed, before)?;
    let newer = zips(&proof.package);
    let mut environment = releases.environment();
    environment.push(("DRAWBRIDGE_NEWER_CODE", OsStr::new(&newer)));
    let mut lines =
        evidence(&bed, "skew", "the whole stack upgraded in mid-session", &[UPGRADE], &environment)?;
    // The test has brought the stack to this release's template; what it gives is in its file.
    bed.stack = read_json(&bed.stack_file)?;
    bed.install()?;
    lines += &evidence(&bed, "skew", "this release after the upgrade", &[NEXT], &releases.environment())?;
    Ok(lines)
}

/// Boots the cluster and the local AWS, and deploys the template of the release before with its policies and zips.
fn up(proof: &Proof, before: &Previous) -> Result<Bed> {
    let (tools, run) = (&proof.tools, proof.run.as_str());
    let mut bed = Bed::boot(run, tools, &proof.package)?;
    let dir = Path::new("/var/tmp/drawbridge").join(run);
    fs::write(dir.join("aws/guest-trust-on"), "")
        .context("giving boxes a system that trusts the run's CA")?;
    let older = before.functions(Path::new(bed.ca_bundle()), &proof.package)?;
    let mut deploy = command(tools.python());
    deploy
        .env("DRAWBRIDGE_VENV", &tools.venv)
        .args(["testbed/aws/deploy.py", "up", "--run", run, "--template"])
        .arg(before.tree.join("infra/drawbridge.template.json"))
        .arg("--code")
        .args([&older.create_zip, &older.cleanup_zip, &older.posture_zip])
        .args(["--parameter", &format!("ClusterName={CLUSTER}"), "--out"])
        .arg(&bed.stack_file);
    step(
        "deploying the template of the release before to the local AWS",
        &format!("deploy-{run}"),
        &mut deploy,
    )?;
    bed.stack = read_json(&bed.stack_file)?;
    Ok(bed)
}

/// Installs the CRDs and the operator of the release before, by its own charts.
fn install(bed: &Bed, before: &Previous) -> Result<()> {
    bed.apply(&bed.credentials()?)?;
    let mut crds = bed.helm();
    crds.args(["upgrade", "--install", "drawbridge-crds"])
        .arg(before.tree.join("charts/drawbridge-crds"))
        .args(["--namespace", NAMESPACE]);
    step("helm install drawbridge-crds of the release before", &format!("helm-crds-{}", bed.run), &mut crds)?;
    install_before(bed, before)
}
