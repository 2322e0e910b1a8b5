//! Removes one thing at a time: what no session owns, and what a session has twice. What cannot be removed now is
//! found again by the next sweep.

use tracing::{error, warn};

use super::{
    Finding, Survey,
    sightings::{Seen, Strays},
};
use crate::{
    cleanup::Cleaner,
    machines::InstanceState,
    names::{InterfaceId, key},
    state::Session,
};

impl Cleaner {
    /// What bears our marks and names no session: no ending of a session would ever find it.
    pub(super) async fn remove_strays(&self, strays: Strays, survey: &mut Survey) {
        let Strays { instances, interfaces, groups, slots, objects } = strays;
        let machines = &self.destroyer.machines;
        for id in instances {
            survey.found(Finding::StrayInstance);
            removed(Finding::StrayInstance, id.as_str(), machines.terminate(&id).await);
        }
        for interface in interfaces {
            survey.found(Finding::StrayInterface);
            if interface.attachment.is_none() {
                self.remove_interface(Finding::StrayInterface, &interface.id).await;
            }
        }
        for id in groups {
            survey.found(Finding::StrayGroup);
            removed(Finding::StrayGroup, id.as_str(), machines.delete_group(&id).await);
        }
        for slot in slots {
            survey.found(Finding::StraySlot);
            removed(
                Finding::StraySlot,
                &slot.number.to_string(),
                self.destroyer.store.free_slot(&slot).await,
            );
        }
        for key in objects {
            if key::is_removable(&key) {
                survey.found(Finding::StrayObject);
                removed(Finding::StrayObject, &key, self.destroyer.store.delete_stray(&key).await);
            } else {
                warn!(key, finding = Finding::StrangeObject.name(), "an object that is no session's");
                survey.found(Finding::StrangeObject);
            }
        }
    }

    /// What a session has beside the machine, interface and group that its state names. The state was read after the
    /// lists, and it never names another machine than the first that it named.
    pub(super) async fn remove_seconds(&self, state: &Session, seen: &Seen, survey: &mut Survey) {
        let (machines, known) = (&self.destroyer.machines, state.phase.remains());
        if let Some(known) = known.instance {
            let ends = |state: &InstanceState| *state == InstanceState::ShuttingDown;
            for (id, _) in seen.instances.iter().filter(|(id, state)| **id != known && !ends(state)) {
                survey.found(Finding::SecondInstance);
                removed(Finding::SecondInstance, id.as_str(), machines.terminate(id).await);
            }
        }
        if let Some(known) = known.interface {
            let free = seen.interfaces.iter().filter(|interface| interface.attachment.is_none());
            for interface in free.filter(|interface| interface.id != known) {
                survey.found(Finding::SecondInterface);
                self.remove_interface(Finding::SecondInterface, &interface.id).await;
            }
        }
        if let Some(known) = known.group {
            for id in seen.groups.iter().filter(|id| **id != known) {
                survey.found(Finding::SecondGroup);
                removed(Finding::SecondGroup, id.as_str(), machines.delete_group(id).await);
            }
        }
    }

    async fn remove_interface(&self, finding: Finding, id: &InterfaceId) {
        removed(finding, id.as_str(), self.destroyer.machines.delete_interface(id).await);
    }
}

/// Says what became of it.
fn removed<E: std::fmt::Display>(finding: Finding, what: &str, result: Result<(), E>) {
    match result {
        Ok(()) => warn!(finding = finding.name(), what, "removed"),
        Err(error) => error!(finding = finding.name(), what, %error, "could not be removed"),
    }
}
