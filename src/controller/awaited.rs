//! Jobs that wait until somebody has looked at their vault's posture.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use crate::api::BackupJob;

type Waiting = HashSet<ObjectRef<BackupJob>>;

#[derive(Debug, Default)]
struct Inner {
    /// By vault.
    waiting: HashMap<String, Waiting>,
    /// By vault, the question whose answer its jobs were last told of.
    told: HashMap<String, Timestamp>,
}

/// Who waits, of all vaults. In memory: after a restart each job asks again.
#[derive(Debug, Default)]
pub struct Awaited(Mutex<Inner>);

impl Awaited {
    pub fn add(&self, vault: &str, job: ObjectRef<BackupJob>) {
        self.lock().waiting.entry(vault.to_owned()).or_default().insert(job);
    }

    pub fn is_awaited(&self, vault: &str) -> bool {
        self.lock().waiting.contains_key(vault)
    }

    /// The question asked at `asked_at` was answered, and the cache has it. Gives those that waited, once an answer: a job
    /// that asks because of what this answer said waits for the next.
    pub fn answered(&self, vault: &str, asked_at: Timestamp) -> Waiting {
        let mut inner = self.lock();
        if inner.told.insert(vault.to_owned(), asked_at) == Some(asked_at) {
            return Waiting::default();
        }
        inner.waiting.remove(vault).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn those_that_wait_are_told_once_an_answer() {
        let awaited = Awaited::default();
        let job = || ObjectRef::<BackupJob>::new("j").within("ns");
        awaited.add("v", job());
        awaited.add("v", job());
        assert!(awaited.is_awaited("v") && !awaited.is_awaited("w"));
        assert_eq!(awaited.answered("w", at(1)).len(), 0);
        assert_eq!(awaited.answered("v", at(1)).len(), 1);
        assert!(!awaited.is_awaited("v"));
        awaited.add("v", job());
        assert_eq!(awaited.answered("v", at(1)).len(), 0, "it waits for the next answer");
        assert_eq!(awaited.answered("v", at(2)).len(), 1);
    }
}
