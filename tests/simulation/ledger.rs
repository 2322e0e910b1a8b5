//! What must hold, checked at every event. The first that does not ends the run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use drawbridge_protocol::CreateRequest;
use serde_json::Value;

use crate::{time::Time, world::World};

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// No machine lives past its deadline and grace, and what the slowest of its four ends takes on top.
    BoxEnds,
    /// A session has one machine at a time.
    OneBox,
    /// No more machines than slots.
    SlotLimit,
    /// Once cleanup said destroyed, nothing of the session comes into being.
    DestroyedStays,
    /// One session id: one job, one attempt.
    OneSessionPerAttempt,
    /// One session id: one client key.
    KeyBoundToSession,
    /// AWS hears of a session only after the job's status held it.
    SessionWrittenFirst,
    /// A job with a session has our finalizer, and does not vanish.
    SessionKept,
    /// A session leaves the status only when cleanup said destroyed, or past abandonAfter.
    SessionClosed,
    /// Complete only with a receipt that the box of that attempt issued, for a manifest that lies in the bucket.
    ReceiptIssued,
    /// No object of the backup bucket is ever written twice.
    NoOverwrite,
    /// Complete and Failed stay, with their time and receipt.
    TerminalStays,
    /// Failures and attempts stay within what backoffLimit allows.
    AttemptsBounded,
    /// When nothing goes wrong any more, every job ends and nothing is left, within a bounded time.
    EverythingEnds,
}

impl Invariant {
    pub(crate) const ALL: &[Self] = &[
        Self::BoxEnds,
        Self::OneBox,
        Self::SlotLimit,
        Self::DestroyedStays,
        Self::OneSessionPerAttempt,
        Self::KeyBoundToSession,
        Self::SessionWrittenFirst,
        Self::SessionKept,
        Self::SessionClosed,
        Self::ReceiptIssued,
        Self::NoOverwrite,
        Self::TerminalStays,
        Self::AttemptsBounded,
        Self::EverythingEnds,
    ];
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
}

#[derive(Default)]
struct Inner {
    violation: Option<Violation>,
    /// All that broke in that moment.
    broken: BTreeSet<Invariant>,
    /// Sessions that stand in a status, since when.
    open: BTreeMap<String, Duration>,
    /// Session to job uid, attempt, client key.
    asked: BTreeMap<String, (String, u32, String)>,
    /// Sessions that stood in a status.
    written: BTreeSet<String>,
    /// Sessions that cleanup called destroyed, and those of which a controller heard it.
    destroyed: BTreeSet<String>,
    told: BTreeSet<String>,
    /// Sessions and manifests that boxes signed for.
    issued: BTreeSet<(String, String)>,
    /// Attempts of a job that ended because the controller did.
    interrupted: BTreeMap<String, i64>,
    completed: u64,
    failed: u64,
    abandoned: u64,
}

/// The record of one run.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Inner>);

impl Ledger {
    pub(crate) fn violated(&self) -> Option<Violation> {
        self.0.lock().unwrap().violation.clone()
    }

    pub(crate) fn breaks(&self, invariant: Invariant, what: String) {
        let mut inner = self.0.lock().unwrap();
        inner.broken.insert(invariant);
        inner.violation.get_or_insert(Violation { invariant, what });
    }

    fn check(&self, holds: bool, invariant: Invariant, what: impl FnOnce() -> String) {
        if !holds {
            self.breaks(invariant, what());
        }
    }

    /// What broke in the moment that ended the run.
    pub(crate) fn broken(&self) -> BTreeSet<Invariant> {
        self.0.lock().unwrap().broken.clone()
    }

    /// No session stands in a status for ever; looked at from time to time.
    pub(crate) fn sessions(&self, world: &World) {
        let (now, longest) = (world.time.elapsed(), world.scenario.longest_session());
        let overdue = {
            let inner = self.0.lock().unwrap();
            inner.open.iter().find(|(_, since)| now > **since + longest).map(|(session, _)| session.clone())
        };
        self.check(overdue.is_none(), Invariant::EverythingEnds, || {
            format!("{overdue:?} stands in a status longer than {longest:?}")
        });
    }

    /// Completed, failed, abandoned.
    pub(crate) fn ends(&self) -> (u64, u64, u64) {
        let inner = self.0.lock().unwrap();
        (inner.completed, inner.failed, inner.abandoned)
    }

    /// `create` is asked.
    pub(crate) fn asked(&self, request: &CreateRequest) {
        let session = request.session.to_string();
        let key = request.client_key.to_string();
        let (before, written) = {
            let mut inner = self.0.lock().unwrap();
            let now = (request.job.uid.clone(), request.job.attempt, key.clone());
            (inner.asked.entry(session.clone()).or_insert(now).clone(), inner.written.contains(&session))
        };
        self.check(written, Invariant::SessionWrittenFirst, || format!("{session} was in no status"));
        let same = (before.0.as_str(), before.1) == (request.job.uid.as_str(), request.job.attempt);
        self.check(same, Invariant::OneSessionPerAttempt, || {
            format!("{session}: {before:?}, then {request:?}")
        });
        self.check(before.2 == key, Invariant::KeyBoundToSession, || {
            format!("{session} has two client keys")
        });
    }

    /// A controller hears that the session is destroyed.
    pub(crate) fn told_destroyed(&self, session: &str) {
        self.0.lock().unwrap().told.insert(session.to_owned());
    }

    /// Cleanup calls the session destroyed, whoever hears it.
    pub(crate) fn said_destroyed(&self, session: &str) {
        self.0.lock().unwrap().destroyed.insert(session.to_owned());
    }

    /// A box comes into being.
    pub(crate) fn launched(&self, session: &str) {
        let destroyed = self.0.lock().unwrap().destroyed.contains(session);
        self.check(!destroyed, Invariant::DestroyedStays, || {
            format!("a machine of {session} is made after cleanup said destroyed")
        });
    }

    pub(crate) fn issued(&self, session: &str, manifest: &str) {
        self.0.lock().unwrap().issued.insert((session.to_owned(), manifest.to_owned()));
    }

    /// A job's object changes, appears or vanishes.
    pub(crate) fn job(&self, before: Option<&Value>, after: Option<&Value>, time: &Time) {
        let session = |job: Option<&Value>| {
            job.and_then(|job| job["status"]["session"]["id"].as_str()).map(str::to_owned)
        };
        let (old, new) = (session(before), session(after));
        if let Some(session) = &new {
            let mut inner = self.0.lock().unwrap();
            inner.written.insert(session.clone());
            inner.open.entry(session.clone()).or_insert(time.elapsed());
        }
        if let (Some(session), true) = (&old, old != new) {
            self.0.lock().unwrap().open.remove(session);
            self.left(session, before, after, time);
        }
        if let Some(after) = after {
            self.state(before, after);
        }
    }

    fn left(&self, session: &str, before: Option<&Value>, after: Option<&Value>, time: &Time) {
        self.check(after.is_some(), Invariant::SessionKept, || format!("the job of {session} vanished"));
        let abandon_after = before.and_then(|job| {
            job["status"]["session"]["abandonAfter"].as_str()?.parse::<jiff::Timestamp>().ok()
        });
        let destroyed = {
            let mut inner = self.0.lock().unwrap();
            let destroyed = inner.told.contains(session);
            inner.abandoned += u64::from(!destroyed);
            destroyed
        };
        let overdue = abandon_after.is_some_and(|at| time.now() >= at);
        self.check(destroyed || overdue, Invariant::SessionClosed, || {
            format!("{session} left the status while it was open")
        });
    }

    fn state(&self, before: Option<&Value>, after: &Value) {
        let status = &after["status"];
        let uid = after["metadata"]["uid"].as_str().unwrap_or_default();
        let held = after["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        self.check(held || status["session"].is_null(), Invariant::SessionKept, || {
            format!("{uid} has session {} and no finalizer", status["session"]["id"])
        });
        let phase = |status: &Value| status["phase"].as_str().unwrap_or("Pending").to_owned();
        let now = phase(status);
        let old = before.map_or(Value::Null, |before| before["status"].clone());
        if matches!(phase(&old).as_str(), "Complete" | "Failed") {
            let same =
                ["phase", "completionTime", "receipt"].iter().all(|field| old[*field] == status[*field]);
            self.check(same, Invariant::TerminalStays, || format!("{uid} was {} and is {now}", phase(&old)));
            return;
        }
        match now.as_str() {
            "Complete" => {
                let receipt = |field: &str| status["receipt"][field].as_str().unwrap_or("none").to_owned();
                let id = (receipt("session"), receipt("manifest"));
                let issued = self.0.lock().unwrap().issued.contains(&id);
                self.check(issued, Invariant::ReceiptIssued, || format!("no box issued the receipt {id:?}"));
                self.0.lock().unwrap().completed += 1;
            }
            "Failed" => self.0.lock().unwrap().failed += 1,
            _ => {}
        }
        self.attempts(uid, &old, after);
    }

    fn attempts(&self, uid: &str, old: &Value, after: &Value) {
        let status = &after["status"];
        let limit = after["spec"]["backoffLimit"].as_i64().unwrap_or(3);
        let failures = status["failures"].as_i64().unwrap_or(0);
        self.check(failures <= limit + 1, Invariant::AttemptsBounded, || {
            format!("{uid}: {failures} failures with a backoffLimit of {limit}")
        });
        let attempt = status["attempt"].as_i64().unwrap_or(0);
        let mut inner = self.0.lock().unwrap();
        let interrupted = inner.interrupted.entry(uid.to_owned()).or_default();
        let closing = |status: &Value| status["phase"] == "Closing";
        if closing(status) && !closing(old) && status["fault"]["reason"] == "Interrupted" {
            *interrupted += 1;
        }
        let allowed = limit + 1 + *interrupted;
        drop(inner);
        self.check(attempt <= allowed, Invariant::AttemptsBounded, || {
            format!("{uid}: attempt {attempt}, {allowed} are allowed")
        });
    }

    /// How many machines live, and whose; looked at whenever one begins and from time to time.
    pub(crate) fn machines(&self, alive: &[(String, Duration)], slots: usize, now: Duration) {
        self.check(alive.len() <= slots, Invariant::SlotLimit, || {
            format!("{} machines, {slots} slots", alive.len())
        });
        let mut seen = BTreeSet::new();
        for (session, ends) in alive {
            self.check(seen.insert(session), Invariant::OneBox, || format!("{session} has two machines"));
            self.check(now <= *ends, Invariant::BoxEnds, || {
                format!("the machine of {session} lives at {now:?} and should have ended by {ends:?}")
            });
        }
    }
}
