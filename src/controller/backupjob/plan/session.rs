//! The plan for a job whose session is open.

use drawbridge_protocol::session::{Refusal, Waiting};
use jiff::{SignedDuration, Timestamp};

use super::{Case, Step, Why, later};
use crate::{
    api::{Phase, SessionStatus},
    controller::{
        backoff::Backoff,
        backupjob::{
            local::{Closing, LocalView, Opening, Transfer},
            status::shows,
        },
    },
    fault::{Fault, Reason},
};

/// Progress is written to status no more often than this.
const REPORT_EVERY: SignedDuration = SignedDuration::from_secs(2);
/// A box that was asked for and is not there after this long, waiting for a slot apart, will not come.
const OPENING_LIMIT: SignedDuration = SignedDuration::from_mins(10);
/// Errors in a row after which `create` is no longer asked in this session.
const MAX_ERRORS: u32 = 6;

/// The next step for the job's open session.
pub(super) fn plan(case: &Case<'_>, session: &SessionStatus, local: &LocalView, backoff: Backoff) -> Step {
    if case.status.phase == Phase::Closing {
        return closing(case, session, local, backoff);
    }
    // A receipt in hand is worth more than any order to end.
    if let Transfer::Ended { result: Ok(sealed), figures, at } = &local.transfer {
        return Step::KeepReceipt { sealed: sealed.clone(), figures: *figures, at: *at };
    }
    if let Some(fault) = case.ordered_to_end() {
        return Step::Stop(fault);
    }
    if case.now >= case.deadline() {
        return Step::Stop(case.deadline_exceeded());
    }
    if !local.ours {
        let message = "the controller restarted in the middle of the attempt, and its key is gone; the next attempt \
                       begins with a new session";
        return Step::Stop(Fault::new(Reason::Interrupted, message));
    }
    if case.now >= session.deadline {
        let message =
            format!("session {} reached its deadline {}; the box is gone", session.id, session.deadline);
        return Step::Stop(Fault::new(Reason::SessionExpired, message));
    }
    match case.status.phase {
        Phase::Running | Phase::Sealing => crossing(case, local),
        _ => opening(case, local),
    }
}

/// Nothing is put off for longer than this. What seems to be was put off by a clock that has been set back since.
const PUT_OFF: SignedDuration = SignedDuration::from_mins(5);

/// Whether to wait until `at`.
fn ahead(at: Timestamp, now: Timestamp) -> bool {
    at > now && at <= later(now, PUT_OFF)
}

fn opening(case: &Case<'_>, local: &LocalView) -> Step {
    let now = case.now;
    match &local.opening {
        Opening::Ready(ready) => Step::Cross(ready.clone()),
        Opening::Unverified { message } => {
            let message = format!(
                "the box cannot be verified under the vault's spec.receiptKey, and nothing was sent to it: {message}"
            );
            Step::Stop(Fault::new(Reason::ReceiptUnverified, message))
        }
        Opening::Refused { reason, message } => Step::Stop(refusal(*reason, message)),
        Opening::Failed { fault, needs_a_person, errors, .. } if *needs_a_person || *errors >= MAX_ERRORS => {
            Step::Stop(fault.clone())
        }
        Opening::Failed { fault, again_at, .. } if ahead(*again_at, now) => {
            let why = Why { reason: fault.reason.as_str(), message: fault.message.clone() };
            Step::Wait { why, until: *again_at }
        }
        Opening::Pending { waiting_for, since, .. }
            if *waiting_for != Waiting::Slot && now > later(*since, OPENING_LIMIT) =>
        {
            let minutes = OPENING_LIMIT.as_mins();
            let why = waiting(*waiting_for).message;
            let message =
                format!("no box after {minutes} minutes: {why}; see the log of the create function");
            Step::Stop(Fault::new(Reason::BoxNotReady, message))
        }
        Opening::Pending { waiting_for, again_at, .. } if ahead(*again_at, now) => {
            Step::Wait { why: waiting(*waiting_for), until: *again_at }
        }
        Opening::Unasked | Opening::Failed { .. } | Opening::Pending { .. } => Step::AskForBox,
    }
}

fn crossing(case: &Case<'_>, local: &LocalView) -> Step {
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
            let due = local.reported_at.map_or(case.now, |at| later(at, REPORT_EVERY));
            let sealing = figures.sealing && case.status.phase == Phase::Running;
            if sealing || (due <= case.now && !shows(&case.status, *figures)) {
                Step::Report(*figures)
            } else {
                Step::LookAgain { at: later(case.now, REPORT_EVERY) }
            }
        }
    }
}

fn closing(case: &Case<'_>, session: &SessionStatus, local: &LocalView, backoff: Backoff) -> Step {
    let now = case.now;
    let overdue = now >= session.abandon_after;
    let abandon =
        |message: &str| Step::Abandon { ending: case.ending(session, backoff), message: message.to_owned() };
    match &local.closing {
        Closing::Destroyed => Step::Conclude(case.ending(session, backoff)),
        Closing::Failed { message, .. } if overdue => abandon(message),
        Closing::Destroying { remaining, .. } if overdue => {
            abandon(&format!("still there: {}", remaining.join(", ")))
        }
        Closing::Destroying { remaining, again_at } if ahead(*again_at, now) => {
            let message = format!("the box is being destroyed; still there: {}", remaining.join(", "));
            Step::Wait { why: Why { reason: "Closing", message }, until: *again_at }
        }
        Closing::Failed { message, again_at, .. } if ahead(*again_at, now) => {
            let message = format!("the session cannot be closed yet: {message}");
            Step::Wait { why: Why { reason: "ClosingFailed", message }, until: *again_at }
        }
        Closing::Unasked | Closing::Destroying { .. } | Closing::Failed { .. } => Step::AskToClose,
    }
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
        Refusal::BoxEnded => (
            Reason::BoxEnded,
            "the box's console output says why (`aws ec2 get-console-output`); the next attempt has another box",
        ),
        Refusal::DeadlinePassed => {
            (Reason::CreateRefusedDeadlinePassed, "the next attempt has a new session")
        }
        Refusal::Quota => (Reason::CreateRefusedQuota, "raise the AWS account's quota or wait"),
        Refusal::DailyQuota => (
            Reason::CreateRefusedDailyQuota,
            "raise MaxSessionsPerDay of the stack, or wait for the next UTC day",
        ),
        Refusal::Stopped => (Reason::CreateRefusedStopped, "ask whoever runs the stack to start it again"),
        Refusal::Capacity => (Reason::CreateRefusedCapacity, "add instance types to the stack or wait"),
        Refusal::BadRequest => {
            (Reason::CreateRefusedBadRequest, "use the stack and the chart of one version")
        }
        Refusal::VersionSkew => (Reason::CreateRefusedVersionSkew, "see docs/upgrades.md for what fits"),
    };
    Fault::new(reason, format!("create refused the session: {said}; {what_to_do}"))
}
