//! How a step changes a job's status. Pure functions from one status to the next; `execute` writes the result.

use drawbridge_protocol::session::ReadyBox;
use jiff::{SignedDuration, Timestamp};

use super::{
    checks,
    local::{Figures, Sealed},
    plan::{Ending, Why, later},
    series,
};
use crate::{
    api::{
        ArtifactCounts, BackupJob, BackupJobStatus, BackupVault, ByteCounts, ConditionStatus, FaultRecord,
        Phase, ReceiptStatus, SessionStatus, conditions,
    },
    cost,
    fault::{Fault, Reason},
};

const PROGRESSING: &str = "Progressing";
const COMPLETE: &str = "Complete";
const FAILED: &str = "Failed";

/// A job's status while a step changes it.
pub(super) struct Draft<'a> {
    job: &'a BackupJob,
    now: Timestamp,
    pub status: BackupJobStatus,
}

impl<'a> Draft<'a> {
    /// Begins with the status as it is. A job that is seen for the first time gets its start time.
    pub(super) fn of(job: &'a BackupJob, now: Timestamp) -> Self {
        let mut status = job.status.clone().unwrap_or_default();
        status.start_time.get_or_insert(now);
        status.observed_generation = job.metadata.generation;
        status.sources = signed(job.spec.sources.len() as u64);
        Self { job, now, status }
    }

    /// The job waits.
    pub(super) fn waits(mut self, why: &Why) -> Self {
        self.progress(ConditionStatus::True, why.reason, &why.message);
        self
    }

    /// A session is about to be opened; AWS has not been asked.
    pub(super) fn begins(mut self, session: &str, vault: &BackupVault, artifacts: usize) -> Self {
        let lifetime = SignedDuration::from_secs(vault.spec.session_timeout_seconds);
        let grace = SignedDuration::from_secs(vault.spec.grace_seconds);
        let deadline = later(self.now, lifetime);
        self.status.phase = Phase::Opening;
        self.status.attempt += 1;
        self.status.session = Some(SessionStatus {
            id: session.to_owned(),
            opened_at: self.now,
            deadline,
            abandon_after: later(deadline, grace),
            region: vault.spec.region.clone(),
            cleanup_function: vault.spec.functions.cleanup.clone(),
            address: None,
            instance: None,
            host_key: None,
            session_key: None,
        });
        self.status.next_attempt_at = None;
        self.status.running_since = None;
        self.status.transfer_ended_at = None;
        self.figures(Figures { artifacts_total: artifacts as u64, ..Figures::default() });
        self.progress(ConditionStatus::True, "Opening", "a box is asked for");
        self
    }

    /// The box listens; from now on it is tried.
    pub(super) fn crosses(mut self, ready: &ReadyBox) -> Self {
        self.status.phase = Phase::Running;
        self.status.running_since = Some(self.now);
        if let Some(session) = &mut self.status.session {
            let grace = session.abandon_after.duration_since(session.deadline);
            session.deadline = ready.deadline;
            session.abandon_after = later(ready.deadline, grace);
            session.address = Some(ready.address.to_string());
            session.instance = Some(ready.instance.clone());
            session.host_key = Some(ready.host_key.fingerprint());
            session.session_key = Some(ready.session_key.as_str().to_owned());
        }
        self.progress(ConditionStatus::True, "Running", "artifacts are on their way");
        self
    }

    /// The transfer is further.
    pub(super) fn reports(mut self, figures: Figures) -> Self {
        self.figures(figures);
        if figures.sealing {
            self.status.phase = Phase::Sealing;
            self.progress(
                ConditionStatus::True,
                "Sealing",
                "every artifact is stored; the manifest is being signed",
            );
        }
        self
    }

    /// The backup is stored; what is left is to destroy the box.
    pub(super) fn keeps_receipt(mut self, sealed: &Sealed, figures: Figures, at: Timestamp) -> Self {
        let receipt = &sealed.receipt;
        let (envelope, certificate) = ReceiptStatus::apart(&sealed.envelope);
        let session_key =
            self.status.session.as_ref().and_then(|session| session.session_key.clone()).unwrap_or_default();
        self.figures(figures);
        self.status.phase = Phase::Closing;
        self.status.transfer_ended_at = Some(at);
        self.status.receipt = Some(ReceiptStatus {
            session: receipt.session.to_string(),
            bucket: receipt.bucket.clone(),
            manifest: receipt.manifest.to_string(),
            manifest_sha256: receipt.manifest_sha256.to_string(),
            artifacts: i64::from(receipt.artifacts),
            bytes: signed(receipt.bytes),
            sealed_at: receipt.sealed_at,
            session_key,
            certified: certificate.is_some(),
            envelope,
            certificate,
        });
        self.status.logs.clone_from(&sealed.logs);
        self.status.checks.clone_from(&sealed.checks);
        self.progress(ConditionStatus::True, "Closing", "the backup is stored; the box is being destroyed");
        self
    }

    /// The session is given up.
    pub(super) fn stops(mut self, fault: &Fault) -> Self {
        if self.status.phase != Phase::Opening {
            self.status.transfer_ended_at.get_or_insert(self.now);
        }
        self.status.phase = Phase::Closing;
        self.fault(fault);
        self.progress(ConditionStatus::True, fault.reason.as_str(), &fault.message);
        self
    }

    /// A failure before a session was opened.
    pub(super) fn setback(mut self, fault: &Fault, ending: &Ending) -> Self {
        self.fault(fault);
        self.status.failures += i64::from(counts(fault));
        self.ends(ending);
        self
    }

    /// The session is gone, one way or another.
    pub(super) fn concludes(mut self, ending: &Ending) -> Self {
        if let Some(session) = self.status.session.take() {
            let seconds = self.now.duration_since(session.opened_at).as_secs();
            let had_a_box = session.instance.is_some();
            let (artifacts, bytes) = (&self.status.artifacts, &self.status.bytes);
            self.status.cost =
                Some(cost::add(self.status.cost.as_ref(), seconds, had_a_box, artifacts, bytes));
        }
        if *ending != Ending::Complete {
            let counted = self.status.fault.as_ref().is_some_and(|record| counts(&fault_of(record)));
            self.status.failures += i64::from(counted);
        }
        self.ends(ending);
        self
    }

    fn ends(&mut self, ending: &Ending) {
        let generation = self.job.metadata.generation;
        match ending {
            Ending::Complete => {
                let lost = series::lost(self.status.logs.as_ref());
                let flagged = checks::flagged(self.status.checks.as_ref());
                let message = self.status.receipt.as_ref().map_or_else(String::new, |receipt| {
                    format!(
                        "{} artifacts stored; manifest s3://{}/{}{flagged}{lost}",
                        receipt.artifacts, receipt.bucket, receipt.manifest
                    )
                });
                self.finish(Phase::Complete, COMPLETE, "Sealed", &message);
            }
            Ending::Failed(fault) => {
                self.finish(Phase::Failed, FAILED, fault.reason.as_str(), &fault.message);
            }
            Ending::Retry { at } => {
                self.status.phase = Phase::Pending;
                self.status.next_attempt_at = (*at > self.now).then_some(*at);
                let (reason, message) = self.status.fault.as_ref().map_or_else(
                    || ("BackingOff".to_owned(), String::new()),
                    |record| (record.reason.clone(), record.message.clone()),
                );
                conditions::set(
                    &mut self.status.conditions,
                    PROGRESSING,
                    ConditionStatus::True,
                    &reason,
                    &message,
                    generation,
                    self.now,
                );
            }
        }
    }

    fn finish(&mut self, phase: Phase, condition: &str, reason: &str, message: &str) {
        let generation = self.job.metadata.generation;
        self.status.phase = phase;
        self.status.completion_time = Some(self.now);
        self.status.next_attempt_at = None;
        let all = &mut self.status.conditions;
        conditions::set(all, condition, ConditionStatus::True, reason, message, generation, self.now);
        self.progress(ConditionStatus::False, reason, message);
    }

    fn progress(&mut self, status: ConditionStatus, reason: &str, message: &str) {
        let generation = self.job.metadata.generation;
        conditions::set(
            &mut self.status.conditions,
            PROGRESSING,
            status,
            reason,
            message,
            generation,
            self.now,
        );
    }

    fn fault(&mut self, fault: &Fault) {
        self.status.fault = Some(FaultRecord {
            reason: fault.reason.as_str().to_owned(),
            message: conditions::shortened(&fault.message),
            permanent: fault.reason.is_permanent(),
            at: self.now,
        });
    }

    fn figures(&mut self, figures: Figures) {
        (self.status.artifacts, self.status.bytes) = counts_of(figures);
    }
}

/// Whether the status says the same as `figures`.
pub(super) fn shows(status: &BackupJobStatus, figures: Figures) -> bool {
    (status.artifacts.clone(), status.bytes.clone()) == counts_of(figures)
        && (status.phase == Phase::Sealing) == figures.sealing
}

/// What the job last said of itself, for a message.
pub(super) fn progress_reason(status: &BackupJobStatus) -> &str {
    conditions::find(&status.conditions, PROGRESSING).map_or("Pending", |condition| condition.reason.as_str())
}

/// And in more words.
pub(super) fn progress_message(status: &BackupJobStatus) -> &str {
    conditions::find(&status.conditions, PROGRESSING)
        .map_or("it has not begun", |condition| condition.message.as_str())
}

/// The failure that was written down.
pub(super) fn fault_of(record: &FaultRecord) -> Fault {
    let reason = Reason::from_word(&record.reason).unwrap_or(Reason::TransferFailed);
    Fault::new(reason, record.message.clone())
}

/// Our own restarts and orders from outside are no failures of the backup.
fn counts(fault: &Fault) -> bool {
    !matches!(fault.reason, Reason::Interrupted | Reason::Cancelled)
}

fn counts_of(figures: Figures) -> (ArtifactCounts, ByteCounts) {
    let Figures { artifacts_total, across, .. } = figures;
    let artifacts = ArtifactCounts {
        total: signed(artifacts_total),
        done: signed(across.artifacts),
        display: format!("{}/{artifacts_total}", across.artifacts),
    };
    let bytes = ByteCounts {
        original: signed(across.original_bytes),
        stored: signed(across.sent_bytes),
        display: human(across.original_bytes),
    };
    (artifacts, bytes)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Bytes for people, in powers of 1024.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1 << 10 {
        return format!("{bytes} B");
    }
    let power = usize::try_from(bytes.ilog2() / 10).unwrap_or(1).min(UNITS.len());
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[power - 1])
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn bytes_read_as_people_say_them() {
        let texts = [0, 1_023, 1_024, 1_536, 807_403_520, u64::MAX].map(human);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "770.0 MiB", "16383.9 PiB"]);
    }
}
