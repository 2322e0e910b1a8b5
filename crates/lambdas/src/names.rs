//! The names that everything of a session carries: object keys of the state bucket, tags, EC2's ids.

use std::fmt;

use drawbridge_protocol::{SessionId, Sha256};
use serde::{Deserialize, Serialize};

/// Tag keys. What EC2 has of a session is found by them, whatever the saved state says.
pub mod tag {
    /// The stack, so that two stacks of one account never touch each other's boxes.
    pub const STACK: &str = "drawbridge:stack";
    /// The session.
    pub const SESSION: &str = "drawbridge:session";
    /// When the session ends, RFC 3339.
    pub const DEADLINE: &str = "drawbridge:deadline";
    /// What people see in a console.
    pub const NAME: &str = "Name";
}

/// Keys of the state bucket.
pub mod key {
    use drawbridge_protocol::{JobRef, SeriesName};
    use jiff::civil::Date;

    use super::{SessionId, Sha256};

    pub const SLOTS: &str = "slots/";
    pub const SESSIONS: &str = "sessions/";
    pub const BOOT: &str = "boot/";
    pub const READY: &str = "ready/";
    /// Where the sweeper leaves its mark.
    pub const SWEEPS: &str = "sweeps/";

    /// The mark of the last sweep that came to its end. Its age says whether the sweeper is alive.
    pub fn last_sweep() -> String {
        format!("{SWEEPS}last.json")
    }
    const PROGRAM: &str = "boot/program/";
    pub const DAYS: &str = "days/";
    /// While it is there no box is made. No role of the stack may write or delete it: it is an administrator's.
    pub const STOP: &str = "switch/stop";

    pub fn slot(number: u32) -> String {
        format!("{SLOTS}{number}")
    }

    pub fn session(session: &SessionId) -> String {
        format!("{SESSIONS}{session}.json")
    }

    pub fn orders(session: &SessionId) -> String {
        format!("{BOOT}{session}/orders.json")
    }

    /// The box's program; it lies there for every session, under its digest.
    pub fn program(digest: &Sha256) -> String {
        format!("{PROGRAM}{digest}")
    }

    pub fn ready(session: &SessionId) -> String {
        format!("{READY}{session}.json")
    }

    /// How many sessions were opened on that day.
    pub fn day(day: Date) -> String {
        format!("{DAYS}{day}")
    }

    /// Tombstones. There is one for every session that was ever closed: nothing may list them.
    pub const CLOSED: &str = "closed/";

    /// The tombstone of a closed session. It is kept for good: a session id stands in its job's status for anybody to
    /// read, and whoever could open it again with a key of his own would get a certificate for its prefix.
    pub fn closed(session: &SessionId) -> String {
        format!("{CLOSED}{session}")
    }

    /// The newest stored run of a job's series. A job without a series is its own.
    pub fn baseline(job: &JobRef, series: Option<&SeriesName>) -> String {
        let series = series.map_or(job.name.as_str(), SeriesName::as_str);
        format!("baselines/{}/{series}.json", job.namespace)
    }

    /// Whether a key under one of the prefixes above is one that we make.
    pub fn is_ours(key: &str) -> bool {
        let of_slot = key.strip_prefix(SLOTS).is_some_and(|number| number.parse::<u32>().is_ok());
        of_slot || key.starts_with(PROGRAM) || session_of(key).is_some()
    }

    /// Whether `cleanup` may delete a key that is not ours, as the statement `RemoveState` of its policy has it.
    pub fn is_removable(key: &str) -> bool {
        let orders = |name: &str| name.ends_with("/orders.json");
        [SLOTS, SESSIONS, READY].iter().any(|prefix| key.starts_with(prefix))
            || key.strip_prefix(BOOT).is_some_and(orders)
    }

    /// The session that a key under one of the prefixes above belongs to.
    pub fn session_of(key: &str) -> Option<SessionId> {
        let name = key.strip_prefix(SESSIONS).or_else(|| key.strip_prefix(READY));
        let id = match name {
            Some(name) => name.strip_suffix(".json")?,
            None => key.strip_prefix(BOOT)?.split('/').next()?,
        };
        id.parse().ok()
    }
}

/// The name of a session's security group, and the `Name` tag of all it has.
pub fn resource_name(session: &SessionId) -> String {
    format!("drawbridge-{session}")
}

/// Implements what all of EC2's ids have in common.
macro_rules! ec2_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

ec2_id!(
    /// `i-...`
    InstanceId
);
ec2_id!(
    /// `eni-...`
    InterfaceId
);
ec2_id!(
    /// `sg-...`
    GroupId
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_names_its_session_and_the_program_names_none() {
        let session: SessionId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        for key in [key::session(&session), key::ready(&session), key::orders(&session)] {
            assert_eq!(key::session_of(&key), Some(session.clone()), "{key}");
        }
        for key in
            [key::program(&Sha256::of(b"x")), key::slot(1), key::closed(&session), "sessions/x.json".into()]
        {
            assert_eq!(key::session_of(&key), None, "{key}");
        }
    }

    #[test]
    fn what_is_removable_is_what_cleanup_s_policy_lets_it_delete() {
        let policy = include_str!("../../../infra/policies/cleanup.json");
        let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
        let statements = policy["Statement"].as_array().unwrap();
        let remove = statements.iter().find(|statement| statement["Sid"] == "RemoveState").unwrap();
        let patterns = remove["Resource"].as_array().unwrap().iter().map(|arn| {
            let pattern =
                arn.as_str().unwrap().strip_prefix("arn:${Partition}:s3:::${StateBucket}/").unwrap();
            pattern.split_once('*').unwrap()
        });
        let patterns: Vec<(&str, &str)> = patterns.collect();
        let allowed = |key: &str| {
            let holds = |(begin, end): &(&str, &str)| {
                key.strip_prefix(*begin).is_some_and(|rest| rest.ends_with(*end))
            };
            patterns.iter().any(holds)
        };
        let removable =
            ["slots/x", "sessions/x.json", "ready/x", "boot/x/orders.json", "boot/x/y/orders.json"];
        let kept =
            ["boot/x", "boot/x/orders", "boot/orders.json", "closed/x", "days/x", "sweeps/x", "baselines/x"];
        for (keys, expected) in [(&removable[..], true), (&kept[..], false)] {
            for key in keys {
                assert_eq!((key::is_removable(key), allowed(key)), (expected, expected), "{key}");
            }
        }
    }

    #[test]
    fn a_key_that_is_neither_a_slot_s_nor_a_session_s_is_not_ours() {
        let session: SessionId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        for ours in
            [key::slot(7), key::session(&session), key::orders(&session), key::program(&Sha256::of(b"x"))]
        {
            assert!(key::is_ours(&ours), "{ours}");
        }
        for strange in ["slots/x", "slots/", "sessions/x.json", "ready/x", "boot/x/orders.json"] {
            assert!(!key::is_ours(strange), "{strange}");
        }
    }
}
