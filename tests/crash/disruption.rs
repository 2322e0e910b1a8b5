//! What is done to a job in the middle of a step.

use std::process::Command;

use crate::{
    bed::{Bed, output},
    job::Job,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disruption {
    KillController,
    KillBox,
    KillLambda,
    DeleteJob,
}

impl Disruption {
    pub(crate) const ALL: [Self; 4] =
        [Self::KillController, Self::KillBox, Self::KillLambda, Self::DeleteJob];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillController => "kill -9 controller",
            Self::KillBox => "kill -9 box",
            Self::KillLambda => "kill -9 Lambda",
            Self::DeleteJob => "delete job",
        }
    }
}

/// Kills the box's process with SIGKILL, if a box of the job runs; says what was hit.
pub(crate) fn kill_box(bed: &Bed, job: &Job<'_>) -> String {
    let Some(instance) = job.status()["session"]["instance"].as_str().map(str::to_owned) else {
        return "no box yet, or none any more".to_owned();
    };
    let mut python = bed.python();
    python.args(["testbed/aws/aws.py", "exec", "--run", &bed.fact("/run"), &instance, "--"]).args([
        "pkill",
        "-9",
        "-f",
        "drawbridge-jumpbox|/run/drawbridge/",
    ]);
    match output(python) {
        Ok(_) => instance,
        Err(_) => "its box runs no more".to_owned(),
    }
}

/// Kills every process of a function with SIGKILL; says how many.
pub(crate) fn kill_functions(bed: &Bed) -> String {
    let mut pids = Command::new("ip");
    pids.args(["netns", "pids", &format!("dba{}-fn", bed.fact("/index"))]);
    let pids = output(pids).unwrap();
    let pids: Vec<&str> = pids.split_whitespace().collect();
    if pids.is_empty() {
        return "no function runs".to_owned();
    }
    let mut kill = Command::new("kill");
    kill.arg("-9").args(&pids);
    let _ = output(kill);
    format!("{} processes", pids.len())
}
