//! The state bucket, typed: slots, sessions, boot objects, reports, tombstones.
//!
//! Writes are conditional: a new key only where there is none, a session only over the version that was read.
//! S3 is strongly consistent, so whoever loses a race learns it from the write.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use drawbridge_protocol::{Orders, ReadyReport, SessionId, Sha256, Version, json, orders::MAX_ORDERS};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    names::{InstanceId, key},
    state::{Session, Slot},
};

/// The largest saved session: a launch request with 16 KiB of user data, escaped.
const MAX_SESSION: usize = 64 << 10;
pub(crate) const MAX_SLOT: usize = 4 << 10;
const MAX_TOMBSTONE: usize = 1 << 10;
const MAX_REPORT: usize = 16 << 10;
const MAX_MARK: usize = 1 << 10;

/// The state bucket failed, or holds something that is not ours.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("S3's {action} of '{object}' failed: {why}")]
    S3 { action: &'static str, object: String, why: String },
    #[error(
        "'{key}' in the state bucket cannot be read: {why}; it is removed when its session is cleaned up"
    )]
    Unreadable { key: String, why: String },
    #[error("'{key}' could not be written: {why}")]
    Unwritable { key: String, why: String },
}

/// When a write may happen.
#[derive(Clone, Copy, Debug)]
pub enum Condition<'a> {
    /// No object has the key.
    Absent,
    /// The object is the version with this ETag.
    Matches(&'a str),
}

/// What became of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// Written; the new version's ETag.
    Written(String),
    /// The condition did not hold.
    Refused,
}

/// An object with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub etag: String,
}

/// What we ask of one bucket of objects.
#[async_trait]
pub trait Objects: Send + Sync {
    /// The object, or nothing; an error when it is larger than `max` bytes.
    async fn get(&self, key: &str, max: usize) -> Result<Option<Object>, StoreError>;
    async fn exists(&self, key: &str) -> Result<bool, StoreError>;
    async fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition<'_>) -> Result<Put, StoreError>;
    /// Deletes the object, or only this version of it. It need not exist.
    async fn delete(&self, key: &str, etag: Option<&str>) -> Result<(), StoreError>;
    /// All keys under a prefix.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
    async fn presign_get(&self, key: &str, expires: Duration) -> Result<String, StoreError>;
    /// A PUT that must carry `if-none-match: *`.
    async fn presign_put_once(&self, key: &str, expires: Duration) -> Result<String, StoreError>;
}

/// A session as it was read, with the version that the next write must replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub session: Session,
    pub etag: String,
}

/// What lies at a session's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    Nothing,
    Session(Box<Saved>),
    /// Not a session of this version; why.
    Unreadable(String),
}

/// What lies at the key of a session that was closed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tombstone {
    version: Version,
    session: SessionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<InstanceId>,
}

/// What a sweep leaves.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepMark {
    version: Version,
    swept_at: Timestamp,
}

/// A slot that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenSlot {
    pub number: u32,
    /// Nothing when the object cannot be read.
    pub slot: Option<Slot>,
    etag: String,
}

/// The state bucket.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<dyn Objects>);

impl Store {
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self(objects)
    }

    /// Whether the session has a tombstone.
    pub async fn is_closed(&self, session: &SessionId) -> Result<bool, StoreError> {
        self.0.exists(&key::closed(session)).await
    }

    /// Puts the session's tombstone, unless it has one: no box is made for it from now on. `gone` is its machine, when
    /// that went down by itself.
    pub async fn close(&self, session: &SessionId, gone: Option<&InstanceId>) -> Result<(), StoreError> {
        let tombstone = Tombstone { version: Version, session: session.clone(), gone: gone.cloned() };
        self.put_json(&key::closed(session), &tombstone, Condition::Absent).await.map(|_| ())
    }

    /// The machine whose end closed the session, as its tombstone says.
    pub async fn closed_by(&self, session: &SessionId) -> Result<Option<InstanceId>, StoreError> {
        let Some(object) = self.0.get(&key::closed(session), MAX_TOMBSTONE).await? else { return Ok(None) };
        let tombstone = json::parse::<Tombstone>("tombstone", &object.bytes, MAX_TOMBSTONE);
        // It closes the session whatever it says.
        Ok(tombstone.ok().and_then(|tombstone| tombstone.gone))
    }

    pub async fn load(&self, session: &SessionId) -> Result<Loaded, StoreError> {
        let Some(object) = self.0.get(&key::session(session), MAX_SESSION).await? else {
            return Ok(Loaded::Nothing);
        };
        Ok(match json::parse::<Session>("saved session", &object.bytes, MAX_SESSION) {
            Ok(session) => Loaded::Session(Box::new(Saved { session, etag: object.etag })),
            Err(error) => Loaded::Unreadable(error.to_string()),
        })
    }

    /// Saves a session: a new one, or over the version `etag`. Nothing when somebody else was first.
    pub async fn save(&self, session: Session, etag: Option<&str>) -> Result<Option<Saved>, StoreError> {
        let condition = etag.map_or(Condition::Absent, Condition::Matches);
        let key = key::session(&session.session);
        Ok(match self.put_json(&key, &session, condition).await? {
            Put::Written(etag) => Some(Saved { session, etag }),
            Put::Refused => None,
        })
    }

    pub async fn delete_session(&self, session: &SessionId) -> Result<(), StoreError> {
        self.0.delete(&key::session(session), None).await
    }

    /// Takes slot `number`, unless somebody has it.
    pub async fn take_slot(&self, number: u32, slot: &Slot) -> Result<bool, StoreError> {
        let put = self.put_json(&key::slot(number), slot, Condition::Absent).await?;
        Ok(put != Put::Refused)
    }

    /// All slots that are taken.
    pub async fn slots(&self) -> Result<Vec<TakenSlot>, StoreError> {
        let mut taken = Vec::new();
        for key in self.0.list(key::SLOTS).await? {
            let Some(number) = key.strip_prefix(key::SLOTS).and_then(|number| number.parse().ok()) else {
                continue;
            };
            let Some(object) = self.0.get(&key, MAX_SLOT).await? else { continue };
            let slot = json::parse("slot", &object.bytes, MAX_SLOT).ok();
            taken.push(TakenSlot { number, slot, etag: object.etag });
        }
        Ok(taken)
    }

    /// Frees a slot, unless another session has taken it since it was read.
    pub async fn free_slot(&self, taken: &TakenSlot) -> Result<(), StoreError> {
        self.0.delete(&key::slot(taken.number), Some(&taken.etag)).await
    }

    /// Frees every slot of the session but `keep`.
    pub async fn free_slots_of(&self, session: &SessionId, keep: Option<u32>) -> Result<(), StoreError> {
        for taken in self.slots().await? {
            let of_session = taken.slot.as_ref().is_some_and(|slot| slot.session == *session);
            if of_session && keep != Some(taken.number) {
                self.free_slot(&taken).await?;
            }
        }
        Ok(())
    }

    /// Puts the box's program where it is not yet.
    pub async fn ensure_program(&self, digest: &Sha256, program: &[u8]) -> Result<(), StoreError> {
        let key = key::program(digest);
        if !self.0.exists(&key).await? {
            self.0.put(&key, program.to_vec(), Condition::Absent).await?;
        }
        Ok(())
    }

    /// Puts the orders once. The digest is that of the orders that lie there, ours or an earlier call's:
    /// presigned URLs differ from call to call, and the box gets one digest.
    pub async fn put_orders(&self, orders: &Orders) -> Result<Sha256, StoreError> {
        let key = key::orders(&orders.session);
        let bytes = to_json(&key, orders)?;
        let digest = Sha256::of(&bytes);
        if let Put::Written(_) = self.0.put(&key, bytes, Condition::Absent).await? {
            return Ok(digest);
        }
        match self.0.get(&key, MAX_ORDERS).await? {
            Some(object) => Ok(Sha256::of(&object.bytes)),
            None => {
                Err(StoreError::Unwritable { key, why: "it was there and is gone; ask again".to_owned() })
            }
        }
    }

    /// The box's report, or nothing yet; an error when it is not one.
    pub async fn report(&self, session: &SessionId) -> Result<Option<ReadyReport>, StoreError> {
        self.get_json(&key::ready(session), "report", MAX_REPORT).await
    }

    /// Deletes the orders and the report.
    pub async fn delete_boot(&self, session: &SessionId) -> Result<(), StoreError> {
        self.0.delete(&key::orders(session), None).await?;
        self.0.delete(&key::ready(session), None).await
    }

    /// Leaves the mark of a sweep that came to its end. Whoever is first of two at once leaves it for both.
    pub async fn mark_sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let key = key::last_sweep();
        let before = self.0.get(&key, MAX_MARK).await?;
        let condition = before.as_ref().map_or(Condition::Absent, |mark| Condition::Matches(&mark.etag));
        self.put_json(&key, &SweepMark { version: Version, swept_at: now }, condition).await.map(|_| ())
    }

    /// Every session that has an object under `sessions/`, `boot/` or `ready/`.
    pub async fn sessions(&self) -> Result<Vec<SessionId>, StoreError> {
        let mut found = Vec::new();
        for prefix in [key::SESSIONS, key::BOOT, key::READY] {
            found.extend(self.0.list(prefix).await?.iter().filter_map(|key| key::session_of(key)));
        }
        Ok(found)
    }

    pub async fn program_url(&self, digest: &Sha256, expires: Duration) -> Result<String, StoreError> {
        self.0.presign_get(&key::program(digest), expires).await
    }

    pub async fn orders_url(&self, session: &SessionId, expires: Duration) -> Result<String, StoreError> {
        self.0.presign_get(&key::orders(session), expires).await
    }

    pub async fn ready_url(&self, session: &SessionId, expires: Duration) -> Result<String, StoreError> {
        self.0.presign_put_once(&key::ready(session), expires).await
    }

    async fn put_json<T: Serialize + Sync>(
        &self,
        key: &str,
        value: &T,
        condition: Condition<'_>,
    ) -> Result<Put, StoreError> {
        self.0.put(key, to_json(key, value)?, condition).await
    }

    async fn get_json<T: DeserializeOwned>(
        &self,
        key: &str,
        what: &'static str,
        max: usize,
    ) -> Result<Option<T>, StoreError> {
        let Some(object) = self.0.get(key, max).await? else { return Ok(None) };
        let unreadable = |why: drawbridge_protocol::ProtocolError| StoreError::Unreadable {
            key: key.to_owned(),
            why: why.to_string(),
        };
        json::parse(what, &object.bytes, max).map(Some).map_err(unreadable)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

pub(crate) fn to_json<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    json::write("state", value)
        .map_err(|error| StoreError::Unwritable { key: key.to_owned(), why: error.to_string() })
}
