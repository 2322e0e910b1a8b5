//! What the Lambdas ask of EC2, as a trait: one method a call, no decision in any of them.
//!
//! `ec2.rs` is the real one. Tests have one in memory that can fail, forget and be overtaken at any call.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use drawbridge_protocol::{SessionId, Sha256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    config::Cidr,
    names::{GroupId, InstanceId, InterfaceId},
};

/// The exact RunInstances request. It is saved before it is sent: the same request again, the same machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    pub client_token: String,
    /// Which of the stack's instance types this is, from 0.
    pub attempt: usize,
    pub instance_type: String,
    pub image: String,
    pub subnet: String,
    pub group: GroupId,
    pub instance_profile: String,
    pub user_data: String,
    pub program: Sha256,
    pub owner: Owner,
}

/// Whose a resource is: its tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    pub session: SessionId,
    pub deadline: Timestamp,
}

/// Which resources of the stack to describe.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    Session(&'a SessionId),
    /// Every session's.
    Stack,
}

/// An instance as EC2 describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub id: InstanceId,
    pub state: InstanceState,
    pub public_address: Option<Ipv4Addr>,
    /// Why it is in this state, as EC2 says.
    pub reason: Option<String>,
    pub session: Option<SessionId>,
    /// As its tag says.
    pub deadline: Option<Timestamp>,
}

/// EC2's states, as far as they differ for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    Pending,
    Running,
    /// Stopping or stopped: nobody of ours does that, and a box does not come back from it.
    Stopped,
    ShuttingDown,
    Terminated,
}

impl InstanceState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }
}

/// A network interface as EC2 describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub id: InterfaceId,
    pub subnet: String,
    pub attachment: Option<Attachment>,
    pub session: Option<SessionId>,
}

/// What an interface is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub id: String,
    pub instance: Option<InstanceId>,
    pub delete_on_termination: bool,
}

/// A security group as EC2 describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub id: GroupId,
    pub session: Option<SessionId>,
}

/// A call that EC2 refused or that did not reach it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("EC2's {action} failed with {code}: {message}")]
pub struct Ec2Error {
    pub action: &'static str,
    pub kind: Ec2ErrorKind,
    pub code: String,
    pub message: String,
}

/// What a refusal means for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ec2ErrorKind {
    /// It is not there, or not visible yet.
    NotFound,
    /// It is there already.
    Duplicate,
    /// Something still uses it.
    InUse,
    /// The client token was used with another request.
    TokenMismatch,
    /// The client token's machine is terminated.
    TokenEnded,
    /// No machine of this type can be had now.
    Capacity,
    /// An account's quota is used up.
    Quota,
    /// The resource's state does not allow it now.
    State,
    /// No policy allows it. Ours allow by tag, so this is also what becomes of a resource that is gone.
    Refused,
    /// EC2 did not answer; it may do what it was asked all the same.
    NoAnswer,
    Other,
}

impl Ec2ErrorKind {
    /// By EC2's error code: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.
    pub fn of(code: &str) -> Self {
        match code {
            "InvalidInstanceID.NotFound"
            | "InvalidNetworkInterfaceID.NotFound"
            | "InvalidGroup.NotFound"
            | "InvalidPermission.NotFound" => Self::NotFound,
            "InvalidGroup.Duplicate" | "InvalidPermission.Duplicate" => Self::Duplicate,
            "DependencyViolation" | "InvalidNetworkInterface.InUse" | "InvalidGroup.InUse" => Self::InUse,
            "IdempotentParameterMismatch" => Self::TokenMismatch,
            "IdempotentInstanceTerminated" => Self::TokenEnded,
            // A type that the zone does not have at all is no better than one that is sold out.
            "InsufficientInstanceCapacity"
            | "InsufficientHostCapacity"
            | "InsufficientCapacity"
            | "Unsupported" => Self::Capacity,
            "InstanceLimitExceeded"
            | "VcpuLimitExceeded"
            | "MaxSpotInstanceCountExceeded"
            | "NetworkInterfaceLimitExceeded"
            | "SecurityGroupLimitExceeded"
            | "InsufficientFreeAddressesInSubnet" => Self::Quota,
            "IncorrectState" | "IncorrectInstanceState" | "InvalidInstanceState" => Self::State,
            "UnauthorizedOperation" => Self::Refused,
            _ => Self::Other,
        }
    }
}

type Result<T> = std::result::Result<T, Ec2Error>;

/// EC2, one stack's part of it.
#[async_trait]
pub trait Machines: Send + Sync {
    /// Creates the session's security group in `vpc`, with the name of [`crate::names::resource_name`].
    async fn create_group(&self, vpc: &str, owner: &Owner) -> Result<GroupId>;
    /// The session's groups, by tag.
    async fn groups(&self, of: Of<'_>) -> Result<Vec<Group>>;
    /// Takes away the rule that lets everything out, which a new group has.
    async fn revoke_default_egress(&self, group: &GroupId) -> Result<()>;
    /// Lets SSH in from one network.
    async fn authorize_ssh(&self, group: &GroupId, from: Cidr) -> Result<()>;
    async fn delete_group(&self, group: &GroupId) -> Result<()>;

    /// A machine with one public interface, an encrypted disk, no key pair, and metadata for its own processes only.
    async fn run(&self, launch: &Launch) -> Result<InstanceId>;
    async fn instance(&self, id: &InstanceId) -> Result<Instance>;
    /// By tag, terminated ones included.
    async fn instances(&self, of: Of<'_>) -> Result<Vec<Instance>>;
    async fn instances_by_token(&self, client_token: &str) -> Result<Vec<Instance>>;
    async fn terminate(&self, id: &InstanceId) -> Result<()>;

    /// Creates the session's private interface; idempotent under the session id.
    async fn create_interface(&self, subnet: &str, group: &str, owner: &Owner) -> Result<InterfaceId>;
    async fn interface(&self, id: &InterfaceId) -> Result<Interface>;
    /// By tag.
    async fn interfaces(&self, of: Of<'_>) -> Result<Vec<Interface>>;
    /// Attaches at device index 1 and returns the attachment's id.
    async fn attach(&self, interface: &InterfaceId, instance: &InstanceId) -> Result<String>;
    /// Makes the interface go with the machine.
    async fn delete_on_termination(&self, interface: &InterfaceId, attachment: &str) -> Result<()>;
    async fn delete_interface(&self, id: &InterfaceId) -> Result<()>;
}
