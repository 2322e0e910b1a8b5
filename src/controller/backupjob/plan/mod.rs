//! What to do next with a job. A pure function: no clock, no network, no chance; every case is in a table of tests.

mod outcome;
mod session;

#[cfg(test)]
mod tests;

use drawbridge_protocol::session::ReadyBox;
use jiff::{SignedDuration, Timestamp};

use super::local::{Figures, LocalView, Sealed};
use crate::{
    api::{BackupJob, BackupJobStatus, SESSION_FINALIZER},
    controller::{admission::Turn, backoff::Backoff},
    fault::Fault,
};

/// How soon something that only changes from outside is looked at again, if no watch says so before.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// What is known beside the job itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observation {
    pub vault: VaultView,
    pub turn: Option<Turn>,
    /// Artifacts that the sources mean now, if that was looked at.
    pub selection: Option<Result<usize, Fault>>,
    pub local: LocalView,
    /// This process is about to end and begins nothing new.
    pub stopping: bool,
}

/// The job's vault, as far as the job is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VaultView {
    /// Not needed now.
    Unasked,
    Missing,
    NotAllowed {
        message: String,
    },
    NotReady {
        message: String,
    },
    /// Nobody has looked at the stack's posture lately.
    Unchecked,
    /// A guarantee that the vault requires does not hold.
    PostureBroken {
        message: String,
    },
    /// A guarantee that the vault requires could not be looked at for too long.
    PostureUnknown {
        message: String,
    },
    Usable,
}

/// What a job waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Why {
    pub reason: &'static str,
    pub message: String,
}

/// How a session, or a job without one, goes on after it stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Complete,
    Failed(Fault),
    /// Another attempt, not before that time.
    Retry {
        at: Timestamp,
    },
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Nothing, until the job changes.
    Rest,
    /// Nothing before that time.
    LookAgain { at: Timestamp },
    /// Show what the job waits for, and look again then.
    Wait { why: Why, until: Timestamp },
    /// Put the finalizer on, write a new session id to status, keep its key. AWS is not asked yet.
    BeginAttempt,
    /// A failure before a session was opened.
    Setback { fault: Fault, ending: Ending },
    /// Ask `create` for the box.
    AskForBox,
    /// Write down where the box is, and begin the transfer.
    Cross(Box<ReadyBox>),
    /// Copy the transfer's figures to status.
    Report(Figures),
    /// The backup is stored: keep its receipt; the session can be closed.
    KeepReceipt { sealed: Box<Sealed>, figures: Figures, at: Timestamp },
    /// Give the session up because of a failure; it can be closed.
    Stop(Fault),
    /// Ask `cleanup` to destroy the session.
    AskToClose,
    /// Let go of a session that AWS cannot be asked to close: its own timers will.
    Abandon { ending: Ending, message: String },
    /// The session is closed: the job ends or waits for its next attempt.
    Conclude(Ending),
    /// No session is open: the job may be deleted.
    DropFinalizer,
    /// The job ended long enough ago.
    Delete,
}

/// Declares the kinds of steps and their names once.
macro_rules! kinds {
    ($($kind:ident = $name:literal),+ $(,)?) => {
        /// A step without what it carries. Every kind is a row of the crash matrix (`tests/crash`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum StepKind {
            $($kind),+
        }

        impl StepKind {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Its name, for metrics and logs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name),+
                }
            }
        }
    };
}

kinds! {
    Rest = "rest",
    LookAgain = "look_again",
    Wait = "wait",
    BeginAttempt = "begin_attempt",
    Setback = "setback",
    AskForBox = "ask_for_box",
    Cross = "cross",
    Report = "report",
    KeepReceipt = "keep_receipt",
    Stop = "stop",
    AskToClose = "ask_to_close",
    Abandon = "abandon",
    Conclude = "conclude",
    DropFinalizer = "drop_finalizer",
    Delete = "delete",
}

impl Step {
    /// What kind of step it is.
    pub(super) fn kind(&self) -> StepKind {
        match self {
            Self::Rest => StepKind::Rest,
            Self::LookAgain { .. } => StepKind::LookAgain,
            Self::Wait { .. } => StepKind::Wait,
            Self::BeginAttempt => StepKind::BeginAttempt,
            Self::Setback { .. } => StepKind::Setback,
            Self::AskForBox => StepKind::AskForBox,
            Self::Cross(_) => StepKind::Cross,
            Self::Report(_) => StepKind::Report,
            Self::KeepReceipt { .. } => StepKind::KeepReceipt,
            Self::Stop(_) => StepKind::Stop,
            Self::AskToClose => StepKind::AskToClose,
            Self::Abandon { .. } => StepKind::Abandon,
            Self::Conclude(_) => StepKind::Conclude,
            Self::DropFinalizer => StepKind::DropFinalizer,
            Self::Delete => StepKind::Delete,
        }
    }

    /// The step's name, for metrics and logs.
    pub(super) fn name(&self) -> &'static str {
        self.kind().name()
    }
}

/// Whether the job could open a session now, so that its vault, its turn and its pods must be looked at.
pub(super) fn could_begin(job: &BackupJob, now: Timestamp) -> bool {
    let case = Case::of(job, now);
    !case.status.phase.is_terminal()
        && case.status.session.is_none()
        && case.ordered_to_end().is_none()
        && now < case.deadline()
        && case.status.next_attempt_at.is_none_or(|at| at <= now)
}

/// The next step.
pub(super) fn plan(job: &BackupJob, seen: &Observation, backoff: Backoff, now: Timestamp) -> Step {
    let case = Case::of(job, now);
    if let Some(session) = &case.status.session {
        return session::plan(&case, session, &seen.local, backoff);
    }
    if case.status.phase.is_terminal() || job.metadata.deletion_timestamp.is_some() {
        return case.at_rest();
    }
    let fail = |fault: Fault| Step::Setback { ending: Ending::Failed(fault.clone()), fault };
    if let Some(fault) = case.ordered_to_end() {
        return fail(fault);
    }
    if now >= case.deadline() {
        return fail(case.deadline_exceeded());
    }
    match case.before_a_session(seen, backoff) {
        Step::Wait { why, until } => Step::Wait { why, until: until.min(case.deadline()) },
        step => step,
    }
}

/// One job at one moment.
struct Case<'a> {
    job: &'a BackupJob,
    status: BackupJobStatus,
    now: Timestamp,
}

impl<'a> Case<'a> {
    fn of(job: &'a BackupJob, now: Timestamp) -> Self {
        Self { job, status: job.status.clone().unwrap_or_default(), now }
    }

    /// A job that nothing is done for any more.
    fn at_rest(&self) -> Step {
        let held =
            self.job.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == SESSION_FINALIZER);
        if held {
            return Step::DropFinalizer;
        }
        if self.job.metadata.deletion_timestamp.is_some() {
            return Step::Rest;
        }
        match (self.job.spec.ttl_seconds_after_finished, self.status.completion_time) {
            (Some(ttl), Some(end)) => match later(end, SignedDuration::from_secs(ttl)) {
                at if at <= self.now => Step::Delete,
                at => Step::LookAgain { at },
            },
            _ => Step::Rest,
        }
    }

    /// A job that would open a session as soon as it may.
    fn before_a_session(&self, seen: &Observation, backoff: Backoff) -> Step {
        let wait = |reason, message: String, until| Step::Wait { why: Why { reason, message }, until };
        let soon = later(self.now, LOOK_AGAIN);
        if let Some(at) = self.status.next_attempt_at.filter(|at| *at > self.now) {
            let last = self.status.fault.as_ref().map(|fault| fault.message.as_str()).unwrap_or_default();
            return wait(
                "BackingOff",
                format!("the next attempt begins at {at:.0}; the last failed: {last}"),
                at,
            );
        }
        if seen.stopping {
            return wait(
                "ControllerStopping",
                "the controller restarts; it goes on after that".to_owned(),
                soon,
            );
        }
        let vault = &self.job.spec.vault;
        match &seen.vault {
            VaultView::Unasked => return Step::LookAgain { at: soon },
            VaultView::Missing => {
                let message =
                    format!("there is no BackupVault {vault}: create it, or correct spec.vault in a new job");
                return wait("VaultNotFound", message, soon);
            }
            VaultView::NotAllowed { message } => return wait("NamespaceNotAllowed", message.clone(), soon),
            VaultView::NotReady { message } => {
                return wait("VaultNotReady", format!("BackupVault {vault} is not ready: {message}"), soon);
            }
            VaultView::Unchecked => {
                let message = format!("the posture of BackupVault {vault} is being looked at");
                return wait("CheckingPosture", message, soon);
            }
            VaultView::PostureBroken { message } => {
                let message =
                    format!("a guarantee that BackupVault {vault} requires does not hold: {message}");
                return wait("PostureBroken", message, soon);
            }
            VaultView::PostureUnknown { message } => {
                let message = format!(
                    "nobody knows whether a guarantee that BackupVault {vault} requires holds: {message}"
                );
                return wait("PostureUnknown", message, soon);
            }
            VaultView::Usable => {}
        }
        match &seen.turn {
            Some(Turn::Granted) => {}
            Some(Turn::Queued { open, limit, .. }) => {
                let message =
                    format!("{open} of {limit} sessions of BackupVault {vault} are open; others go first");
                return wait("Queued", message, soon);
            }
            None => return Step::LookAgain { at: soon },
        }
        match &seen.selection {
            Some(Ok(_)) => Step::BeginAttempt,
            Some(Err(fault)) => {
                Step::Setback { ending: self.after_failure(fault, backoff), fault: fault.clone() }
            }
            None => Step::LookAgain { at: soon },
        }
    }
}

/// `at + duration`, at the end of time if that is later.
pub(super) fn later(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}
