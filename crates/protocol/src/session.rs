//! What the cluster asks of `create` and `cleanup`, and what they answer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Certificate, Envelope, JobRef, ObjectPrefix, Revision, Revisions, SeriesName, SessionId,
    SessionPublicKey, SshPublicKey, Version,
};

/// Asks for a box. Asked again with the same session and key, `create` goes on from what it saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    pub version: Version,
    pub session: SessionId,
    /// The only key that the box will let in.
    pub client_key: SshPublicKey,
    pub job: JobRef,
    /// The series whose run before this one is compared with; absent: the job's name is the series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesName>,
    /// What the controller speaks; absent: the first revision alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaks: Option<Revisions>,
}

impl CreateRequest {
    /// What the controller speaks.
    pub fn revisions(&self) -> Revisions {
        self.speaks.unwrap_or(Revisions::UNNAMED)
    }

    /// The same request as the first revision has it.
    #[must_use]
    pub fn first(&self) -> Self {
        Self { series: None, speaks: None, ..self.clone() }
    }
}

/// What `create` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateAnswer {
    pub version: Version,
    pub session: SessionId,
    pub outcome: CreateOutcome,
}

/// How far the box is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CreateOutcome {
    /// Not there yet: ask again.
    Pending {
        retry_after_seconds: u32,
        /// What it waits for.
        waiting_for: Waiting,
    },
    /// The box listens.
    Ready(Box<ReadyBox>),
    /// There will be no box for this session.
    Refused { reason: Refusal, message: String },
}

/// What a pending session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// All of the stack's boxes are in use.
    Slot,
    /// EC2 starts the machine.
    Instance,
    /// The machine runs; its private interface is being attached.
    Interface,
    /// The box has not reported its keys yet.
    Report,
}

/// Why there will be no box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The session id is in use with another client key or for another job.
    SessionReused,
    /// The session was closed.
    SessionEnded,
    /// The box ended before it was used, or reported what cannot be believed.
    BoxEnded,
    /// The session's deadline has passed.
    DeadlinePassed,
    /// A quota of the AWS account is used up for now.
    Quota,
    /// The stack has opened all the sessions that it opens on one UTC day.
    DailyQuota,
    /// The stack's operator has stopped it.
    Stopped,
    /// EC2 has no capacity for any of the stack's instance types.
    Capacity,
    /// The request is not one that this version takes.
    BadRequest,
    /// Controller and stack have no revision of the protocol in common.
    VersionSkew,
}

impl Refusal {
    /// Every refusal there is.
    pub const ALL: &[Self] = &[
        Self::SessionReused,
        Self::SessionEnded,
        Self::BoxEnded,
        Self::DeadlinePassed,
        Self::Quota,
        Self::DailyQuota,
        Self::Stopped,
        Self::Capacity,
        Self::BadRequest,
        Self::VersionSkew,
    ];

    /// As it stands on the wire, and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::SessionReused => "session_reused",
            Self::SessionEnded => "session_ended",
            Self::BoxEnded => "box_ended",
            Self::DeadlinePassed => "deadline_passed",
            Self::Quota => "quota",
            Self::DailyQuota => "daily_quota",
            Self::Stopped => "stopped",
            Self::Capacity => "capacity",
            Self::BadRequest => "bad_request",
            Self::VersionSkew => "version_skew",
        }
    }
}

/// A box that listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadyBox {
    /// The box's public IPv4 address.
    pub address: std::net::Ipv4Addr,
    pub port: u16,
    /// The host key to pin. The box made it; its private half never left the box.
    pub host_key: SshPublicKey,
    /// Verifies the session's manifest and receipt.
    pub session_key: SessionPublicKey,
    /// EC2's id of the machine.
    pub instance: String,
    /// When the box ends, whatever happens.
    pub deadline: Timestamp,
    pub bucket: String,
    /// Where the session's objects will lie.
    pub prefix: ObjectPrefix,
    /// Vouches for the session key, where the stack has a receipt key. The client hands it to the box with its commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// What the session speaks; absent: the first revision.
    #[serde(default, skip_serializing_if = "Revision::is_first")]
    pub revision: Revision,
}

impl CreateOutcome {
    /// The same in words that a controller of `revision` knows.
    #[must_use]
    pub fn in_words_of(self, revision: Revision) -> Self {
        match self {
            Self::Refused { reason: Refusal::DailyQuota, message } if revision.is_first() => {
                Self::Refused { reason: Refusal::Quota, message }
            }
            Self::Refused { reason: Refusal::VersionSkew, message } if revision.is_first() => {
                Self::Refused { reason: Refusal::BadRequest, message }
            }
            outcome => outcome,
        }
    }
}

/// Asks that the session's box, and all that was made for it, be destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanupRequest {
    pub version: Version,
    pub session: SessionId,
    /// The receipt, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Envelope>,
}

/// What `cleanup` says. An unknown session counts as destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanupAnswer {
    pub version: Version,
    pub session: SessionId,
    pub outcome: CleanupOutcome,
}

/// How far the destruction is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CleanupOutcome {
    /// Something is still there: ask again.
    Destroying {
        retry_after_seconds: u32,
        /// What is still there, for people: `instance i-0abc (shutting-down)`.
        remaining: Vec<String>,
    },
    /// Nothing is left: instance, interfaces, security group, unfinished uploads, slot, state.
    Destroyed,
    /// The request is not one that this version takes.
    Refused { message: String },
}
