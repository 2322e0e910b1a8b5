//! What keeps the promises, each piece by name. A run can do without one; then some invariant must break.
//!
//! None is switched in the product: the world around it stops doing its part.

use crate::ledger::Invariant;

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
    ResourceVersion => OneSessionPerAttempt | SessionKept | TerminalStays | SessionClosed :
        "the API server takes a status or a patch of any resource version",
    SessionBeforeAws => SessionWrittenFirst :
        "the API server says yes to the write that opens a session and keeps nothing of it",
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
    InFlight => DestroyedStays :
        "the state bucket forgets until when a call of create may be at work",
    AskedUntilDestroyed => SessionClosed | DestroyedStays :
        "the first answer of cleanup reads as destroyed",
    Sweeper => BoxEnds :
        "the schedule never invokes cleanup",
    AbandonAfter => EverythingEnds :
        "the API server changes abandonAfter to a year later",
    FailuresCounted => AttemptsBounded :
        "the API server keeps failures at zero",
    FreshIds => OneSessionPerAttempt :
        "the generator gives every session of a process the same id",
}
