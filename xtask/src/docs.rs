//! Commands of the docs, run as they stand there: a block that is fenced as `sh NAME`.

use std::fs;

use anyhow::{Context as _, Result};

use crate::{paths, shell};

/// A bash that runs the block `name` of `docs/<file>`.
pub(crate) fn block(file: &str, name: &str) -> Result<std::process::Command> {
    let path = paths::root().join("docs").join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let script = text
        .split_once(&format!("```sh {name}\n"))
        .and_then(|(_, rest)| rest.split_once("\n```"))
        .map(|(script, _)| script.to_owned())
        .with_context(|| format!("{} has no block '{name}'", path.display()))?;
    let mut bash = shell::command("bash");
    bash.args(["-euo", "pipefail", "-c", &script]);
    Ok(bash)
}
