//! What to do next with a job. A pure function: no clock, no network, no chance; every case is in a table of tests.

use std::time::Duration;

use drawbridge_protocol::session::{ReadyBox, Refusal, Waiting};
use jiff::{SignedDuration, Timestamp};

use super::local::{Closing, Figures, LocalView, Opening, Sealed, Transfer};
use crate::{
    api::{BackupJob, BackupJobStatus, CANCEL_ANNOTATION, Phase, SESSION_FINALIZER, SessionStatus},
    controller::{admission::Turn, backoff::Backoff},
    fault::{Fault, Reason},
};

/// Progress is written to status no more often than this.
const REPORT_EVERY: SignedDuration = SignedDuration::from_secs(2);
/// A box that was asked for and is not there after this long, waiting for a slot apart, will not come.
const OPENING_LIMIT: SignedDuration = SignedDuration::from_mins(10);
/// Errors in a row after which `create` is no longer asked in this session.
const MAX_ERRORS: u32 = 6;
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

impl Step {
    /// The step's name, for metrics and logs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::LookAgain { .. } => "look_again",
            Self::Wait { .. } => "wait",
            Self::BeginAttempt => "begin_attempt",
            Self::Setback { .. } => "setback",
            Self::AskForBox => "ask_for_box",
            Self::Cross(_) => "cross",
            Self::Report(_) => "report",
            Self::KeepReceipt { .. } => "keep_receipt",
            Self::Stop(_) => "stop",
            Self::AskToClose => "ask_to_close",
            Self::Abandon { .. } => "abandon",
            Self::Conclude(_) => "conclude",
            Self::DropFinalizer => "drop_finalizer",
            Self::Delete => "delete",
        }
    }
}

/// Whether the job could open a session now, so that its vault, its turn and its pods must be looked at.
pub(super) fn could_begin(job: &BackupJob, now: Timestamp) -> bool {
    let status = status_of(job);
    !status.phase.is_terminal()
        && status.session.is_none()
        && ordered_to_end(job).is_none()
        && deadline(job, &status, now).is_none_or(|deadline| now < deadline)
        && status.next_attempt_at.is_none_or(|at| at <= now)
}

/// The next step.
pub(super) fn plan(job: &BackupJob, observation: &Observation, backoff: Backoff, now: Timestamp) -> Step {
    let status = status_of(job);
    if let Some(session) = &status.session {
        return with_session(job, &status, session, observation, backoff, now);
    }
    if status.phase.is_terminal() || job.metadata.deletion_timestamp.is_some() {
        return at_rest(job, &status, now);
    }
    let fail = |fault: Fault| Step::Setback { ending: Ending::Failed(fault.clone()), fault };
    if let Some(fault) = ordered_to_end(job) {
        return fail(fault);
    }
    let deadline = deadline(job, &status, now);
    if deadline.is_some_and(|deadline| now >= deadline) {
        return fail(deadline_exceeded(job, &status));
    }
    let step = without_session(job, &status, observation, backoff, now);
    match (step, deadline) {
        (Step::Wait { why, until }, Some(deadline)) => Step::Wait { why, until: until.min(deadline) },
        (step, _) => step,
    }
}

/// A job that nothing is done for any more.
fn at_rest(job: &BackupJob, status: &BackupJobStatus, now: Timestamp) -> Step {
    let held = job.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == SESSION_FINALIZER);
    if held {
        return Step::DropFinalizer;
    }
    if job.metadata.deletion_timestamp.is_some() {
        return Step::Rest;
    }
    match (job.spec.ttl_seconds_after_finished, status.completion_time) {
        (Some(ttl), Some(end)) => match later(end, SignedDuration::from_secs(ttl)) {
            at if at <= now => Step::Delete,
            at => Step::LookAgain { at },
        },
        _ => Step::Rest,
    }
}

fn without_session(
    job: &BackupJob,
    status: &BackupJobStatus,
    observation: &Observation,
    backoff: Backoff,
    now: Timestamp,
) -> Step {
    let wait = |reason, message: String, until| Step::Wait { why: Why { reason, message }, until };
    let soon = later(now, LOOK_AGAIN);
    if let Some(at) = status.next_attempt_at.filter(|at| *at > now) {
        let last = status.fault.as_ref().map(|fault| fault.message.as_str()).unwrap_or_default();
        return wait(
            "BackingOff",
            format!("the next attempt begins at {at:.0}; the last failed: {last}"),
            at,
        );
    }
    if observation.stopping {
        return wait("ControllerStopping", "the controller restarts; it goes on after that".to_owned(), soon);
    }
    let vault = &job.spec.vault;
    match &observation.vault {
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
        VaultView::Usable => {}
    }
    match &observation.turn {
        Some(Turn::Granted) => {}
        Some(Turn::Queued { open, limit, .. }) => {
            let message =
                format!("{open} of {limit} sessions of BackupVault {vault} are open; older jobs go first");
            return wait("Queued", message, soon);
        }
        None => return Step::LookAgain { at: soon },
    }
    match &observation.selection {
        Some(Ok(_)) => Step::BeginAttempt,
        Some(Err(fault)) => {
            Step::Setback { ending: after_failure(job, status, fault, backoff, now), fault: fault.clone() }
        }
        None => Step::LookAgain { at: soon },
    }
}

fn with_session(
    job: &BackupJob,
    status: &BackupJobStatus,
    session: &SessionStatus,
    observation: &Observation,
    backoff: Backoff,
    now: Timestamp,
) -> Step {
    let local = &observation.local;
    if status.phase == Phase::Closing {
        return closing(job, status, session, local, backoff, now);
    }
    // A receipt in hand is worth more than any order to end.
    if let Transfer::Ended { result: Ok(sealed), figures, at } = &local.transfer {
        return Step::KeepReceipt { sealed: sealed.clone(), figures: *figures, at: *at };
    }
    if let Some(fault) = ordered_to_end(job) {
        return Step::Stop(fault);
    }
    if deadline(job, status, now).is_some_and(|deadline| now >= deadline) {
        return Step::Stop(deadline_exceeded(job, status));
    }
    if !local.ours {
        let message = "the controller restarted in the middle of the attempt, and its key is gone; the next attempt \
                       begins with a new session";
        return Step::Stop(Fault::new(Reason::Interrupted, message));
    }
    if now >= session.deadline {
        let message =
            format!("session {} reached its deadline {}; the box is gone", session.id, session.deadline);
        return Step::Stop(Fault::new(Reason::SessionExpired, message));
    }
    match status.phase {
        Phase::Running | Phase::Sealing => crossing(status, local, now),
        _ => opening(session, local, now),
    }
}

fn opening(session: &SessionStatus, local: &LocalView, now: Timestamp) -> Step {
    let overdue = now > later(session.opened_at, OPENING_LIMIT);
    match &local.opening {
        Opening::Unasked => Step::AskForBox,
        Opening::Ready(ready) => Step::Cross(ready.clone()),
        Opening::Refused { reason, message } => Step::Stop(refusal(*reason, message)),
        Opening::Failed { fault, needs_a_person, errors, .. } if *needs_a_person || *errors >= MAX_ERRORS => {
            Step::Stop(fault.clone())
        }
        Opening::Failed { fault, again_at, .. } if *again_at > now => {
            let why = Why { reason: fault.reason.as_str(), message: fault.message.clone() };
            Step::Wait { why, until: *again_at }
        }
        Opening::Pending { waiting_for, .. } if overdue && *waiting_for != Waiting::Slot => {
            let minutes = OPENING_LIMIT.as_mins();
            let message = format!(
                "no box after {minutes} minutes: {}; see the log of the create function",
                waiting(*waiting_for).message
            );
            Step::Stop(Fault::new(Reason::BoxNotReady, message))
        }
        Opening::Pending { waiting_for, again_at } if *again_at > now => {
            Step::Wait { why: waiting(*waiting_for), until: *again_at }
        }
        Opening::Failed { .. } | Opening::Pending { .. } => Step::AskForBox,
    }
}

fn crossing(status: &BackupJobStatus, local: &LocalView, now: Timestamp) -> Step {
    match &local.transfer {
        // The status says that the transfer runs and it never began: the process failed in between.
        Transfer::Idle => match &local.opening {
            Opening::Ready(ready) => Step::Cross(ready.clone()),
            _ => {
                Step::Stop(Fault::new(Reason::Interrupted, "the transfer was lost; a new session is opened"))
            }
        },
        Transfer::Ended { result: Err(fault), .. } => Step::Stop(fault.clone()),
        Transfer::Ended { result: Ok(sealed), figures, at } => {
            Step::KeepReceipt { sealed: sealed.clone(), figures: *figures, at: *at }
        }
        Transfer::Running(figures) => {
            let due = local.reported_at.map_or(now, |at| later(at, REPORT_EVERY));
            let sealing = figures.sealing && status.phase == Phase::Running;
            if sealing || (due <= now && !super::status::shows(status, *figures)) {
                Step::Report(*figures)
            } else {
                Step::LookAgain { at: due.max(later(now, REPORT_EVERY)) }
            }
        }
    }
}

fn closing(
    job: &BackupJob,
    status: &BackupJobStatus,
    session: &SessionStatus,
    local: &LocalView,
    backoff: Backoff,
    now: Timestamp,
) -> Step {
    let abandon = |message: &str| Step::Abandon {
        ending: ending(job, status, session, backoff, now),
        message: message.to_owned(),
    };
    let overdue = now >= session.abandon_after;
    match &local.closing {
        Closing::Unasked => Step::AskToClose,
        Closing::Destroyed => Step::Conclude(ending(job, status, session, backoff, now)),
        Closing::Failed { message, .. } if overdue => abandon(message),
        Closing::Destroying { remaining, .. } if overdue => {
            abandon(&format!("still there: {}", remaining.join(", ")))
        }
        Closing::Destroying { remaining, again_at } if *again_at > now => {
            let message = format!("the box is being destroyed; still there: {}", remaining.join(", "));
            Step::Wait { why: Why { reason: "Closing", message }, until: *again_at }
        }
        Closing::Failed { message, again_at, .. } if *again_at > now => {
            let message = format!("the session cannot be closed yet: {message}");
            Step::Wait { why: Why { reason: "ClosingFailed", message }, until: *again_at }
        }
        Closing::Destroying { .. } | Closing::Failed { .. } => Step::AskToClose,
    }
}

/// How the job goes on when its session is gone.
fn ending(
    job: &BackupJob,
    status: &BackupJobStatus,
    session: &SessionStatus,
    backoff: Backoff,
    now: Timestamp,
) -> Ending {
    if status.receipt.as_ref().is_some_and(|receipt| receipt.session == session.id) {
        return Ending::Complete;
    }
    if let Some(fault) = ordered_to_end(job) {
        return Ending::Failed(fault);
    }
    match &status.fault {
        Some(record) => after_failure(job, status, &super::status::fault_of(record), backoff, now),
        None => Ending::Retry { at: now },
    }
}

/// Another attempt after `fault`, or the end.
fn after_failure(
    job: &BackupJob,
    status: &BackupJobStatus,
    fault: &Fault,
    backoff: Backoff,
    now: Timestamp,
) -> Ending {
    if fault.reason.is_permanent() {
        return Ending::Failed(fault.clone());
    }
    // Our own restart is no failure of the backup.
    if fault.reason == Reason::Interrupted {
        return Ending::Retry { at: now };
    }
    let failures = status.failures + 1;
    if failures > job.spec.backoff_limit {
        // With a single attempt the failure itself is the better word.
        if job.spec.backoff_limit == 0 {
            return Ending::Failed(fault.clone());
        }
        let message = format!("{failures} failures; the last: {fault}");
        return Ending::Failed(Fault::new(Reason::BackoffLimitExceeded, message));
    }
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let delay: Duration = backoff.delay(u32::try_from(failures).unwrap_or(u32::MAX), uid);
    Ending::Retry { at: later(now, SignedDuration::try_from(delay).unwrap_or(LOOK_AGAIN)) }
}

/// Whether someone wants the job to end: by the annotation, or by deleting it.
fn ordered_to_end(job: &BackupJob) -> Option<Fault> {
    let annotation =
        job.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CANCEL_ANNOTATION));
    let message = if job.metadata.deletion_timestamp.is_some() {
        "the job was deleted".to_owned()
    } else {
        format!("cancelled by the annotation {CANCEL_ANNOTATION}: {}", annotation?)
    };
    Some(Fault::new(Reason::Cancelled, message))
}

/// When the job must be over.
fn deadline(job: &BackupJob, status: &BackupJobStatus, now: Timestamp) -> Option<Timestamp> {
    let start = status.start_time.unwrap_or(now);
    Some(later(start, SignedDuration::from_secs(job.spec.active_deadline_seconds)))
}

fn deadline_exceeded(job: &BackupJob, status: &BackupJobStatus) -> Fault {
    let seconds = job.spec.active_deadline_seconds;
    let last = super::status::progress_reason(status);
    let message = format!(
        "the job was not over {seconds} s after its start (activeDeadlineSeconds); it was last {last}: mend that, or \
         allow more time in a new job"
    );
    Fault::new(Reason::DeadlineExceeded, message)
}

fn waiting(waiting_for: Waiting) -> Why {
    let (reason, message) = match waiting_for {
        Waiting::Slot => ("WaitingForSlot", "all boxes that the stack allows are in use"),
        Waiting::Instance => ("WaitingForInstance", "EC2 starts the box"),
        Waiting::Interface => ("WaitingForInterface", "the box's private interface is being attached"),
        Waiting::Report => ("WaitingForBox", "the box starts and has not reported its keys yet"),
    };
    Why { reason, message: message.to_owned() }
}

fn refusal(refusal: Refusal, said: &str) -> Fault {
    let (reason, what_to_do) = match refusal {
        Refusal::SessionReused => (Reason::CreateRefusedSessionReused, "the next attempt has a new session"),
        Refusal::SessionEnded => (Reason::CreateRefusedSessionEnded, "the next attempt has a new session"),
        Refusal::DeadlinePassed => {
            (Reason::CreateRefusedDeadlinePassed, "the next attempt has a new session")
        }
        Refusal::Quota => (Reason::CreateRefusedQuota, "raise the stack's quota or wait"),
        Refusal::Stopped => (Reason::CreateRefusedStopped, "ask whoever runs the stack to start it again"),
        Refusal::Capacity => (Reason::CreateRefusedCapacity, "add instance types to the stack or wait"),
        Refusal::BadRequest => {
            (Reason::CreateRefusedBadRequest, "use the stack and the chart of one version")
        }
    };
    Fault::new(reason, format!("create refused the session: {said}; {what_to_do}"))
}

fn status_of(job: &BackupJob) -> BackupJobStatus {
    job.status.clone().unwrap_or_default()
}

/// `at + duration`, at the end of time if that is later.
pub(super) fn later(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}
