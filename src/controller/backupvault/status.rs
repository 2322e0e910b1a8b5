//! How a step changes a vault's status. Pure functions.

use jiff::Timestamp;

use super::observe::Observation;
use crate::{
    api::{AbandonedSession, BackupVault, BackupVaultStatus, ConditionStatus, MAX_ABANDONED, conditions},
    fault::Fault,
};

/// The functions were asked.
pub(super) fn asked(vault: &BackupVault, answer: &Result<(), Fault>, now: Timestamp) -> BackupVaultStatus {
    let mut status = vault.status.clone().unwrap_or_default();
    status.observed_generation = vault.metadata.generation;
    status.checked_at = Some(now);
    let (holds, reason, message) = match answer {
        Ok(()) => (ConditionStatus::True, "Answering", "the stack's functions answer"),
        Err(fault) => (ConditionStatus::False, fault.reason.as_str(), fault.message.as_str()),
    };
    let generation = vault.metadata.generation;
    conditions::set(&mut status.conditions, "Ready", holds, reason, message, generation, now);
    status
}

/// Sessions opened or closed, jobs came or went.
pub(super) fn counted(vault: &BackupVault, seen: Observation) -> BackupVaultStatus {
    let mut status = vault.status.clone().unwrap_or_default();
    status.open_sessions = seen.open_sessions;
    status.queued_jobs = seen.queued_jobs;
    status
}

/// A session was let go without being closed. The oldest records make room.
pub(super) fn abandoned(vault: &BackupVault, record: AbandonedSession) -> BackupVaultStatus {
    let mut status = vault.status.clone().unwrap_or_default();
    status.abandoned_sessions.retain(|other| other.session != record.session);
    status.abandoned_sessions.push(record);
    let surplus = status.abandoned_sessions.len().saturating_sub(MAX_ABANDONED);
    status.abandoned_sessions.drain(..surplus);
    status
}
