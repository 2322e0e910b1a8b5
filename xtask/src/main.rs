//! The project's own tasks. `cargo xtask demo` and `cargo xtask test` need nothing but Debian 12 (as root), Rust, Go
//! and Python: what else they use they install or build, once, into a cache outside the checkout.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for a terminal

mod bed;
mod checks;
mod demo;
mod docs;
mod fuzz;
mod package;
mod paths;
mod previous;
mod prove;
mod restore;
mod shell;
mod test;
mod tools;
mod watch;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Drawbridge's own tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs the main job from nothing: a cluster, a local AWS, one backup, one restore.
    Demo(demo::Options),
    /// Passes every test that CI runs.
    Test(test::Options),
    /// Runs what takes longer and records its figures with the commit in docs/evidence/.
    Prove(prove::Options),
    /// Installs packages and builds the test bed's programs.
    Tools,
    /// Builds the Lambda zips, the box and the controller's image into target/package/.
    Package,
    /// Writes generated files: crds/, the CRD chart, the CloudFormation template.
    Generate,
    /// Runs the static checks alone: format, clippy, deny, drift, cfn-lint, Helm.
    Lint,
    /// Brings up a test bed with everything installed, and leaves it.
    Up(bed::RunOptions),
    /// Removes a test bed.
    Down(bed::RunOptions),
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Prove(options) => prove::run(&options),
        Task::Tools => tools::ensure().map(|_| ()),
        Task::Package => package::build(&tools::ensure()?).map(|_| ()),
        Task::Generate => checks::generate(&tools::ensure()?),
        Task::Lint => checks::all(&tools::ensure()?),
        Task::Up(options) => bed::up_for_people(&options),
        Task::Down(options) => bed::Bed::down(&options.run),
    }
}
