//! What there is, as the lists of S3 and EC2 show it: by session, and what no session owns.

use std::collections::BTreeMap;

use drawbridge_protocol::{SessionId, json};
use jiff::Timestamp;

use crate::{
    cleanup::Cleaner,
    error::Error,
    machines::{InstanceState, Interface, Of},
    names::{GroupId, InstanceId, key},
    state::Slot,
    store::{MAX_SLOT, Store, StoreError, TakenSlot},
};

/// What was seen of a session.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Something that `create` makes only after it saved the state.
    pub(super) made: bool,
    /// As its slot or its instance's tag says.
    pub(super) deadline: Option<Timestamp>,
    /// Those that are not terminated.
    pub(super) instances: BTreeMap<InstanceId, InstanceState>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) groups: Vec<GroupId>,
}

/// What bears our marks and names no session.
#[derive(Debug, Default)]
pub(super) struct Strays {
    pub(super) instances: Vec<InstanceId>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) groups: Vec<GroupId>,
    pub(super) slots: Vec<TakenSlot>,
    pub(super) objects: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Sightings {
    pub(super) sessions: BTreeMap<SessionId, Seen>,
    pub(super) strays: Strays,
}

impl Sightings {
    /// What was seen of the session so far, now that something was that only a saved session has.
    fn made(&mut self, session: SessionId) -> &mut Seen {
        let seen = self.sessions.entry(session).or_default();
        seen.made = true;
        seen
    }
}

impl Cleaner {
    /// Looks at everything that boxes cannot make. State is read later, session by session: `create` saves it before it makes anything, so
    /// what is in here and has none then belongs to nobody.
    pub(super) async fn look(&self) -> Result<Sightings, Error> {
        let mut seen = Sightings::default();
        self.see_state(&mut seen).await?;
        self.see_ec2(&mut seen).await?;
        Ok(seen)
    }

    async fn see_state(&self, seen: &mut Sightings) -> Result<(), Error> {
        for taken in self.destroyer.store.slots().await? {
            match &taken.slot {
                Some(slot) => {
                    seen.sessions.entry(slot.session.clone()).or_default().deadline = Some(slot.deadline);
                }
                None => seen.strays.slots.push(taken),
            }
        }
        // A state object counts as made: should it vanish before it is loaded below, its session was closed.
        for session in self.destroyer.store.sessions().await? {
            seen.made(session);
        }
        seen.strays.objects = self.destroyer.store.strays().await?;
        Ok(())
    }

    async fn see_ec2(&self, seen: &mut Sightings) -> Result<(), Error> {
        let machines = &self.destroyer.machines;
        for instance in machines.instances(Of::Stack).await? {
            if instance.state == InstanceState::Terminated {
                continue;
            }
            if let Some(session) = instance.session {
                let seen = seen.made(session);
                seen.deadline = seen.deadline.or(instance.deadline);
                seen.instances.insert(instance.id, instance.state);
            } else {
                seen.strays.instances.push(instance.id);
            }
        }
        for interface in machines.interfaces(Of::Stack).await? {
            match interface.session.clone() {
                Some(session) => seen.made(session).interfaces.push(interface),
                None => seen.strays.interfaces.push(interface),
            }
        }
        for group in machines.groups(Of::Stack).await? {
            match group.session {
                Some(session) => seen.made(session).groups.push(group.id),
                None => seen.strays.groups.push(group.id),
            }
        }
        Ok(())
    }

    /// Whether anything of a session is there now: a list may be older than the end of what it shows.
    pub(super) async fn still_there(&self, session: &SessionId) -> Result<bool, Error> {
        let (machines, of) = (&self.destroyer.machines, Of::Session(session));
        let instances = machines.instances(of).await?;
        let slots = self.destroyer.store.slots().await?;
        Ok(instances.iter().any(|instance| instance.state != InstanceState::Terminated)
            || !machines.interfaces(of).await?.is_empty()
            || !machines.groups(of).await?.is_empty()
            || slots.iter().any(|taken| taken.slot.as_ref().is_some_and(|slot| slot.session == *session))
            || self.destroyer.store.sessions().await?.contains(session))
    }
}

impl Store {
    /// Whether the slot is the session's now.
    pub(super) async fn holds_slot(&self, session: &SessionId, number: u32) -> Result<bool, StoreError> {
        let Some(object) = self.0.get(&key::slot(number), MAX_SLOT).await? else { return Ok(false) };
        let slot = json::parse::<Slot>("slot", &object.bytes, MAX_SLOT);
        Ok(slot.is_ok_and(|slot| slot.session == *session))
    }

    /// Objects where only slots and sessions have some, at keys of neither.
    async fn strays(&self) -> Result<Vec<String>, StoreError> {
        let mut strays = Vec::new();
        for prefix in [key::SLOTS, key::SESSIONS, key::BOOT, key::READY] {
            strays.extend(self.0.list(prefix).await?.into_iter().filter(|key| !key::is_ours(key)));
        }
        Ok(strays)
    }

    /// Deletes one of them. No session makes such a key, so nobody's is lost whenever it was put.
    pub(super) async fn delete_stray(&self, key: &str) -> Result<(), StoreError> {
        self.0.delete(key, None).await
    }
}
