//! How a job goes on after something ended: by itself, by a failure, or because someone wants it to.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{Case, Ending, LOOK_AGAIN, later};
use crate::{
    api::{CANCEL_ANNOTATION, SessionStatus},
    controller::{
        backoff::Backoff,
        backupjob::status::{fault_of, progress_message, progress_reason},
    },
    fault::{Fault, Mending, Reason},
};

/// When the next UTC day begins.
fn next_day(now: Timestamp) -> Timestamp {
    let tomorrow = now.to_zoned(TimeZone::UTC).date().tomorrow();
    let midnight = tomorrow.and_then(|date| date.to_zoned(TimeZone::UTC));
    midnight.map_or(now, |midnight| midnight.timestamp())
}

impl Case<'_> {
    /// How the job goes on when its session is gone.
    pub(super) fn ending(&self, session: &SessionStatus, backoff: Backoff) -> Ending {
        if self.status.receipt.as_ref().is_some_and(|receipt| receipt.session == session.id) {
            return Ending::Complete;
        }
        if let Some(fault) = self.ordered_to_end() {
            return Ending::Failed(fault);
        }
        match &self.status.fault {
            Some(record) => self.after_failure(&fault_of(record), backoff),
            None => Ending::Retry { at: self.now },
        }
    }

    /// Another attempt after `fault`, or the end.
    pub(super) fn after_failure(&self, fault: &Fault, backoff: Backoff) -> Ending {
        if fault.reason.is_permanent() {
            return Ending::Failed(fault.clone());
        }
        // Our own restart is no failure of the backup.
        if fault.reason == Reason::Interrupted {
            return Ending::Retry { at: self.now };
        }
        let failures = self.status.failures + 1;
        if failures > self.job.spec.backoff_limit {
            // With a single attempt the failure itself is the better word.
            if self.job.spec.backoff_limit == 0 {
                return Ending::Failed(fault.clone());
            }
            let message = format!("{failures} failures; the last: {fault}");
            return Ending::Failed(Fault::new(Reason::BackoffLimitExceeded, message));
        }
        let uid = self.job.metadata.uid.as_deref().unwrap_or_default();
        let delay = backoff
            .stretched(fault.reason.mending().factor())
            .delay(u32::try_from(failures).unwrap_or(u32::MAX), uid);
        let from = match fault.reason.mending() {
            Mending::Tomorrow => next_day(self.now),
            Mending::Soon | Mending::Later | Mending::ByAPerson => self.now,
        };
        Ending::Retry { at: later(from, SignedDuration::try_from(delay).unwrap_or(LOOK_AGAIN)) }
    }

    /// Whether someone wants the job to end: by the annotation, or by deleting it.
    pub(super) fn ordered_to_end(&self) -> Option<Fault> {
        let metadata = &self.job.metadata;
        let message = if metadata.deletion_timestamp.is_some() {
            "the job was deleted".to_owned()
        } else {
            let why = metadata.annotations.as_ref()?.get(CANCEL_ANNOTATION)?;
            format!("cancelled by the annotation {CANCEL_ANNOTATION}: {why}")
        };
        Some(Fault::new(Reason::Cancelled, message))
    }

    /// When the job must be over.
    pub(super) fn deadline(&self) -> Timestamp {
        let start = self.status.start_time.unwrap_or(self.now);
        later(start, SignedDuration::from_secs(self.job.spec.active_deadline_seconds))
    }

    pub(super) fn deadline_exceeded(&self) -> Fault {
        let seconds = self.job.spec.active_deadline_seconds;
        let (last, why) = (progress_reason(&self.status), progress_message(&self.status));
        let message = format!(
            "the job was not over {seconds} s after its start (activeDeadlineSeconds); it was last {last} ({why}): mend \
             that, or allow more time in a new job"
        );
        Fault::new(Reason::DeadlineExceeded, message)
    }
}
