//! What the sweep can find wrong, each with the name that its metric carries.

use std::collections::BTreeMap;

use serde::Serialize;

/// Declares the findings, their names and their reasons once.
macro_rules! findings {
    ($($(#[$doc:meta])+ $finding:ident = $name:literal),+ $(,)?) => {
        /// One thing that is on one side only, or too late.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Finding {
            $($(#[$doc])+ $finding),+
        }

        impl Finding {
            /// Every finding there is.
            pub const ALL: &[Self] = &[$(Self::$finding),+];

            /// Its name, for metrics and logs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$finding => $name),+
                }
            }
        }
    };
}

findings! {
    /// A session past its deadline and grace. It is ended: every other ending has failed.
    Expired = "expired",
    /// Somebody is closing a session that is not past its time. The sweep helps, and nothing is wrong.
    Closing = "closing",
    /// Something of a closed session. It is ended; an upload is aborted.
    Closed = "closed",
    /// Something of a session without state or tombstone. It is ended; an upload is aborted.
    NoState = "no_state",
    /// A saved state that cannot be read, and nothing shows a deadline. The session is ended.
    Unreadable = "unreadable",
    /// A saved state that cannot be read, of a session that has time left, or a machine. It is reported: what shows a
    /// deadline ends at it.
    UnreadableInTime = "unreadable_in_time",
    /// A session that could not be judged, for the error in the log. It is reported: the next sweep judges it.
    Unjudged = "unjudged",
    /// The state names a machine that EC2 has not, or that does not run any more. The session is ended.
    NoInstance = "no_instance",
    /// The state names a private interface that EC2 has not. The session is ended.
    NoInterface = "no_interface",
    /// The state names a security group that EC2 has not. The session is ended.
    NoGroup = "no_group",
    /// The state names a slot that is free or another's. It is reported: the session ends at its deadline.
    NoSlot = "no_slot",
    /// A machine beside the one that its session's state names. It is terminated.
    SecondInstance = "second_instance",
    /// A free interface beside the one that its session's state names. It is deleted.
    SecondInterface = "second_interface",
    /// A group beside the one that its session's state names. It is deleted.
    SecondGroup = "second_group",
    /// A machine with the stack's tag and no session's. It is terminated.
    StrayInstance = "stray_instance",
    /// An interface with the stack's tag and no session's. It is deleted.
    StrayInterface = "stray_interface",
    /// A group with the stack's tag and no session's. It is deleted.
    StrayGroup = "stray_group",
    /// An unfinished upload under the cluster's prefix at a key that is no session's. It is aborted.
    StrayUpload = "stray_upload",
    /// A slot that cannot be read. It is freed.
    StraySlot = "stray_slot",
    /// An object among those of sessions in the state bucket, at a key that is no session's. It is deleted.
    StrayObject = "stray_object",
    /// The same where no function of the stack may delete. It is reported.
    StrangeObject = "strange_object",
}

impl Finding {
    /// Whether something had gone wrong, so that somebody should know.
    pub fn is_wrong(self) -> bool {
        self != Self::Closing
    }

    /// Whether the sweep does no more about it than to tell.
    pub fn is_only_reported(self) -> bool {
        matches!(self, Self::UnreadableInTime | Self::Unjudged | Self::NoSlot | Self::StrangeObject)
    }
}

/// How often each was found.
pub type Tally = BTreeMap<Finding, u32>;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Finding;

    #[test]
    fn a_finding_has_one_name_in_metrics_and_in_the_log() {
        for finding in Finding::ALL {
            assert_eq!(serde_json::to_value(finding).unwrap(), finding.name());
        }
    }
}
