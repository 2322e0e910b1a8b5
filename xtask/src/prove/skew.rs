//! The release before beside this one: upgraded to it whole; then, on one test bed, its functions and boxes under this
//! controller, an upgrade of the functions in mid-session, its controller over this stack.

mod whole;

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Proof, faults::evidence};
use crate::{
    bed::{Bed, NAMESPACE},
    package::Package,
    paths,
    previous::{self, COMMIT, Previous, TAG},
    shell::step,
};

const HOW: &str = "The release before is built from its own sources. In the first two rows all of it was installed as its own \
                   documentation says: its template with its own policies and zips, its CRDs, its controller. In \
                   mid-session the stack was updated to this release's template, policies and zips; afterwards the CRDs \
                   and the operator were upgraded with Helm, and the vault was given the receipt key and the posture \
                   function, as [upgrades](../upgrades.md) says. In the rows after them, on a test bed of their own, its \
                   `create` and `cleanup`, with its box in the zip, run in a stack of this release's template with their \
                   own policies `create`, `cleanup` and `jumpbox`. Since it knows no CA but the system's, its functions, \
                   boxes and controller run where the system's is the run's. Each row is a job on the real parts that \
                   must be Complete in its first attempt and leave nothing on the AWS side.";

/// The rows in their order. Each is a run of its own: tests of one run go by the alphabet.
const BEFORE: &str = "this_controller_completes_on_the_stack_before";
const UPGRADE: &str = "a_stack_upgraded_in_mid_session_loses_nothing";
const AFTER: &str = "the_controller_before_completes_on_this_stack";

/// One line of the tests' evidence.
#[derive(Deserialize)]
struct Row {
    controller: String,
    stack: String,
    test: String,
    seconds: f64,
    shown: String,
}

/// What the releases are called in the table: version and commit.
#[derive(Debug)]
struct Releases {
    this: String,
    before: String,
}

impl Releases {
    fn of(proof: &Proof, before: &Previous) -> Result<Self> {
        let short: String = COMMIT.chars().take(12).collect();
        Ok(Self {
            this: format!("{} (`{}`)", env!("CARGO_PKG_VERSION"), proof.commit),
            before: format!("{} (`{short}`)", before.version()?),
        })
    }

    /// How the tests learn of them.
    fn environment(&self) -> Vec<(&'static str, &OsStr)> {
        vec![
            ("DRAWBRIDGE_THIS_RELEASE", OsStr::new(&self.this)),
            ("DRAWBRIDGE_RELEASE_BEFORE", OsStr::new(&self.before)),
        ]
    }
}

pub(super) fn run(proof: &Proof) -> Result<()> {
    let before = previous::build()?;
    let releases = Releases::of(proof, &before)?;
    let mut lines = whole::run(proof, &before, &releases)?;
    lines += &proof.on_a_bed(|bed| beside(bed, proof, &before, &releases))?;
    proof.record("skew", "Two releases beside each other", HOW, &table(&lines)?)
}

/// The parts of either release swapped alone.
fn beside(bed: &Bed, proof: &Proof, before: &Previous, releases: &Releases) -> Result<String> {
    // The bed came up with this release's functions; nothing was opened yet.
    fs::write(directory(bed).join("aws/guest-trust-on"), "")
        .context("giving boxes a system that trusts the run's CA")?;
    let older = before.functions(Path::new(bed.ca_bundle()), &proof.package)?;
    deploy(bed, &policies(before)?, [&older.create_zip, &older.cleanup_zip, &older.posture_zip])?;
    bed.install()?;
    forget_what_the_stack_before_has_not(bed)?;
    let (names, newer) = (releases.environment(), zips(&proof.package));
    let mut code = names.clone();
    code.push(("DRAWBRIDGE_NEWER_CODE", OsStr::new(&newer)));
    let mut lines = evidence(bed, "skew", "this controller, the stack before", &[BEFORE], &names)?;
    lines += &evidence(bed, "skew", "the stack upgraded in mid-session", &[UPGRADE], &code)?;
    install_before(bed, before)?;
    lines += &evidence(bed, "skew", "the controller before, this stack", &[AFTER], &names)?;
    Ok(lines)
}

/// The functions' code as the tests are told of it.
fn zips(package: &Package) -> String {
    let all = [&package.create_zip, &package.cleanup_zip, &package.posture_zip];
    all.map(|path| path.display().to_string()).join(" ")
}

fn directory(bed: &Bed) -> PathBuf {
    Path::new("/var/tmp/drawbridge").join(&bed.run)
}

/// This release's policies, but for those of the functions and the box before: a release's rights are what its own code asks
/// for, and a stack's template and code are upgraded together.
fn policies(before: &Previous) -> Result<PathBuf> {
    let all = paths::target().join("previous/policies");
    fs::create_dir_all(&all).with_context(|| format!("making {}", all.display()))?;
    let copy = |from: &Path| {
        let to = all.join(from.file_name().unwrap_or_default());
        fs::copy(from, &to).with_context(|| format!("copying {}", from.display()))
    };
    for policy in fs::read_dir(paths::root().join("infra/policies")).context("reading infra/policies")? {
        copy(&policy.context("reading infra/policies")?.path())?;
    }
    for name in ["create.json", "cleanup.json", "jumpbox.json"] {
        copy(&before.tree.join("infra/policies").join(name))?;
    }
    Ok(all)
}

/// Brings the stack's functions to other code and other rights.
fn deploy(bed: &Bed, policies: &Path, code: [&PathBuf; 3]) -> Result<()> {
    let mut deploy = crate::shell::command(bed.tools.python());
    deploy
        .env("DRAWBRIDGE_VENV", &bed.tools.venv)
        .args(["testbed/aws/deploy.py", "update", "--run", &bed.run, "--stack"])
        .arg(&bed.stack_file)
        .arg("--policies")
        .arg(policies)
        .arg("--code")
        .args(code);
    step(
        "putting the functions of the release before into the stack",
        &format!("skew-{}", bed.run),
        &mut deploy,
    )
}

/// A vault of the release before has no posture function and no receipt key.
fn forget_what_the_stack_before_has_not(bed: &Bed) -> Result<()> {
    let patch =
        json!({"spec": {"functions": {"posture": Value::Null}, "receiptKey": Value::Null}}).to_string();
    let mut kubectl = bed.kubectl();
    kubectl.args(["patch", "backupvault", "default", "--type=merge", "-p", &patch]);
    step("taking receipt key and posture from the vault", &format!("vault-{}", bed.run), &mut kubectl)
}

/// Puts the controller of the release before in this one's place, by its own chart.
fn install_before(bed: &Bed, before: &Previous) -> Result<()> {
    bed.load(&before.image(&bed.tools)?)?;
    let outputs = &bed.stack["outputs"];
    let values = json!({
        "image": {"tag": TAG},
        "aws": {"region": bed.facts["aws"]["region"], "endpointUrl": bed.facts["aws"]["api_endpoint"],
            "credentialsSecret": "drawbridge-aws"},
        "vault": {"create": true, "name": "default", "functions": {"create": outputs["CreateFunctionArn"],
            "cleanup": outputs["CleanupFunctionArn"]}},
    });
    let path = directory(bed).join("values-previous.json");
    fs::write(&path, serde_json::to_vec_pretty(&values)?)
        .with_context(|| format!("writing {}", path.display()))?;
    let mut helm = bed.helm();
    helm.args(["upgrade", "--install", "drawbridge"])
        .arg(before.tree.join("charts/drawbridge"))
        .args(["--namespace", NAMESPACE, "--reset-values", "--values"])
        .arg(&path);
    step("helm upgrade or install of the release before", &format!("helm-previous-{}", bed.run), &mut helm)?;
    let trust = json!({"spec": {"template": {"spec": {
        "containers": [{"name": "controller", "env": [{"name": "SSL_CERT_FILE", "value": "/ca/ca.crt"}],
            "volumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": true}]}],
        "volumes": [{"name": "ca", "configMap": {"name": "local-aws-ca"}}]}}}});
    let mut kubectl = bed.kubectl();
    kubectl.args(["patch", "deployment", "drawbridge", "--namespace", NAMESPACE, "-p", &trust.to_string()]);
    step("giving it a system that trusts the run's CA", &format!("trust-{}", bed.run), &mut kubectl)?;
    let mut rollout = bed.kubectl();
    rollout.args(["rollout", "status", "deployment/drawbridge", "--namespace", NAMESPACE, "--timeout=180s"]);
    step("waiting for the controller before", &format!("rollout-{}", bed.run), &mut rollout)
}

fn table(lines: &str) -> Result<String> {
    let mut text = "| controller | stack | test | s | what it showed |\n|---|---|---|---:|---|\n".to_owned();
    for line in lines.lines() {
        let row = serde_json::from_str(line).with_context(|| format!("reading the evidence '{line}'"))?;
        let Row { controller, stack, test, seconds, shown } = row;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {controller} | {stack} | `{test}` | {seconds:.1} | {shown} |");
    }
    Ok(text)
}
