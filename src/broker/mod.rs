//! Asks for boxes, for their end, and how the stack stands: all that a cluster may ask of AWS.
//!
//! Nothing here decides when to ask or what an answer means for a job. Answers are bounded and checked before
//! anyone sees them; errors keep their kind, because the kind decides how long to wait.

mod error;
mod identity;
mod lambda;
pub mod skew;
pub mod trust;

use async_trait::async_trait;
use drawbridge_protocol::{
    CleanupRequest, CreateRequest, Posture, PostureRequest,
    session::{CleanupOutcome, CreateOutcome},
};

pub use error::BrokerError;
pub use identity::Credentials;
pub use lambda::LambdaBroker;

/// One function of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    pub region: String,
    /// Name or ARN.
    pub name: String,
}

impl std::fmt::Display for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "function {} in {}", self.name, self.region)
    }
}

/// Whoever lowers the bridge and removes it.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Asks `function` for a box, or how far it is.
    async fn create(
        &self,
        function: &Function,
        request: &CreateRequest,
    ) -> Result<CreateOutcome, BrokerError>;

    /// Asks `function` to destroy a session, or how far that is.
    async fn cleanup(
        &self,
        function: &Function,
        request: &CleanupRequest,
    ) -> Result<CleanupOutcome, BrokerError>;

    /// What it asks with. A broker that holds no credentials cannot tell.
    async fn credentials(&self) -> Credentials {
        Credentials::Unknown
    }

    /// Asks `function` how its stack stands.
    async fn posture(&self, function: &Function, request: &PostureRequest) -> Result<Posture, BrokerError>;
}
