//! What is saved of one session, and through which phases it goes.
//!
//! A phase is saved before the call that it announces and again with what the call made, so whoever reads the
//! state knows what exists and what may be about to exist.

use drawbridge_protocol::{
    Certificate, JobRef, Revision, SeriesName, SessionId, Sha256, SshPublicKey, Version,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    machines::Launch,
    names::{GroupId, InstanceId, InterfaceId},
};

/// One session as `sessions/<session>.json` holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub version: Version,
    pub session: SessionId,
    pub job: JobRef,
    pub client_key: SshPublicKey,
    /// As the request named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesName>,
    pub slot: u32,
    pub deadline: Timestamp,
    pub saved_at: Timestamp,
    /// A call of `create` that makes something may be under way until then: it is that call's own time limit.
    /// Until then nobody may say that nothing is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_until: Option<Timestamp>,
    /// A RunInstances request may have been sent whose answer nobody saved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unanswered: bool,
    pub phase: Phase,
    /// Of the session key that the box reported; saved before anyone gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// What was chosen when the session was claimed; absent: the first, or a session that the release before claimed.
    #[serde(default, skip_serializing_if = "Revision::is_first")]
    pub revision: Revision,
}

/// How far a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// It holds its slot; its security group comes next.
    Claimed,
    /// The exact RunInstances request; it is about to be sent, or was.
    Launching(Box<Launch>),
    /// EC2 accepted the request; the private interface comes when the machine runs.
    Launched(Machine),
    /// The private interface exists and is to be attached.
    Interfaced { machine: Machine, interface: InterfaceId },
    /// It is attached, and goes with the machine. What is missing is the box's report.
    Booting { machine: Machine, interface: InterfaceId },
    /// Somebody ends the session. `create` can save nothing any more.
    Closing(Remains),
}

/// The machine of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    pub instance: InstanceId,
    pub group: GroupId,
    /// The digest of the program that user data names; the box must report the same.
    pub program: Sha256,
}

/// What is known to exist of a session besides what carries its tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remains {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<InterfaceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
}

impl Phase {
    /// What exists in this phase, as far as the state knows.
    pub fn remains(&self) -> Remains {
        match self {
            Self::Claimed => Remains::default(),
            Self::Launching(launch) => Remains { group: Some(launch.group.clone()), ..Remains::default() },
            Self::Launched(machine) => machine.remains(None),
            Self::Interfaced { machine, interface } | Self::Booting { machine, interface } => {
                machine.remains(Some(interface.clone()))
            }
            Self::Closing(remains) => remains.clone(),
        }
    }

    /// Whether EC2 was asked for the machine and said yes: nothing more is made for it than its private interface.
    pub fn is_launched(&self) -> bool {
        !matches!(self, Self::Claimed | Self::Launching(_))
    }

    /// For logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Launching(_) => "launching",
            Self::Launched(_) => "launched",
            Self::Interfaced { .. } => "interfaced",
            Self::Booting { .. } => "booting",
            Self::Closing(_) => "closing",
        }
    }
}

impl Machine {
    fn remains(&self, interface: Option<InterfaceId>) -> Remains {
        Remains { instance: Some(self.instance.clone()), interface, group: Some(self.group.clone()) }
    }
}

impl Remains {
    /// Both, `self` first.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            instance: self.instance.or(other.instance),
            interface: self.interface.or(other.interface),
            group: self.group.or(other.group),
        }
    }
}

/// One of the stack's slots as `slots/<n>` holds it: the right to have a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    pub version: Version,
    pub session: SessionId,
    pub deadline: Timestamp,
}

/// How many sessions were opened on a day, as `days/<date>` holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Day {
    pub version: Version,
    pub sessions: u32,
    /// The newest of them: a call that is made again counts its session once.
    pub newest: Vec<SessionId>,
}

/// The moment of one invocation: when it is, and when Lambda ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub now: Timestamp,
    pub until: Timestamp,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn machine() -> Machine {
        let (instance, group) = (InstanceId::new("i-1"), GroupId::new("sg-1"));
        Machine { instance, group, program: Sha256::of(b"program") }
    }

    #[test]
    fn each_phase_knows_what_it_has_made() {
        let interface = InterfaceId::new("eni-1");
        assert_eq!(Phase::Claimed.remains(), Remains::default());
        let launched = Phase::Launched(machine()).remains();
        assert_eq!((launched.instance.is_some(), launched.interface.is_some()), (true, false));
        let booting = Phase::Booting { machine: machine(), interface }.remains();
        assert!(booting.instance.is_some() && booting.interface.is_some() && booting.group.is_some());
        assert_eq!(Phase::Closing(booting.clone()).remains(), booting);
    }

    #[test]
    fn the_first_of_two_remains_wins() {
        let one = Remains { instance: Some(InstanceId::new("i-1")), ..Remains::default() };
        let two = Remains {
            instance: Some(InstanceId::new("i-2")),
            group: Some(GroupId::new("sg-2")),
            interface: None,
        };
        let both = one.or(two);
        assert_eq!(both.instance.unwrap().as_str(), "i-1");
        assert_eq!(both.group.unwrap().as_str(), "sg-2");
    }
}
