//! The checks that need no test bed: format, lints, licences, drift of generated files, the template, the charts.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use crate::{
    package, paths,
    shell::{command, output, say, step},
    tools::Tools,
};

/// The generated CRDs and the chart that ships them.
const CRDS: &[&str] = &["backupvaults", "backupjobs"];

/// Runs all of them; the first failure ends the run.
pub(crate) fn all(tools: &Tools) -> Result<()> {
    package::compile()?;
    step("cargo fmt --check", "fmt", command("cargo").args(["fmt", "--all", "--check"]))?;
    step(
        "cargo clippy -D warnings (cold: about 5 minutes)",
        "clippy",
        command("cargo").args([
            "clippy",
            "--release",
            "--locked",
            "--workspace",
            "--all-targets",
            // Targets that are not among all: cargo runs them by name alone.
            "--test",
            "e2e",
            "--test",
            "faults",
            "--test",
            "crash",
            "--test",
            "posture",
            "--test",
            "skew",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    // Its graph is that of every platform, and a build fetches only what this one takes.
    step("cargo fetch", "fetch", command("cargo").args(["fetch", "--locked"]))?;
    step(
        "cargo deny: bans, licences, sources",
        "deny",
        command(&tools.cargo_deny).args([
            "--offline",
            // Without it, the controller's graph alone.
            "--workspace",
            "--all-features",
            "check",
            "bans",
            "licenses",
            "sources",
        ]),
    )?;
    crds_match()?;
    step(
        "the rendered templates are what their sources say",
        "render",
        command(tools.python()).args(["infra/render.py", "--check"]),
    )?;
    step(
        "Terraform's form is what the same sources say",
        "terraform",
        command(tools.python()).args(["infra/forms/write.py", "--check"]),
    )?;
    step(
        "both forms name the same resources and load the same policies",
        "forms",
        command(tools.python()).arg("infra/forms/check.py"),
    )?;
    let mut lint = command(tools.venv.join("bin/cfn-lint"));
    step(
        "cfn-lint",
        "cfn-lint",
        lint.args(["--non-zero-exit-code", "warning"])
            .args(["infra/drawbridge.template.json", "infra/watch.template.json"]),
    )?;
    let mut charts = command(tools.python());
    charts
        .arg("charts/tests/chart_test.py")
        .env("DRAWBRIDGE_BIN", &tools.bin)
        .env("DRAWBRIDGE_VENV", &tools.venv);
    step("helm lint, rendered charts, refusal of bad values", "charts", &mut charts)
}

/// Writes what is generated.
pub(crate) fn generate(tools: &Tools) -> Result<()> {
    package::compile()?;
    for name in CRDS {
        let text = crd(name)?;
        for path in crd_files(name) {
            fs::write(paths::root().join(&path), &text).with_context(|| format!("writing {path}"))?;
            say(&format!("wrote {path}"));
        }
    }
    step("rendering infra/*.template.json", "render", command(tools.python()).arg("infra/render.py"))?;
    step("writing infra/terraform", "terraform", command(tools.python()).arg("infra/forms/write.py"))
}

fn crds_match() -> Result<()> {
    say("the CRDs are what the code generates");
    for name in CRDS {
        let text = crd(name)?;
        for path in crd_files(name) {
            let found =
                fs::read_to_string(paths::root().join(&path)).with_context(|| format!("reading {path}"))?;
            if found != text {
                bail!(
                    "{path} is not what the code generates; run `cargo xtask generate` and commit the result"
                );
            }
        }
    }
    Ok(())
}

fn crd(name: &str) -> Result<String> {
    let out = paths::target().join("crds");
    fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    output(command(package::controller()).args(["crds", "--out"]).arg(&out))?;
    let path = out.join(format!("{name}.yaml"));
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

fn crd_files(name: &str) -> [String; 2] {
    [format!("crds/{name}.yaml"), format!("charts/drawbridge-crds/files/{name}.yaml")]
}

/// The commit that figures belong to; `-dirty` when the tree has other changes than figures of parts that ran before.
pub(crate) fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| output(command("git").current_dir(root).args(arguments));
    let Ok(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let changes = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/evidence"]);
    let state = if changes.is_ok_and(|changes| changes.trim().is_empty()) { "" } else { "-dirty" };
    format!("{}{state}", commit.trim())
}
