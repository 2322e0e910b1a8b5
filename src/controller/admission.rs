//! Who may open the next session of a vault.
//!
//! A vault keeps few sessions open at once. Jobs that could begin wait here and are let in fairly: first the
//! namespace that has the fewest sessions open, then the oldest job. The queue is in memory: after a restart it
//! fills again as the jobs are reconciled, and sessions that are open are counted from the jobs themselves.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A waiting job that has not asked for this long is gone.
const FORGOTTEN: Duration = Duration::from_mins(2);
/// For this long after a session was closed the cache may still show it.
const STALE: Duration = Duration::from_secs(30);

/// Whether a job may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    Granted,
    Queued {
        /// Jobs that come first.
        ahead: usize,
        /// Sessions of the vault that are open.
        open: usize,
        limit: usize,
    },
}

/// A job that asks to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub vault: String,
    /// Creation time; ties are broken by the uid.
    pub created: jiff::Timestamp,
}

/// A session that is open, of whatever vault.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Open {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub vault: String,
}

#[derive(Default, Debug)]
struct Inner {
    waiting: HashMap<String, (Candidate, Duration)>,
    /// Let in; its session may not be visible in the cache yet.
    granted: HashMap<String, Open>,
    /// Jobs whose session was closed just now.
    closed: HashMap<String, Duration>,
}

/// The queues of all vaults. `now` is a clock that never goes back.
#[derive(Default, Debug)]
pub struct Admission(Mutex<Inner>);

impl Admission {
    /// Asks for `candidate`, given the sessions that the cache knows of.
    pub fn ask(
        &self,
        candidate: Candidate,
        limit: usize,
        cached: impl IntoIterator<Item = Open>,
        now: Duration,
    ) -> Turn {
        let mut inner = self.lock();
        if inner.granted.contains_key(&candidate.uid) {
            return Turn::Granted;
        }
        inner.waiting.retain(|_, (_, seen)| now.saturating_sub(*seen) < FORGOTTEN);
        inner.waiting.insert(candidate.uid.clone(), (candidate.clone(), now));
        let open = inner.open(&candidate.vault, cached, now);
        let order = inner.in_order(&candidate.vault, &open);
        let ahead = order.iter().position(|waiting| waiting.uid == candidate.uid).unwrap_or(0);
        if open.len() + ahead >= limit {
            return Turn::Queued { ahead, open: open.len(), limit };
        }
        inner.waiting.remove(&candidate.uid);
        inner.closed.remove(&candidate.uid);
        let Candidate { uid, namespace, name, vault, .. } = candidate;
        inner.granted.insert(uid.clone(), Open { uid, namespace, name, vault });
        Turn::Granted
    }

    /// The job's session is closed. Says who should ask again, those first that go first.
    pub fn closed(&self, uid: &str, vault: &str, now: Duration) -> Vec<Candidate> {
        let mut inner = self.lock();
        inner.waiting.remove(uid);
        inner.granted.remove(uid);
        inner.closed.insert(uid.to_owned(), now);
        inner.next(vault)
    }

    /// The job has no session and does not ask for one. If it had been let in, someone else may be.
    pub fn leave(&self, uid: &str) -> Vec<Candidate> {
        let mut inner = self.lock();
        inner.waiting.remove(uid);
        inner.granted.remove(uid).map(|left| inner.next(&left.vault)).unwrap_or_default()
    }

    /// The jobs that were let in and are gone. Nobody visits a deleted job again, so whoever looks must say that it left.
    pub fn gone(&self, is_here: impl Fn(&Open) -> bool) -> Vec<String> {
        self.lock().granted.values().filter(|open| !is_here(open)).map(|open| open.uid.clone()).collect()
    }

    /// How many sessions `vault` has open, given those that the cache knows of.
    pub fn open(&self, vault: &str, cached: impl IntoIterator<Item = Open>, now: Duration) -> usize {
        self.lock().open(vault, cached, now).len()
    }

    /// How many jobs wait for `vault`.
    pub fn waiting(&self, vault: &str) -> usize {
        self.lock().waiting.values().filter(|(waiting, _)| waiting.vault == vault).count()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The sessions of `vault` that are open: those in the cache, less those closed since, and those let in.
    fn open(&mut self, vault: &str, cached: impl IntoIterator<Item = Open>, now: Duration) -> HashSet<Open> {
        self.closed.retain(|_, at| now.saturating_sub(*at) < STALE);
        cached
            .into_iter()
            .filter(|open| !self.closed.contains_key(&open.uid))
            .chain(self.granted.values().cloned())
            .filter(|open| open.vault == vault)
            .collect()
    }

    fn next(&self, vault: &str) -> Vec<Candidate> {
        let open = self.granted.values().filter(|open| open.vault == vault).cloned().collect();
        self.in_order(vault, &open).into_iter().cloned().collect()
    }

    /// The jobs that wait for `vault`, those first that go first. Letting one in counts against its namespace, so
    /// that a namespace with a hundred jobs does not keep another's only job waiting.
    fn in_order(&self, vault: &str, open: &HashSet<Open>) -> Vec<&Candidate> {
        let mut shares: HashMap<&str, usize> = HashMap::new();
        for open in open {
            *shares.entry(open.namespace.as_str()).or_default() += 1;
        }
        let mut oldest_first: Vec<&Candidate> = self
            .waiting
            .values()
            .map(|(waiting, _)| waiting)
            .filter(|waiting| waiting.vault == vault)
            .collect();
        oldest_first.sort_by(|a, b| (a.created, &a.uid).cmp(&(b.created, &b.uid)));
        // A job's round is its place within its own namespace, after the sessions that the namespace has open.
        let mut rounds: Vec<(usize, &Candidate)> = oldest_first
            .into_iter()
            .map(|waiting| {
                let share = shares.entry(waiting.namespace.as_str()).or_default();
                *share += 1;
                (*share, waiting)
            })
            .collect();
        rounds.sort_by_key(|(round, _)| *round);
        rounds.into_iter().map(|(_, waiting)| waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const NOW: Duration = Duration::from_mins(10);

    fn candidate(namespace: &str, second: i64) -> Candidate {
        Candidate {
            uid: format!("{namespace}-{second}"),
            namespace: namespace.into(),
            name: String::new(),
            vault: "v".into(),
            created: jiff::Timestamp::from_second(second).unwrap(),
        }
    }

    fn none() -> Vec<Open> {
        Vec::new()
    }

    #[test]
    fn no_more_are_let_in_than_the_limit() {
        let admission = Admission::default();
        assert_eq!(admission.ask(candidate("a", 1), 2, none(), NOW), Turn::Granted);
        assert_eq!(admission.ask(candidate("a", 2), 2, none(), NOW), Turn::Granted);
        assert_eq!(
            admission.ask(candidate("a", 3), 2, none(), NOW),
            Turn::Queued { ahead: 0, open: 2, limit: 2 }
        );
        assert_eq!(
            admission.ask(candidate("a", 1), 2, none(), NOW),
            Turn::Granted,
            "asking again is no second session"
        );
        assert_eq!(admission.closed("a-1", "v", NOW).len(), 1);
        assert_eq!(admission.ask(candidate("a", 3), 2, none(), NOW), Turn::Granted);
    }

    #[test]
    fn a_job_that_is_gone_keeps_no_place() {
        let admission = Admission::default();
        assert_eq!(admission.ask(candidate("a", 1), 1, none(), NOW), Turn::Granted);
        assert!(matches!(admission.ask(candidate("a", 2), 1, none(), NOW), Turn::Queued { .. }));
        assert_eq!(admission.gone(|_| true), Vec::<String>::new());
        let gone = admission.gone(|open| open.uid != "a-1");
        assert_eq!(gone, ["a-1"]);
        assert_eq!(admission.leave(&gone[0]).len(), 1, "the next one is told");
        assert_eq!(admission.ask(candidate("a", 2), 1, none(), NOW), Turn::Granted);
    }

    #[test]
    fn sessions_in_the_cache_count_once() {
        let admission = Admission::default();
        let cached =
            Open { uid: "a-1".into(), namespace: "a".into(), name: String::new(), vault: "v".into() };
        assert_eq!(admission.ask(candidate("a", 1), 2, none(), NOW), Turn::Granted);
        assert_eq!(admission.ask(candidate("a", 2), 2, [cached], NOW), Turn::Granted);
    }

    #[test]
    fn a_closed_session_that_the_cache_still_shows_does_not_count() {
        let admission = Admission::default();
        let cached =
            || [Open { uid: "a-1".into(), namespace: "a".into(), name: String::new(), vault: "v".into() }];
        assert!(matches!(admission.ask(candidate("a", 2), 1, cached(), NOW), Turn::Queued { open: 1, .. }));
        assert_eq!(admission.closed("a-1", "v", NOW).len(), 1);
        assert_eq!(admission.ask(candidate("a", 2), 1, cached(), NOW), Turn::Granted);
    }

    #[test]
    fn the_oldest_goes_first() {
        let admission = Admission::default();
        admission.ask(candidate("a", 0), 1, none(), NOW);
        assert!(matches!(admission.ask(candidate("a", 9), 1, none(), NOW), Turn::Queued { ahead: 0, .. }));
        assert!(matches!(admission.ask(candidate("a", 5), 1, none(), NOW), Turn::Queued { ahead: 0, .. }));
        assert!(matches!(admission.ask(candidate("a", 9), 1, none(), NOW), Turn::Queued { ahead: 1, .. }));
        let next: Vec<String> = admission.leave("a-0").into_iter().map(|waiting| waiting.uid).collect();
        assert_eq!(next, ["a-5", "a-9"]);
        assert!(matches!(admission.ask(candidate("a", 9), 1, none(), NOW), Turn::Queued { ahead: 1, .. }));
        assert_eq!(admission.ask(candidate("a", 5), 1, none(), NOW), Turn::Granted);
    }

    #[test]
    fn a_namespace_with_many_jobs_does_not_hold_up_another() {
        let admission = Admission::default();
        admission.ask(candidate("crowd", 0), 1, none(), NOW);
        for second in 1..50 {
            admission.ask(candidate("crowd", second), 1, none(), NOW);
        }
        assert!(matches!(
            admission.ask(candidate("single", 99), 1, none(), NOW),
            Turn::Queued { ahead: 0, .. }
        ));
    }
}
