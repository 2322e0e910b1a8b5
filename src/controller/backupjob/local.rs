//! What this process alone knows of a job's attempt: its client key, what AWS last said, its transfer.
//!
//! None of it survives a crash, and nothing depends on its survival: a session whose key is gone is closed, and the
//! next attempt has a session of its own.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use drawbridge_protocol::{
    Envelope, Receipt, ReceiptKey,
    session::{ReadyBox, Refusal, Waiting},
};
use jiff::Timestamp;
use tokio::task::AbortHandle;

use super::Met;
use crate::{
    api::{ChecksStatus, LogsStatus},
    broker::Function,
    fault::Fault,
    transfer::{self, ClientKey, SealedReceipt},
};

/// How far `create` is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Opening {
    #[default]
    Unasked,
    Pending {
        waiting_for: Waiting,
        /// Since when it has waited for something else than a slot.
        since: Timestamp,
        again_at: Timestamp,
    },
    Ready(Box<ReadyBox>),
    /// A box, and nothing that vouches for its session key under the vault's receipt key. Nothing is sent to it.
    Unverified {
        message: String,
    },
    Refused {
        reason: Refusal,
        message: String,
    },
    /// The question failed; `errors` times in a row.
    Failed {
        fault: Fault,
        needs_a_person: bool,
        errors: u32,
        again_at: Timestamp,
    },
}

/// How far `cleanup` is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Closing {
    #[default]
    Unasked,
    Destroying {
        remaining: Vec<String>,
        again_at: Timestamp,
    },
    Destroyed,
    Failed {
        message: String,
        errors: u32,
        again_at: Timestamp,
    },
}

/// How far the transfer is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Transfer {
    #[default]
    Idle,
    Running(Figures),
    Ended {
        result: Result<Box<Sealed>, Fault>,
        figures: Figures,
        at: Timestamp,
    },
}

/// A backup that is stored: its receipt, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub envelope: Envelope,
    pub receipt: Receipt,
    /// What it holds of logs, if it does.
    pub logs: Option<LogsStatus>,
    /// What its artifacts were flagged for, if one was.
    pub checks: Option<ChecksStatus>,
}

impl From<&SealedReceipt> for Sealed {
    fn from(sealed: &SealedReceipt) -> Self {
        Self {
            envelope: sealed.envelope().clone(),
            receipt: sealed.receipt().clone(),
            logs: None,
            checks: None,
        }
    }
}

/// Counts that a running transfer keeps.
#[derive(Debug, Default)]
pub struct Progress {
    /// What crosses the bridge.
    pub across: Arc<transfer::Progress>,
    pub artifacts_total: AtomicU64,
    /// Every artifact is stored; the receipt is awaited.
    pub sealing: AtomicBool,
    /// What was found in logs, as their artifacts are stored.
    pub logs: Mutex<Option<LogsStatus>>,
    /// What the box's checks found.
    pub met: Mutex<Met>,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub artifacts_total: u64,
    pub across: transfer::Snapshot,
    pub sealing: bool,
}

impl Progress {
    /// What was found in logs so far.
    pub fn logs(&self) -> Option<LogsStatus> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the box's checks found so far.
    pub fn met(&self) -> Met {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn figures(&self) -> Figures {
        Figures {
            artifacts_total: self.artifacts_total.load(Ordering::Relaxed),
            across: self.across.snapshot(),
            sealing: self.sealing.load(Ordering::Relaxed),
        }
    }
}

/// A transfer's task.
#[derive(Debug, Default)]
enum Task {
    #[default]
    Idle,
    Running {
        progress: Arc<Progress>,
        abort: AbortHandle,
    },
    Ended {
        result: Result<Box<Sealed>, Fault>,
        figures: Figures,
        at: Timestamp,
    },
}

/// What this process alone has of a session that it opened.
#[derive(Clone, Debug)]
pub struct Ours {
    /// The function that is asked for the box.
    pub create: Function,
    /// The key that the box will let in.
    pub key: ClientKey,
    /// What the vault pinned when the session was opened.
    pub receipt_key: Option<ReceiptKey>,
}

/// One attempt of one job.
#[derive(Debug, Default)]
struct Attempt {
    /// Absent for a session that another process opened.
    ours: Option<Ours>,
    opening: Opening,
    task: Task,
    closing: Closing,
    /// When progress was last written to status.
    reported_at: Option<Timestamp>,
}

/// What `plan` sees of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalView {
    /// Whether this process has the session's client key.
    pub ours: bool,
    pub opening: Opening,
    pub transfer: Transfer,
    pub closing: Closing,
    pub reported_at: Option<Timestamp>,
}

/// All attempts of this process, by the job's uid and by session. A job has one at a time, but not everyone who looks
/// knows which: a session whose opening was refused has its key here and stands in no status, and the status may name
/// another that a process before opened. What is known of one must not stand in the other's way.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<String, HashMap<String, Attempt>>>);

impl Attempts {
    /// Keeps the key of a session that is about to be opened.
    pub fn begin(&self, uid: &str, session: &str, ours: Ours) {
        let attempt = Attempt { ours: Some(ours), ..Attempt::default() };
        self.lock().entry(uid.to_owned()).or_default().insert(session.to_owned(), attempt);
    }

    /// What is known of the job's `session`.
    pub fn view(&self, uid: &str, session: &str) -> LocalView {
        let attempts = self.lock();
        let Some(attempt) = attempts.get(uid).and_then(|sessions| sessions.get(session)) else {
            return LocalView::default();
        };
        let transfer = match &attempt.task {
            Task::Idle => Transfer::Idle,
            Task::Running { progress, .. } => Transfer::Running(progress.figures()),
            Task::Ended { result, figures, at } => {
                Transfer::Ended { result: result.clone(), figures: *figures, at: *at }
            }
        };
        LocalView {
            ours: attempt.ours.is_some(),
            opening: attempt.opening.clone(),
            transfer,
            closing: attempt.closing.clone(),
            reported_at: attempt.reported_at,
        }
    }

    /// What this process has of a session that it opened.
    pub fn ours(&self, uid: &str, session: &str) -> Option<Ours> {
        self.lock().get(uid)?.get(session)?.ours.clone()
    }

    pub fn set_opening(&self, uid: &str, session: &str, opening: Opening) {
        self.change(uid, session, |attempt| attempt.opening = opening);
    }

    pub fn set_closing(&self, uid: &str, session: &str, closing: Closing) {
        self.change(uid, session, |attempt| attempt.closing = closing);
    }

    pub fn set_reported(&self, uid: &str, session: &str, at: Timestamp) {
        self.change(uid, session, |attempt| attempt.reported_at = Some(at));
    }

    pub fn set_running(&self, uid: &str, session: &str, progress: Arc<Progress>, abort: AbortHandle) {
        self.change_known(uid, session, |attempt| {
            // A task that was quick may have ended before its handle came here.
            if !matches!(attempt.task, Task::Ended { .. }) {
                attempt.task = Task::Running { progress, abort };
            }
        });
    }

    /// The transfer's last words.
    pub fn set_ended(
        &self,
        uid: &str,
        session: &str,
        result: Result<Box<Sealed>, Fault>,
        figures: Figures,
        at: Timestamp,
    ) {
        self.change_known(uid, session, |attempt| attempt.task = Task::Ended { result, figures, at });
    }

    /// Stops the transfer, if one runs.
    pub fn abort(&self, uid: &str, session: &str) {
        self.change_known(uid, session, |attempt| {
            if let Task::Running { abort, .. } = &attempt.task {
                abort.abort();
            }
            attempt.task = Task::Idle;
        });
    }

    /// Forgets the job.
    pub fn forget(&self, uid: &str) {
        for attempt in self.lock().remove(uid).into_iter().flat_map(HashMap::into_values) {
            if let Task::Running { abort, .. } = attempt.task {
                abort.abort();
            }
        }
    }

    /// How many jobs this process has a session's key for.
    pub fn open(&self) -> usize {
        let ours =
            |sessions: &&HashMap<String, Attempt>| sessions.values().any(|attempt| attempt.ours.is_some());
        self.lock().values().filter(ours).count()
    }

    fn change(&self, uid: &str, session: &str, change: impl FnOnce(&mut Attempt)) {
        let mut attempts = self.lock();
        change(attempts.entry(uid.to_owned()).or_default().entry(session.to_owned()).or_default());
    }

    /// For what a task says, which may come after the job was forgotten.
    fn change_known(&self, uid: &str, session: &str, change: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = self.lock().get_mut(uid).and_then(|sessions| sessions.get_mut(session)) {
            change(attempt);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<String, Attempt>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
