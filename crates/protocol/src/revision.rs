//! Which revision of the protocol a session speaks, where cluster and stack were upgraded apart.
//!
//! The wire's [`crate::Version`] says how a document is read; a revision says which fields and words it may hold. Everybody
//! refuses fields that he does not know, so nobody is sent one: `create`'s request names what the controller speaks, the
//! answer names what was chosen, and the session keeps to it until its end. `docs/upgrades.md` lists the revisions.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ProtocolError;

/// One revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(u16);

impl Revision {
    /// Of those who name none.
    pub const FIRST: Self = Self(1);
    /// Certificates beside signatures, findings in `Accepted`, versions of stored objects, what the box measured in the
    /// receipt, the series in `create`'s request, and refusals for the day and for the skew.
    pub const CERTIFIED: Self = Self(2);

    /// Of a peer that says nothing of revisions.
    pub fn is_first(&self) -> bool {
        *self == Self::FIRST
    }
}

impl Default for Revision {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The revisions that one side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Unchecked")]
pub struct Revisions {
    oldest: Revision,
    newest: Revision,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    oldest: Revision,
    newest: Revision,
}

impl TryFrom<Unchecked> for Revisions {
    type Error = ProtocolError;

    fn try_from(Unchecked { oldest, newest }: Unchecked) -> Result<Self, ProtocolError> {
        if oldest < Revision::FIRST || newest < oldest {
            return Err(ProtocolError::invalid("revisions", format!("{oldest} to {newest}")));
        }
        Ok(Self { oldest, newest })
    }
}

impl Revisions {
    /// What this release speaks: its own revision and that of the release before.
    pub const OURS: Self = Self { oldest: Revision::FIRST, newest: Revision::CERTIFIED };
    /// What a peer speaks that names none.
    pub const UNNAMED: Self = Self { oldest: Revision::FIRST, newest: Revision::FIRST };

    /// The newest that both speak. `self` is the stack's, `controller` what its request named.
    pub fn choose(self, controller: Self) -> Result<Revision, Skew> {
        let newest = self.newest.min(controller.newest);
        if newest < self.oldest.max(controller.oldest) {
            return Err(Skew { stack: self, controller });
        }
        Ok(newest)
    }

    /// Whether `revision` is one of them.
    pub fn contains(self, revision: Revision) -> bool {
        (self.oldest..=self.newest).contains(&revision)
    }

    /// The newest of them.
    pub fn newest(self) -> Revision {
        self.newest
    }

    /// From one number to another.
    pub fn of(oldest: u16, newest: u16) -> Result<Self, ProtocolError> {
        Unchecked { oldest: Revision(oldest), newest: Revision(newest) }.try_into()
    }
}

impl fmt::Display for Revisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oldest, newest } = self;
        if oldest == newest { write!(f, "{newest}") } else { write!(f, "{oldest} to {newest}") }
    }
}

/// Two sides without a revision in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the controller speaks revision {controller} of the protocol, the stack {stack}: upgrade the {}", self.older())]
pub struct Skew {
    pub stack: Revisions,
    pub controller: Revisions,
}

impl Skew {
    /// Who must be upgraded.
    pub fn older(&self) -> &'static str {
        if self.controller.newest < self.stack.newest { "controller" } else { "stack" }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(oldest: u16, newest: u16) -> Revisions {
        Revisions::of(oldest, newest).unwrap()
    }

    #[test]
    fn the_newest_that_both_speak_is_chosen_and_none_names_who_is_older() {
        let cases = [
            (of(1, 2), of(1, 2), Ok(2)),
            (of(1, 2), Revisions::UNNAMED, Ok(1)),
            (of(1, 2), of(2, 3), Ok(2)),
            (of(2, 3), of(1, 2), Ok(2)),
            (of(2, 3), Revisions::UNNAMED, Err("controller")),
            (of(1, 2), of(3, 4), Err("stack")),
        ];
        for (stack, controller, expected) in cases {
            let chosen = stack.choose(controller);
            let chosen = chosen.map(|revision| revision.0).map_err(|skew| skew.older());
            assert_eq!(chosen, expected, "stack {stack}, controller {controller}");
        }
        let said = of(2, 3).choose(Revisions::UNNAMED).unwrap_err().to_string();
        assert!(
            said.ends_with("speaks revision 1 of the protocol, the stack 2 to 3: upgrade the controller"),
            "{said}"
        );
    }

    #[test]
    fn revisions_that_are_none_are_refused() {
        for (oldest, newest) in [(0, 1), (2, 1), (0, 0)] {
            assert!(Revisions::of(oldest, newest).is_err(), "{oldest} to {newest}");
        }
        assert!(serde_json::from_str::<Revisions>(r#"{"oldest":2,"newest":1}"#).is_err());
        assert_eq!(serde_json::from_str::<Revisions>(r#"{"oldest":1,"newest":2}"#).unwrap(), Revisions::OURS);
    }
}
