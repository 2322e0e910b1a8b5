//! The sweep: which sessions should have ended and have not.
//!
//! It looks from both sides. From the state: sessions and slots past their deadline and grace, and those that
//! somebody began to close. From what exists: instances, interfaces, groups, boot objects and unfinished uploads of
//! sessions without state. `create` saves the state before it makes anything, so what has none belongs to nobody.

use std::collections::{BTreeMap, BTreeSet};

use drawbridge_protocol::SessionId;
use jiff::Timestamp;
use tracing::{info, warn};

use crate::{
    cleanup::Cleaner,
    error::Error,
    machines::{InstanceState, Of},
    state::Phase,
    store::Loaded,
    uploads::cluster_prefix,
};

/// What was seen of a session.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Something that `create` makes only after it saved the state.
    made: bool,
    /// As its slot or its instance's tag says.
    deadline: Option<Timestamp>,
}

type Sightings = BTreeMap<SessionId, Seen>;

impl Cleaner {
    /// The sessions that should have ended.
    pub(crate) async fn due(&self, now: Timestamp) -> Result<BTreeSet<SessionId>, Error> {
        let mut seen = Sightings::new();
        self.see_state(&mut seen).await?;
        self.see_ec2(&mut seen).await?;
        for upload in self.destroyer.uploads.list(&cluster_prefix(&self.stack.cluster)).await? {
            if let Some(session) = upload.session(&self.stack.cluster) {
                seen.entry(session).or_default().made = true;
            }
        }
        let mut due = BTreeSet::new();
        for (session, seen) in seen {
            if let Some(why) = self.why_due(&session, seen, now).await? {
                info!(%session, why, "due");
                due.insert(session);
            }
        }
        Ok(due)
    }

    async fn see_state(&self, seen: &mut Sightings) -> Result<(), Error> {
        for taken in self.destroyer.store.slots().await? {
            if let Some(slot) = &taken.slot {
                seen.entry(slot.session.clone()).or_default().deadline = Some(slot.deadline);
            } else {
                warn!(slot = taken.number, "freeing a slot that cannot be read");
                self.destroyer.store.free_slot(&taken).await?;
            }
        }
        // A state object counts as made: should it vanish before it is loaded below, its session was closed.
        for session in self.destroyer.store.sessions().await? {
            seen.entry(session).or_default().made = true;
        }
        Ok(())
    }

    async fn see_ec2(&self, seen: &mut Sightings) -> Result<(), Error> {
        let machines = &self.destroyer.machines;
        for instance in machines.instances(Of::Stack).await? {
            if instance.state == InstanceState::Terminated {
                continue;
            }
            if let Some(session) = instance.session {
                let seen = seen.entry(session).or_default();
                seen.made = true;
                seen.deadline = seen.deadline.or(instance.deadline);
            } else {
                warn!(instance = %instance.id, "an instance carries the stack's tag and names no session");
            }
        }
        let interfaces = machines.interfaces(Of::Stack).await?.into_iter().map(|interface| interface.session);
        let groups = machines.groups(Of::Stack).await?.into_iter().map(|group| group.session);
        for session in interfaces.chain(groups).flatten() {
            seen.entry(session).or_default().made = true;
        }
        Ok(())
    }

    async fn why_due(
        &self,
        session: &SessionId,
        seen: Seen,
        now: Timestamp,
    ) -> Result<Option<&'static str>, Error> {
        let past = |deadline: Timestamp| now >= deadline + self.stack.grace;
        let why = match self.destroyer.store.load(session).await? {
            Loaded::Session(saved) => {
                let closing = matches!(saved.session.phase, Phase::Closing(_));
                (closing || past(saved.session.deadline)).then_some("past its deadline, or closing")
            }
            Loaded::Nothing if seen.made => Some("no state"),
            Loaded::Nothing | Loaded::Unreadable(_) => {
                seen.deadline.is_some_and(past).then_some("past its deadline")
            }
        };
        if why.is_some() {
            return Ok(why);
        }
        Ok(self.destroyer.store.is_closed(session).await?.then_some("closed"))
    }
}
