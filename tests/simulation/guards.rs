//! What keeps the promises, each piece by name. A run can do without one; then some invariant must break.
//!
//! None is switched in the product: the world around it stops doing its part. Where chance would seldom lead to the place
//! that a guard watches, the run without it is led there.
//!
//! Not among them: the time until which a call of `create` may be at work. Without it a late RunInstances names a security
//! group that cleanup has deleted, and EC2 refuses it; the model of the protocol, which has no groups, shows what it is for.

use std::time::Duration;

use crate::{
    dice::Dice,
    faults::Faults,
    ledger::Invariant,
    scenario::{Deed, Scenario},
};

macro_rules! guards {
    ($($(#[$doc:meta])* $name:ident => $($broken:ident)|+ : $text:literal),+ $(,)?) => {
        /// One guard.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Guard { $($(#[$doc])* $name),+ }

        impl Guard {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];

            /// What its absence breaks.
            pub(crate) fn breaks(self) -> &'static [Invariant] {
                match self { $(Self::$name => &[$(Invariant::$broken),+]),+ }
            }

            /// How it is taken away.
            pub(crate) fn without(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

guards! {
    ResourceVersion => OneSessionPerAttempt | SessionKept | SessionClosed :
        "the API server takes a status or a patch of any resource version",
    PhaseRead => TerminalStays :
        "the API server shows a finished job to its readers as one that waits",
    SessionBeforeAws => SessionWrittenFirst :
        "the API server shows the write that opens a session to its reader and keeps nothing of it",
    Finalizer => SessionKept :
        "the API server says yes to the patch that puts the finalizer on and does not",
    ReceiptSignature => ReceiptIssued :
        "the box's report names a session key that an impostor has, who signs receipts for what is not stored",
    WriteOnce => NoOverwrite :
        "the backup bucket ignores If-None-Match",
    ConditionalState => SlotLimit | OneBox | DestroyedStays | EverythingEnds | BoxEnds :
        "the state bucket ignores If-None-Match and If-Match",
    Tombstone => DestroyedStays :
        "the state bucket drops tombstones",
    ClientToken => OneBox | DestroyedStays :
        "EC2 ignores client tokens: the same request again, another machine",
    AskedUntilDestroyed => SessionClosed | DestroyedStays :
        "the first answer of cleanup reads as destroyed",
    Sweeper => BoxEnds :
        "boxes whose root disabled their own ends, AWS out of reach for a while, and no schedule that invokes cleanup",
    AbandonAfter => EverythingEnds :
        "AWS out of reach, and the API server changes abandonAfter to a year later",
    FailuresCounted => AttemptsBounded :
        "the API server keeps failures at zero",
    FreshIds => OneSessionPerAttempt | KeyBoundToSession :
        "the generator gives every session of a process the same id",
}

impl Guard {
    /// Leads a run without this guard to where it matters.
    pub(crate) fn lead(self, scenario: &mut Scenario, faults: &mut Faults, dice: &Dice) {
        let long = Duration::from_mins(75);
        match self {
            Self::Sweeper | Self::AbandonAfter => {
                scenario.hostile = if self == Self::Sweeper { 1000 } else { 0 };
                scenario.lasts(long);
                scenario.deeds.push((dice.seconds(20, 300), Deed::AwsGoesAway));
                faults.last(long);
            }
            _ => {}
        }
    }
}
