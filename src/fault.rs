//! Every way in which a backup can fail, each with the one word that conditions, events and metrics show.

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
    CreateRefusedStopped,
    CreateRefusedCapacity,
    CreateRefusedBadRequest,
    BrokerDenied,
    BrokerMissing,
    BrokerThrottled,
    BrokerUnreachable,
    BrokerFailed,
    BrokerCredentials,
    BoxNotReady,
    BoxUnreachable,
    HostKeyMismatch,
    TransferFailed,
    Rejected,
    ReceiptInvalid,
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
            BrokerError::Unreachable { .. } => Reason::BrokerUnreachable,
            BrokerError::Credentials { .. } => Reason::BrokerCredentials,
            BrokerError::Service { .. } | BrokerError::Function { .. } | BrokerError::Answer { .. } => {
                Reason::BrokerFailed
            }
        };
        Self::new(reason, error.to_string())
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
            TransferError::KeyRefused { .. }
            | TransferError::Dropped { .. }
            | TransferError::Box { .. }
            | TransferError::Protocol(_)
            | TransferError::Pipeline(_)
            | TransferError::Key(_) => Reason::TransferFailed,
        };
        Self::new(reason, error.to_string())
    }
}
