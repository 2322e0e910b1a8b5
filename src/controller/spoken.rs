//! Which revision of the protocol each stack was last heard to speak. This process alone knows it; the vaults' conditions
//! show it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use drawbridge_protocol::Revision;

use crate::broker::Function;

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// Chosen for a session.
    Revision(Revision),
    /// None in common; the message says whom to upgrade.
    Nothing(String),
}

/// What was heard from each `create`.
#[derive(Debug, Default)]
pub struct Heard(Mutex<HashMap<Function, Spoken>>);

impl Heard {
    /// Keeps what `create` last said; says whether that is news.
    pub fn note(&self, create: Function, spoken: Spoken) -> bool {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(create, spoken.clone()) != Some(spoken)
    }

    /// What `create` last said to this process.
    pub fn of(&self, create: &Function) -> Option<Spoken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(create).cloned()
    }
}
