//! What can go wrong between asking and an answer, by kind.

use super::Function;

/// An answer that did not come, or cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    #[error(
        "AWS denies this cluster's identity to invoke {function}: attach the stack's operator policy to it ({message})"
    )]
    Denied { function: Function, message: String },
    #[error("there is no {function}: compare the vault's spec with the stack's outputs ({message})")]
    Missing { function: Function, message: String },
    #[error(
        "AWS refuses the time of this cluster's request to {function}: the clock of the controller's node is more than five \
         minutes off; set it ({message})"
    )]
    Clock { function: Function, message: String },
    #[error("AWS throttles the invocation of {function}; it is asked again later ({message})")]
    Throttled { function: Function, message: String },
    #[error("{function} cannot be reached: check the cluster's way to the AWS API ({message})")]
    Unreachable { function: Function, message: String },
    #[error(
        "there are no AWS credentials to invoke {function} with: give the controller an identity ({message})"
    )]
    Credentials { function: Function, message: String },
    #[error("AWS failed to invoke {function}; it is asked again later ({message})")]
    Service { function: Function, message: String },
    #[error("{function} failed: see its log in CloudWatch ({message})")]
    Function { function: Function, message: String },
    #[error(
        "{function} gave an answer that cannot be used: is it the version of this controller? ({message})"
    )]
    Answer { function: Function, message: String },
}

impl BrokerError {
    /// The kind, as metrics and backoff know it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "denied",
            Self::Missing { .. } => "missing",
            Self::Clock { .. } => "clock",
            Self::Throttled { .. } => "throttled",
            Self::Unreachable { .. } => "unreachable",
            Self::Credentials { .. } => "credentials",
            Self::Service { .. } => "service",
            Self::Function { .. } => "function",
            Self::Answer { .. } => "answer",
        }
    }

    /// Whether only a person can mend it, so that asking again within the same attempt is pointless.
    pub fn needs_a_person(&self) -> bool {
        matches!(
            self,
            Self::Denied { .. } | Self::Missing { .. } | Self::Credentials { .. } | Self::Answer { .. }
        )
    }
}
