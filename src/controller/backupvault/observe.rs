//! What is open and waiting at a vault.

use kube::ResourceExt as _;

use super::skew::is_news;
use crate::{
    api::BackupVault,
    controller::{Context, backupjob::open_sessions},
};

/// The counts that a vault's status shows, and what else makes it worth a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Observation {
    pub open_sessions: i64,
    pub queued_jobs: i64,
    pub posture_wanted: bool,
    /// What the stack was heard to speak is not what the status says.
    pub spoken_news: bool,
}

/// Counts; no call leaves the process.
pub(super) fn observe(context: &Context, vault: &BackupVault) -> Observation {
    let name = vault.name_any();
    context.let_go_of_gone_jobs();
    let open = context.admission.open(&name, open_sessions(&context.jobs.state()), context.clock.elapsed());
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    Observation {
        open_sessions: count(open),
        queued_jobs: count(context.admission.waiting(&name)),
        posture_wanted: context.awaited.is_awaited(&name),
        spoken_news: is_news(vault, context.heard(vault).as_ref()),
    }
}
