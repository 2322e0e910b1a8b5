//! `drawbridge-controller`: runs the operator, prints its custom resources, drains it before it is uninstalled.

use std::{io::Write as _, path::PathBuf};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the custom resource definitions as YAML.
    Crds {
        /// Write one file a definition into this directory instead.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crds { out } => write_definitions(out),
    }
}

/// The files of `crds/`, or all of them on standard output.
fn write_definitions(directory: Option<PathBuf>) -> anyhow::Result<()> {
    for (name, definition) in drawbridge::api::definitions() {
        let yaml = drawbridge::api::to_yaml(&definition)
            .with_context(|| format!("{name} cannot be written as YAML"))?;
        match &directory {
            Some(directory) => {
                let path = directory.join(name);
                std::fs::write(&path, yaml)
                    .with_context(|| format!("{} cannot be written", path.display()))?;
            }
            None => write!(std::io::stdout(), "---\n{yaml}").context("standard output cannot be written")?,
        }
    }
    Ok(())
}
