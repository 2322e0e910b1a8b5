//! The API server of one run: objects with resource versions, and watches that lag.
//!
//! It does what the controller's calls rely on: optimistic concurrency, the status subresource, merge patches,
//! finalizers and deletion timestamps, preconditions, generations. It leaves out admission, schemas (the types
//! themselves are parsed), field managers and anything that the controller never asks.

mod service;
mod writes;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::channel::mpsc;
use serde_json::{Value, json};

pub(crate) use service::{Accounts, client};

use crate::{guards::Guard, process::Process, world::World};

/// Older states of an object that a stale read may show.
const HISTORY: usize = 4;

/// What an object is found by. Namespaces are empty for what has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Job,
    Vault,
}

impl Key {
    pub(crate) fn job(namespace: &str, name: &str) -> Self {
        Self { kind: Kind::Job, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn vault(name: &str) -> Self {
        Self { kind: Kind::Vault, namespace: String::new(), name: name.to_owned() }
    }
}

/// A change as a watch tells it.
pub(crate) struct Change {
    /// When the watcher sees it.
    pub(crate) at: Duration,
    pub(crate) key: Key,
    pub(crate) object: Value,
    pub(crate) deleted: bool,
}

struct Watcher {
    process: Arc<Process>,
    changes: mpsc::UnboundedSender<Change>,
    last: Duration,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<Key, Value>,
    history: BTreeMap<Key, VecDeque<Value>>,
    watchers: Vec<Watcher>,
    counter: u64,
    pods_gone: bool,
    /// What is answered to readers although it is not kept; only where a guard is missing.
    imagined: BTreeMap<Key, Value>,
}

/// The API server.
#[derive(Default)]
pub(crate) struct Kubernetes(Mutex<Inner>);

impl Kubernetes {
    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        self.0.lock().unwrap().objects.get(key).cloned()
    }

    /// The object as it was some changes ago.
    fn get_stale(&self, key: &Key, pick: u64) -> Option<Value> {
        let inner = self.0.lock().unwrap();
        let past = inner.history.get(key)?;
        past.get(usize::try_from(pick).unwrap() % past.len().max(1)).cloned()
    }

    fn imagined(&self, key: &Key) -> Option<Value> {
        self.0.lock().unwrap().imagined.get(key).cloned()
    }

    fn imagine(&self, key: &Key, object: Value) {
        self.0.lock().unwrap().imagined.insert(key.clone(), object);
    }

    pub(crate) fn all(&self) -> Vec<(Key, Value)> {
        let inner = self.0.lock().unwrap();
        inner.objects.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn set_pods_gone(&self, gone: bool) {
        self.0.lock().unwrap().pods_gone = gone;
    }

    /// What there is, and all that changes from now on.
    pub(crate) fn watch(
        &self,
        process: &Arc<Process>,
    ) -> (Vec<(Key, Value)>, mpsc::UnboundedReceiver<Change>) {
        let (changes, receiver) = mpsc::unbounded();
        let all = self.all();
        let watcher = Watcher { process: Arc::clone(process), changes, last: Duration::ZERO };
        self.0.lock().unwrap().watchers.push(watcher);
        (all, receiver)
    }

    /// Makes an object as a user does.
    pub(crate) fn create(&self, world: &World, key: &Key, spec: Value) {
        if self.get(key).is_some() {
            return;
        }
        let uid = {
            let mut inner = self.0.lock().unwrap();
            inner.counter += 1;
            format!("{:08x}", inner.counter)
        };
        let kind = if key.kind == Kind::Job { "BackupJob" } else { "BackupVault" };
        let mut object = json!({
            "apiVersion": "drawbridge.dev/v1alpha1", "kind": kind, "spec": spec,
            "metadata": { "name": key.name, "uid": uid, "generation": 1,
                          "creationTimestamp": format!("{:.0}", world.time.now()) },
        });
        if !key.namespace.is_empty() {
            object["metadata"]["namespace"] = json!(key.namespace);
        }
        world.note(&format!("user: creates {kind} {}", key.name));
        self.commit(world, key, Some(object));
    }

    /// Changes a spec as a user does.
    pub(crate) fn edit(&self, world: &World, key: &Key, change: impl FnOnce(&mut Value)) {
        let Some(mut object) = self.get(key) else { return };
        change(&mut object);
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(1);
        object["metadata"]["generation"] = json!(generation + 1);
        self.commit(world, key, Some(object));
    }

    /// Keeps a state, or removes the object; tells the record and the watchers.
    fn commit(&self, world: &World, key: &Key, after: Option<Value>) -> Option<Value> {
        let before = self.get(key);
        if before.is_some() && before == after {
            return after;
        }
        let mut after = after;
        let mut inner = self.0.lock().unwrap();
        inner.imagined.remove(key);
        inner.counter += 1;
        if let Some(object) = &mut after {
            object["metadata"]["resourceVersion"] = json!(inner.counter.to_string());
        }
        if let Some(before) = &before {
            let past = inner.history.entry(key.clone()).or_default();
            past.push_front(before.clone());
            past.truncate(HISTORY);
        }
        match &after {
            Some(object) => inner.objects.insert(key.clone(), object.clone()),
            None => inner.objects.remove(key),
        };
        inner.watchers.retain(|watcher| !watcher.process.is_dead());
        for watcher in &mut inner.watchers {
            let slow = !world.faults.are_over(&world.time) && world.dice.per_mille(20);
            let lag = if slow { world.dice.seconds(1, 20) } else { world.dice.millis(1, 20) };
            watcher.last = watcher.last.max(world.time.elapsed() + lag);
            let (object, deleted) = match (&after, &before) {
                (Some(object), _) => (shown(world, object), false),
                (None, Some(before)) => (before.clone(), true),
                (None, None) => continue,
            };
            // The other side is gone when its process is.
            let _ = watcher.changes.unbounded_send(Change {
                at: watcher.last,
                key: key.clone(),
                object,
                deleted,
            });
        }
        drop(inner);
        if key.kind == Kind::Job {
            world.ledger.job(before.as_ref(), after.as_ref(), &world.time);
            note(world, key, after.as_ref());
        }
        after
    }
}

/// The object as readers see it.
fn shown(world: &World, object: &Value) -> Value {
    let mut object = object.clone();
    let ended = ["Complete", "Failed"].contains(&object["status"]["phase"].as_str().unwrap_or_default());
    if ended && world.without(Guard::PhaseRead) {
        object["status"]["phase"] = json!("Pending");
        object["status"]["conditions"] = json!([]);
    }
    object
}

fn note(world: &World, key: &Key, after: Option<&Value>) {
    let Some(after) = after else { return world.note(&format!("job {}: gone", key.name)) };
    let status = &after["status"];
    let reason = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Progressing");
    world.note(&format!(
        "job {}: {} attempt {} failures {} session {} [{}]{}{}",
        key.name,
        status["phase"].as_str().unwrap_or("new"),
        status["attempt"],
        status["failures"],
        status["session"]["id"].as_str().map_or("-", |id| &id[..6]),
        reason.and_then(|reason| reason["reason"].as_str()).unwrap_or_default(),
        if after["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty()) { " held" } else { "" },
        if after["metadata"]["deletionTimestamp"].is_null() { "" } else { " deleted" },
    ));
}
