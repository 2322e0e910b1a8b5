//! Does one step. What a step intends is in the job's status before anything outside Kubernetes hears of it.

mod asking;

use std::sync::Arc;

use drawbridge_protocol::{JobRef, SessionId};
use jiff::{SignedDuration, Timestamp};
use kube::{Resource as _, ResourceExt as _, runtime::reflector::ObjectRef};
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::{
    checks,
    local::Ours,
    plan::{Ending, Observation, Step, Why, later},
    series,
    status::Draft,
    write,
};
use crate::{
    api::{AbandonedSession, BackupJob, ChecksStatus, LogsStatus, SessionStatus},
    broker::Function,
    controller::{Context, ReconcileError, backupvault},
    fault::Fault,
    transfer::ClientKey,
};

/// When the job is looked at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    At(Timestamp),
    OnChange,
}

/// One job that is being worked on.
pub(super) struct Work<'a> {
    pub context: &'a Arc<Context>,
    pub job: &'a BackupJob,
    pub seen: &'a Observation,
    pub now: Timestamp,
}

impl Work<'_> {
    /// Does `step`.
    pub(super) async fn execute(&self, step: Step) -> Result<Next, ReconcileError> {
        match step {
            Step::Rest => Ok(Next::OnChange),
            Step::LookAgain { at } => Ok(Next::At(at)),
            Step::Wait { why, until } => self.wait(&why, until).await,
            Step::BeginAttempt => self.begin_attempt().await,
            Step::Setback { fault, ending } => self.setback(&fault, &ending).await,
            Step::AskForBox => self.ask_for_box().await,
            Step::Cross(ready) => self.cross(&ready).await,
            Step::Report(figures) => {
                self.write(self.draft().reports(figures)).await?;
                let (uid, session) = (self.uid(), self.session()?);
                self.context.attempts.set_reported(&uid, &session.id, self.now);
                Ok(Next::At(later(self.now, SignedDuration::from_secs(2))))
            }
            Step::KeepReceipt { sealed, figures, at } => {
                self.write(self.draft().keeps_receipt(&sealed, figures, at)).await?;
                let note = format!(
                    "{} artifacts stored, s3://{}/{}",
                    sealed.receipt.artifacts, sealed.receipt.bucket, sealed.receipt.manifest
                );
                self.normal("Seal", "Sealed", &note).await;
                self.tell_gaps(sealed.logs.as_ref()).await;
                self.tell_flagged(sealed.checks.as_ref()).await;
                Ok(Next::Now)
            }
            Step::Stop(fault) => self.stop(&fault).await,
            Step::AskToClose => self.ask_to_close().await,
            Step::Abandon { ending, message } => self.abandon(&ending, &message).await,
            Step::Conclude(ending) => self.conclude(&ending).await,
            Step::DropFinalizer => {
                write::drop_finalizer(&self.context.client, self.job).await?;
                Ok(Next::Now)
            }
            Step::Delete => {
                write::delete(&self.context.client, self.job).await?;
                Ok(Next::OnChange)
            }
        }
    }

    async fn wait(&self, why: &Why, until: Timestamp) -> Result<Next, ReconcileError> {
        let shown = self.job.status.as_ref().map(super::status::progress_reason);
        let is_new = shown != Some(why.reason);
        self.write(self.draft().waits(why)).await?;
        if is_new {
            match why.reason {
                "VaultNotFound"
                | "VaultNotReady"
                | "NamespaceNotAllowed"
                | "PostureBroken"
                | "PostureUnknown"
                | "ClosingFailed" => {
                    self.warn("Wait", why.reason, &why.message).await;
                }
                "Queued" | "WaitingForSlot" => self.normal("Wait", why.reason, &why.message).await,
                // The rest passes within seconds, and the condition shows it.
                _ => {}
            }
            self.context.wake_vault(&self.job.spec.vault);
        }
        Ok(Next::At(until))
    }

    async fn begin_attempt(&self) -> Result<Next, ReconcileError> {
        let name = self.job.spec.vault.as_str();
        let Some(vault) = self.context.vaults.get(&ObjectRef::new(name)) else { return Ok(Next::Now) };
        let artifacts =
            self.seen.selection.as_ref().and_then(|found| found.as_ref().ok()).copied().unwrap_or(0);
        let malformed = |what: String| ReconcileError::Malformed { object: self.object(), what };
        let (mut bits, mut seed) = ([0_u8; 16], Zeroizing::new([0_u8; 32]));
        self.context.entropy.fill(&mut bits).map_err(|error| malformed(error.to_string()))?;
        self.context.entropy.fill(seed.as_mut_slice()).map_err(|error| malformed(error.to_string()))?;
        let session = SessionId::from_bits(bits);
        let key = ClientKey::from_seed(&seed).map_err(|error| malformed(error.to_string()))?;
        let create =
            Function { region: vault.spec.region.clone(), name: vault.spec.functions.create.clone() };
        let receipt_key = vault.spec.pinned_receipt_key().map_err(|error| ReconcileError::Malformed {
            object: format!("BackupVault {name}"),
            what: format!("a spec.receiptKey that cannot be used ({error})"),
        })?;
        // The key is kept first: if the write below takes effect and its answer is lost, the session is still ours.
        self.context.attempts.begin(&self.uid(), session.as_str(), Ours { create, key, receipt_key });
        let held = write::add_finalizer(&self.context.client, self.job).await?;
        let draft = Draft::of(&held, self.now).begins(session.as_str(), &vault, artifacts);
        write::status(&self.context.client, &held, draft.status).await?;
        info!(session = session.as_str(), artifacts, "a session begins");
        self.normal("Open", "Opening", &format!("session {session}: {artifacts} artifacts to gather")).await;
        self.context.wake_vault(name);
        Ok(Next::Now)
    }

    async fn setback(&self, fault: &Fault, ending: &Ending) -> Result<Next, ReconcileError> {
        self.write(self.draft().setback(fault, ending)).await?;
        self.context.leave_queue(&self.uid());
        self.warn("Select", fault.reason.as_str(), &fault.message).await;
        self.count_end(ending);
        Ok(Next::Now)
    }

    /// Lines that were lost before the backup could read them are no failure of it, but someone should know.
    async fn tell_gaps(&self, logs: Option<&LogsStatus>) {
        let Some(logs) = logs.filter(|logs| logs.gaps > 0) else { return };
        self.context.metrics.log_gaps(logs.gaps);
        let note = series::gaps_for_people(logs);
        warn!(gaps = logs.gaps, note, "log lines may be lost");
        self.warn("Gather", "LogGaps", &note).await;
    }

    /// A flagged artifact is stored, and someone should look at it.
    async fn tell_flagged(&self, found: Option<&ChecksStatus>) {
        let Some(found) = found else { return };
        let note = checks::flagged_for_people(found);
        warn!(artifacts = found.flagged, note, "artifacts are flagged");
        self.warn("Check", "Flagged", &note).await;
    }

    async fn stop(&self, fault: &Fault) -> Result<Next, ReconcileError> {
        let session = self.session()?;
        self.context.attempts.abort(&self.uid(), &session.id);
        self.write(self.draft().stops(fault)).await?;
        warn!(
            session = session.id,
            reason = fault.reason.as_str(),
            why = fault.message,
            "the session is given up"
        );
        self.warn("Stop", fault.reason.as_str(), &fault.message).await;
        Ok(Next::Now)
    }

    async fn abandon(&self, ending: &Ending, message: &str) -> Result<Next, ReconcileError> {
        let session = self.session()?;
        let record = AbandonedSession {
            session: session.id.clone(),
            namespace: self.job.namespace().unwrap_or_default(),
            job: self.job.name_any(),
            message: message.to_owned(),
            at: self.now,
        };
        // The record comes before the finalizer goes, since the job may be gone then. A vault that is gone, or
        // cannot be written, keeps no record; the log and the metric do.
        let vault = &self.job.spec.vault;
        if let Err(error) = backupvault::record_abandoned(&self.context.client, vault, record).await {
            warn!(%error, vault, "an abandoned session could not be recorded");
        }
        self.context.metrics.abandoned();
        warn!(session = session.id, why = message, "the session is let go; the stack's own timers close it");
        let note = format!("session {} could not be closed in time and is let go: {message}", session.id);
        self.warn("Abandon", "SessionAbandoned", &note).await;
        self.conclude(ending).await
    }

    async fn conclude(&self, ending: &Ending) -> Result<Next, ReconcileError> {
        let session = self.session()?;
        let written =
            write::status(&self.context.client, self.job, self.draft().concludes(ending).status).await?;
        let uid = self.uid();
        self.context.attempts.forget(&uid);
        self.context.session_closed(&uid, &self.job.spec.vault);
        write::drop_finalizer(&self.context.client, &written).await?;
        info!(session = session.id, ending = ?ending, "the attempt is over");
        match ending {
            Ending::Complete => {
                self.normal("Conclude", "Complete", "the backup is stored and its box is gone").await;
            }
            Ending::Failed(fault) => self.warn("Conclude", fault.reason.as_str(), &fault.message).await,
            Ending::Retry { .. } => {}
        }
        self.count_end(ending);
        Ok(Next::Now)
    }

    fn count_end(&self, ending: &Ending) {
        match ending {
            Ending::Complete => self.context.metrics.job_ended("complete", "Sealed"),
            Ending::Failed(fault) => self.context.metrics.job_ended("failed", fault.reason.as_str()),
            Ending::Retry { .. } => {}
        }
    }

    fn draft(&self) -> Draft<'_> {
        Draft::of(self.job, self.now)
    }

    /// Writes the status if it changes.
    async fn write(&self, draft: Draft<'_>) -> Result<(), ReconcileError> {
        if self.job.status.as_ref() != Some(&draft.status) {
            write::status(&self.context.client, self.job, draft.status).await?;
        }
        Ok(())
    }

    fn uid(&self) -> String {
        self.job.uid().unwrap_or_default()
    }

    fn object(&self) -> String {
        format!("BackupJob {}/{}", self.job.namespace().unwrap_or_default(), self.job.name_any())
    }

    fn session(&self) -> Result<&SessionStatus, ReconcileError> {
        let session = self.job.status.as_ref().and_then(|status| status.session.as_ref());
        session
            .ok_or_else(|| ReconcileError::Malformed { object: self.object(), what: "no session".to_owned() })
    }

    fn session_id(&self) -> Result<SessionId, ReconcileError> {
        self.session()?.id.parse().map_err(|error| ReconcileError::Malformed {
            object: self.object(),
            what: format!("a bad session id ({error})"),
        })
    }

    fn reference(&self) -> Result<JobRef, ReconcileError> {
        let attempt = self.job.status.as_ref().map_or(1, |status| status.attempt);
        let namespace = self.job.namespace().unwrap_or_default();
        JobRef::new(namespace, self.job.name_any(), self.uid(), u32::try_from(attempt).unwrap_or(u32::MAX))
            .map_err(|error| ReconcileError::Malformed { object: self.object(), what: error.to_string() })
    }

    async fn normal(&self, action: &str, reason: &str, note: &str) {
        self.context.events.normal(&self.job.object_ref(&()), action, reason, note).await;
    }

    async fn warn(&self, action: &str, reason: &str, note: &str) {
        self.context.events.warning(&self.job.object_ref(&()), action, reason, note).await;
    }
}
