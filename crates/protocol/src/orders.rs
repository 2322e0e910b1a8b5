//! What `create` tells the box, and what the box reports back.
//!
//! The orders lie in the state bucket and reach the box through a presigned URL whose digest stands in user data.
//! They hold no secret but the presigned URL of the report, which can be used once.

use std::num::NonZeroU16;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Baseline, ClusterName, ExtraCa, JobRef, ObjectKey, ObjectPrefix, Revision, SessionId, SessionPublicKey,
    Sha256, SshPublicKey, Version, checks::ChecksConfig,
};

/// The largest orders, in bytes: the stack's rules, two presigned URLs with session tokens of up to 4 KiB, the run before.
pub const MAX_ORDERS: usize = 512 << 10;
/// The most that a stack's own YARA rules may have, all files together, in bytes.
pub const MAX_RULES: usize = 256 << 10;

/// What one box is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orders {
    pub version: Version,
    pub session: SessionId,
    pub job: JobRef,
    pub cluster: ClusterName,
    /// The only key to let in.
    pub client_key: SshPublicKey,
    pub bucket: String,
    pub region: String,
    /// Another S3 than AWS's, `https://host:port`; path-style addressing then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_endpoint: Option<String>,
    /// Whom the box trusts to vouch for S3, besides the system's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_ca: Option<ExtraCa>,
    /// All objects of the session lie under it.
    pub prefix: ObjectPrefix,
    /// The marker to put when the box's own timer runs out.
    pub ended_key: ObjectKey,
    /// Presigned PUT of the `ReadyReport`, signed with the header `if-none-match: *`.
    pub ready_url: String,
    /// When the box's own timer runs out.
    pub deadline: Timestamp,
    pub limits: Limits,
    /// What to check, and what follows.
    #[serde(default)]
    pub checks: ChecksConfig,
    /// YARA rules of the stack's own, beside those that every box has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RulesFile>,
    /// The newest stored run of the job's series, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Box<Baseline>>,
    /// What the session's client speaks; absent: the first revision.
    #[serde(default, skip_serializing_if = "Revision::is_first")]
    pub revision: Revision,
}

/// One file of YARA rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesFile {
    /// For messages.
    pub name: String,
    pub text: String,
}

/// Bounds of one session, configured in the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes stored in one session.
    pub session_bytes: u64,
    /// Bytes of one part of a multipart upload; S3 takes 5 MiB to 5 GiB.
    pub part_bytes: u64,
    /// Parts that the box holds at once, of all artifacts together: being filled or under way.
    pub parts_in_memory: u32,
    /// Artifacts in one session.
    pub artifacts: u32,
    /// Days for which nobody can delete what the session stores; absent where the bucket has no lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_days: Option<NonZeroU16>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            session_bytes: 50 << 30,
            part_bytes: 5 << 20,
            parts_in_memory: 8,
            artifacts: 10_000,
            lock_days: None,
        }
    }
}

/// What a box reports when it listens; it lies at `ready/<session>.json` in the state bucket, write-once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadyReport {
    pub version: Version,
    pub session: SessionId,
    /// EC2's id of the machine, from the instance metadata service.
    pub instance: String,
    pub host_key: SshPublicKey,
    pub session_key: SessionPublicKey,
    /// The digest of the program that runs, as it read itself.
    pub program: Sha256,
    pub at: Timestamp,
}
