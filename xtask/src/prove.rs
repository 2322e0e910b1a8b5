//! `cargo xtask prove`: what takes long. Figures go to docs/evidence/ with the commit they belong to.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    bed::Bed,
    checks, package, paths,
    shell::{command, say, started},
    test::shown,
    tools,
};

#[derive(Args)]
pub(crate) struct Options {
    /// Names the test bed's run.
    #[arg(long, default_value = "prove")]
    run: String,
}

/// The mutation run over the policy files.
pub(crate) fn run(options: &Options) -> Result<()> {
    started();
    let tools = tools::ensure()?;
    let package = package::build(&tools)?;
    Bed::down(&options.run)?;
    let result = Bed::up(&options.run, &tools, &package).and_then(|bed| policies(&bed));
    Bed::down(&options.run)?;
    result
}

/// Every statement of every policy is removed once; some probe must notice.
fn policies(bed: &Bed) -> Result<()> {
    let table = paths::target().join("policy-mutation.md");
    let begun = Instant::now();
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
    let evidence = paths::root().join("docs/evidence");
    fs::create_dir_all(&evidence)?;
    let text = format!(
        "# Policy mutation\n\nEvery statement of `infra/policies/`, every condition and every action or resource of a list was removed once, the policies were deployed again, and the probes of \
         `tests/policy/probes.py` ran. It counts as held when at least one probe turned red.\n\n\
         Made by `cargo xtask prove` at commit `{}` in {:.0} s, against the local AWS.\n\n{rows}",
        checks::commit(&paths::root()),
        begun.elapsed().as_secs_f64(),
    );
    let path = evidence.join("policy-mutation.md");
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    say(&format!("wrote {}", path.display()));
    Ok(())
}
