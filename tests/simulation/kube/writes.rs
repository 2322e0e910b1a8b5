//! What the API server does with a write, and what it does without one of the guards.

use serde_json::{Value, json};

use super::{Key, Kubernetes};
use crate::{guards::Guard, time::Time, world::World};

/// An answer that is none: the HTTP status, the reason, the message.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) u16, pub(crate) &'static str, pub(crate) String);

type Answer = Result<Value, Refused>;

fn not_found(key: &Key) -> Refused {
    Refused(404, "NotFound", format!("{} not found", key.name))
}

fn conflict(key: &Key) -> Refused {
    Refused(409, "Conflict", format!("{}: the object has been modified", key.name))
}

impl Kubernetes {
    pub(super) fn read(&self, key: &Key) -> Answer {
        self.imagined(key).or_else(|| self.get(key)).ok_or_else(|| not_found(key))
    }

    pub(super) fn read_stale(&self, key: &Key, pick: u64) -> Answer {
        self.get_stale(key, pick).map_or_else(|| self.read(key), Ok)
    }

    /// `PUT .../status`.
    pub(super) fn put_status(&self, world: &World, key: &Key, body: &Value) -> Answer {
        let before = self.current(world, key, body)?;
        let mut after = before.clone();
        after["status"] = body["status"].clone();
        if world.without(Guard::FailuresCounted) {
            after["status"]["failures"] = json!(0);
        }
        if world.without(Guard::AbandonAfter) && !after["status"]["session"].is_null() {
            after["status"]["session"]["abandonAfter"] = json!("2028-01-01T00:00:00Z");
        }
        let opens = before["status"]["session"].is_null() && !after["status"]["session"].is_null();
        if opens && world.without(Guard::SessionBeforeAws) {
            self.imagine(key, after.clone());
            return Ok(after);
        }
        Ok(self.commit(world, key, Some(after)).unwrap_or_default())
    }

    /// `PATCH`, as a merge patch of metadata.
    pub(super) fn patch(&self, world: &World, key: &Key, body: &Value) -> Answer {
        let before = self.current(world, key, body)?;
        let mut after = before.clone();
        merge(&mut after, body);
        after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        let finalizers = |object: &Value| object["metadata"]["finalizers"].as_array().map_or(0, Vec::len);
        let deleted = !after["metadata"]["deletionTimestamp"].is_null();
        if finalizers(&after) > finalizers(&before) {
            if deleted {
                let why = "no new finalizers can be added if the object is being deleted";
                return Err(Refused(422, "Invalid", why.to_owned()));
            }
            if world.without(Guard::Finalizer) {
                return Ok(after);
            }
        }
        if deleted && finalizers(&after) == 0 {
            self.commit(world, key, None);
            return Ok(after);
        }
        Ok(self.commit(world, key, Some(after)).unwrap_or_default())
    }

    /// `DELETE`: at once, or, while a finalizer holds the object, by a deletion timestamp.
    pub(crate) fn delete(&self, world: &World, key: &Key, options: &Value) -> Answer {
        let before = self.read(key)?;
        let wanted = &options["preconditions"];
        for field in ["uid", "resourceVersion"] {
            if !wanted[field].is_null() && wanted[field] != before["metadata"][field] {
                return Err(conflict(key));
            }
        }
        let held = before["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        if !held {
            self.commit(world, key, None);
            return Ok(before);
        }
        let mut after = before;
        if after["metadata"]["deletionTimestamp"].is_null() {
            let generation = after["metadata"]["generation"].as_i64().unwrap_or(1);
            after["metadata"]["deletionTimestamp"] = json!(format!("{:.0}", world.time.now()));
            after["metadata"]["generation"] = json!(generation + 1);
        }
        Ok(self.commit(world, key, Some(after)).unwrap_or_default())
    }

    /// The object, if `body` speaks of it as it is.
    fn current(&self, world: &World, key: &Key, body: &Value) -> Answer {
        let before = self.read(key)?;
        let says = |field: &str| &body["metadata"][field];
        if !says("uid").is_null() && *says("uid") != before["metadata"]["uid"] {
            return Err(conflict(key));
        }
        let version = says("resourceVersion");
        let outdated = !version.is_null() && *version != before["metadata"]["resourceVersion"];
        if outdated && !world.without(Guard::ResourceVersion) {
            return Err(conflict(key));
        }
        Ok(before)
    }

    pub(super) fn pods(&self, namespace: &str) -> Value {
        let gone = self.0.lock().unwrap().pods_gone;
        let pod = |number: u32| {
            json!({
                "metadata": { "name": format!("web-{number}"), "namespace": namespace, "uid": "00" },
                "spec": { "containers": [{ "name": "web" }] },
                "status": { "phase": "Running" },
            })
        };
        let items: Vec<Value> = if gone { Vec::new() } else { (0..2).map(pod).collect() };
        json!({ "apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items })
    }
}

/// RFC 7396.
fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    for (field, value) in patch {
        if value.is_null() {
            if let Some(into) = into.as_object_mut() {
                into.remove(field);
            }
        } else if value.is_object() {
            if !into[field].is_object() {
                into[field] = json!({});
            }
            merge(&mut into[field], value);
        } else {
            into[field] = value.clone();
        }
    }
}

pub(super) fn token(time: &Time) -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
        "spec": { "audiences": [] },
        "status": { "token": "t", "expirationTimestamp": format!("{:.0}", time.now()) },
    })
}
