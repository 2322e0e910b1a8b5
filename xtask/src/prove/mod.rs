//! `cargo xtask prove`: what takes long. Each part writes its figures, with the commit they belong to, to
//! `docs/evidence/<part>.md`.

mod crash;
mod endings;
mod faults;
mod fuzz;
mod hostile;
mod policy;
mod posture;
mod scripts;
mod simulation;
mod skew;

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::{
    bed::Bed,
    checks,
    package::{self, Package},
    paths,
    shell::{say, started},
    tools::{self, Tools},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Names the test bed's run.
    #[arg(long, default_value = "prove")]
    run: String,
    /// Seconds of fuzzing, all targets together.
    #[arg(long, default_value_t = 3_600)]
    seconds: u64,
    /// Leaves the test bed of a part that failed, to look at.
    #[arg(long)]
    keep: bool,
    /// Which parts; none named: all, one after the other.
    #[arg(value_enum)]
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Every statement of every policy is removed once; some probe must notice.
    Policy,
    /// Every other way out of a box is tried by its root, each control alone.
    Network,
    /// Every attempt by every thief; what stops it is taken away once, and the attempt must get through.
    Attacks,
    /// Every guarantee of the stack is broken once; the next job must wait, and run when it is mended.
    Posture,
    /// Every ending of a box alone, all the others taken away.
    Endings,
    /// A client with valid keys does what it can to the box.
    Hostile,
    /// Parsers are fed what a fuzzer makes of what was kept.
    Fuzz,
    /// Every fault is made on the real parts, and must end in a condition that names it.
    Faults,
    /// Everything that can be killed is killed at every step of a job.
    Crash,
    /// The controller's loop in virtual time with many seeds, and a model of the session.
    Simulation,
    /// The release before beside this one, both ways, and a stack that is upgraded in mid-session.
    Skew,
    /// A fast log through rotation and a restart.
    Logs,
    /// Many jobs, and a Kubernetes that is slow or restarts.
    Load,
    /// Speed, beside the pipeline that people write by hand.
    Bench,
    /// Peak memory by size.
    Memory,
    /// The box's checks: what they cost, and what they find in normal and in encrypted sets.
    Checks,
}

impl Part {
    fn run(self, proof: &Proof) -> Result<()> {
        match self {
            Self::Policy => policy::run(proof),
            Self::Network => scripts::run(proof, &scripts::NETWORK),
            Self::Attacks => scripts::run(proof, &scripts::ATTACKS),
            Self::Posture => posture::run(proof),
            Self::Endings => endings::run(proof),
            Self::Hostile => hostile::run(proof),
            Self::Fuzz => fuzz::run(proof),
            Self::Faults => faults::run(proof),
            Self::Crash => crash::run(proof),
            Self::Simulation => simulation::run(proof),
            Self::Skew => skew::run(proof),
            Self::Logs => scripts::run(proof, &scripts::LOGS),
            Self::Load => scripts::run(proof, &scripts::LOAD),
            Self::Bench => scripts::run(proof, &scripts::BENCH),
            Self::Memory => scripts::run(proof, &scripts::MEMORY),
            Self::Checks => scripts::run(proof, &scripts::CHECKS),
        }
    }
}

/// What every part works with.
#[derive(Debug)]
pub(crate) struct Proof {
    tools: Tools,
    package: Package,
    run: String,
    /// Of fuzzing.
    seconds: u64,
    keep: bool,
    /// What was built when this began; the tree may go on meanwhile.
    commit: String,
    begun: Instant,
}

impl Proof {
    /// Runs `work` on a test bed of its own: what one part breaks, the next does not meet.
    fn on_a_bed<T>(&self, work: impl FnOnce(&Bed) -> Result<T>) -> Result<T> {
        self.on_bed(&self.run, work)
    }

    /// The same under another name, for parts that take several at once.
    fn on_bed<T>(&self, run: &str, work: impl FnOnce(&Bed) -> Result<T>) -> Result<T> {
        Bed::down(run)?;
        let result = Bed::up(run, &self.tools, &self.package).and_then(|bed| work(&bed));
        if result.is_err() && self.keep {
            say(&format!("the test bed stays; remove it with: cargo xtask down --run {run}"));
        } else {
            Bed::down(run)?;
        }
        result
    }

    /// Writes `docs/evidence/<name>.md`: a title, the text, the command and the commit, the figures.
    fn record(&self, name: &str, title: &str, how: &str, figures: &str) -> Result<()> {
        let evidence = paths::root().join("docs/evidence");
        fs::create_dir_all(&evidence).with_context(|| format!("making {}", evidence.display()))?;
        let text = format!(
            "# {title}\n\n{how}\n\nMade by `cargo xtask prove {name}` at commit `{}` in {:.0} s, on two cores, against the \
             local AWS.\n\n{}\n",
            self.commit,
            self.begun.elapsed().as_secs_f64(),
            figures.trim_end(),
        );
        let path = evidence.join(format!("{name}.md"));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        say(&format!("wrote {}", path.display()));
        Ok(())
    }
}

/// Runs the parts that were named, or all.
pub(crate) fn run(options: &Options) -> Result<()> {
    started();
    let tools = tools::ensure()?;
    let commit = checks::commit(&paths::root());
    let package = package::build(&tools)?;
    let parts = if options.parts.is_empty() { Part::value_variants() } else { &options.parts };
    for part in parts {
        let proof = Proof {
            tools: tools.clone(),
            package: package.clone(),
            run: options.run.clone(),
            seconds: options.seconds,
            keep: options.keep,
            commit: commit.clone(),
            begun: Instant::now(),
        };
        part.run(&proof)?;
    }
    Ok(())
}
