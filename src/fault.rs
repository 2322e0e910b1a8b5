//! Every way in which a backup can fail, each with the one word that conditions, events and metrics show.

use drawbridge_protocol::upload::FailureCode;

use crate::{broker::BrokerError, gather::GatherError, transfer::TransferError};

/// Declares the reasons and the words that they are shown as, once.
macro_rules! reasons {
    ($($reason:ident),+ $(,)?) => {
        /// Why an attempt, or a job, failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($reason),+
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$reason),+];

            /// The word itself.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => stringify!($reason)),+
                }
            }
        }
    };
}

reasons! {
    NoPodsMatched,
    PodNotRunning,
    ContainerMissing,
    GathererMissing,
    GathererForbidden,
    TarMissing,
    PathMissing,
    PathUnreadable,
    GatherFailed,
    StreamTruncated,
    NoLogs,
    LogUnreadable,
    TooManyContainers,
    CreateRefusedSessionReused,
    CreateRefusedSessionEnded,
    CreateRefusedDeadlinePassed,
    CreateRefusedQuota,
    CreateRefusedDailyQuota,
    CreateRefusedStopped,
    CreateRefusedCapacity,
    CreateRefusedBadRequest,
    CreateRefusedVersionSkew,
    BoxEnded,
    BrokerDenied,
    BrokerMissing,
    BrokerThrottled,
    BrokerUnreachable,
    BrokerFailed,
    BrokerCredentials,
    BoxNotReady,
    BoxUnreachable,
    HostKeyMismatch,
    ClientKeyRefused,
    ConnectionLost,
    ProtocolBroken,
    StorageDenied,
    StorageThrottled,
    StorageTimedOut,
    StorageTaken,
    StorageFailed,
    ClockSkew,
    LimitReached,
    TransferFailed,
    Rejected,
    ReceiptInvalid,
    ReceiptUnverified,
    ReceiptKeyInvalid,
    SessionExpired,
    Interrupted,
    KubernetesFailed,
    DeadlineExceeded,
    BackoffLimitExceeded,
    Cancelled,
}

impl Reason {
    /// The reason of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }

    /// Whether no further attempt can help. Everything else may be mended by time or by an admin.
    pub fn is_permanent(self) -> bool {
        matches!(
            self,
            Self::CreateRefusedBadRequest
                | Self::Rejected
                | Self::ContainerMissing
                | Self::DeadlineExceeded
                | Self::BackoffLimitExceeded
                | Self::Cancelled
        )
    }

    /// What could mend it.
    pub fn mending(self) -> Mending {
        match self {
            Self::GathererMissing
            | Self::GathererForbidden
            | Self::TarMissing
            | Self::PathMissing
            | Self::PathUnreadable
            | Self::CreateRefusedStopped
            | Self::CreateRefusedVersionSkew
            | Self::BrokerDenied
            | Self::BrokerMissing
            | Self::BrokerCredentials
            | Self::HostKeyMismatch
            | Self::StorageDenied
            | Self::ClockSkew
            | Self::ReceiptUnverified
            | Self::ReceiptKeyInvalid
            | Self::LimitReached => Mending::ByAPerson,
            Self::CreateRefusedDailyQuota => Mending::Tomorrow,
            Self::CreateRefusedQuota
            | Self::CreateRefusedCapacity
            | Self::BrokerThrottled
            | Self::BoxUnreachable
            | Self::StorageThrottled
            | Self::StorageTimedOut => Mending::Later,
            _ => Mending::Soon,
        }
    }
}

/// How long to wait before the next attempt, by what could mend the last failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mending {
    /// It passes by itself, often at once: a connection, a restart.
    Soon,
    /// Somebody asks us to come back later: a quota, a throttle, no capacity.
    Later,
    /// A person must change something first; asking often only costs boxes.
    ByAPerson,
    /// It passes with the UTC day.
    Tomorrow,
}

impl Mending {
    /// By how much the first wait of a backoff is longer.
    pub fn factor(self) -> u32 {
        match self {
            Self::Soon => 1,
            Self::Later | Self::Tomorrow => 3,
            Self::ByAPerson => 6,
        }
    }
}

/// One failure, in words for people: what, where, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", reason.as_str())]
pub struct Fault {
    pub reason: Reason,
    pub message: String,
}

impl Fault {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<&BrokerError> for Fault {
    fn from(error: &BrokerError) -> Self {
        let reason = match error {
            BrokerError::Denied { .. } => Reason::BrokerDenied,
            BrokerError::Missing { .. } => Reason::BrokerMissing,
            BrokerError::Throttled { .. } => Reason::BrokerThrottled,
            BrokerError::Clock { .. } => Reason::ClockSkew,
            BrokerError::Unreachable { .. } => Reason::BrokerUnreachable,
            BrokerError::Credentials { .. } => Reason::BrokerCredentials,
            BrokerError::Service { .. } | BrokerError::Function { .. } | BrokerError::Answer { .. } => {
                Reason::BrokerFailed
            }
        };
        Self::new(reason, error.to_string())
    }
}

/// What the box says is wrong, as a reason.
fn of_box(code: FailureCode) -> Reason {
    match code {
        FailureCode::Protocol => Reason::ProtocolBroken,
        FailureCode::Limit => Reason::LimitReached,
        FailureCode::Storage => Reason::StorageFailed,
        FailureCode::StorageDenied => Reason::StorageDenied,
        FailureCode::StorageThrottled => Reason::StorageThrottled,
        FailureCode::StorageTimedOut => Reason::StorageTimedOut,
        FailureCode::StorageTaken => Reason::StorageTaken,
        FailureCode::Clock => Reason::ClockSkew,
        FailureCode::State => Reason::TransferFailed,
        FailureCode::Ending => Reason::SessionExpired,
    }
}

impl From<&TransferError> for Fault {
    fn from(error: &TransferError) -> Self {
        let reason = match error {
            // What failed was gathering; the transfer only passes it on.
            TransferError::Source(source) => {
                match source.get_ref().and_then(|inner| inner.downcast_ref::<GatherError>()) {
                    Some(gather) => return gather.clone().into(),
                    None => Reason::GatherFailed,
                }
            }
            TransferError::HostKeyMismatch { .. } => Reason::HostKeyMismatch,
            TransferError::ConnectTimeout { .. } | TransferError::Connect { .. } => Reason::BoxUnreachable,
            TransferError::Rejected { .. } => Reason::Rejected,
            TransferError::KeyRefused { .. } => Reason::ClientKeyRefused,
            TransferError::Dropped { .. }
            | TransferError::Lost { .. }
            | TransferError::Forgotten { .. }
            | TransferError::Silent { .. } => Reason::ConnectionLost,
            TransferError::Protocol(_) => Reason::ProtocolBroken,
            TransferError::Unverified(_) => Reason::ReceiptUnverified,
            TransferError::Box { code, .. } => of_box(*code),
            TransferError::Pipeline(_) | TransferError::Key(_) => Reason::TransferFailed,
        };
        Self::new(reason, error.to_string())
    }
}
