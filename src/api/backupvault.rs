//! `BackupVault`: where backups go. Cluster-scoped, because an admin decides who may use which stack.

// Clippy takes the arguments of printcolumn for lints.
#![allow(clippy::duplicated_attributes)]

use drawbridge_protocol::{ProtocolError, ReceiptKey};
use jiff::Timestamp;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, PostureStatus, Selector, schema};

/// How many abandoned sessions a vault's status remembers.
pub const MAX_ABANDONED: usize = 32;

/// One stack in AWS that boxes can be asked of.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "drawbridge.dev",
    version = "v1alpha1",
    kind = "BackupVault",
    shortname = "bv",
    category = "drawbridge",
    status = "BackupVaultStatus",
    derive = "PartialEq",
    doc = "Where backups go: one stack in AWS, and which namespaces may use it.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Posture",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"PostureHeld\")].reason"
    ),
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.region"),
    printcolumn(name = "Sessions", type_ = "integer", json_path = ".status.openSessions"),
    printcolumn(name = "Queued", type_ = "integer", json_path = ".status.queuedJobs"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct BackupVaultSpec {
    /// The name that the stack gives this cluster. For people: the stack itself decides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub cluster: Option<String>,
    /// The AWS region of the stack.
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: String,
    pub functions: Functions,
    pub allowed_namespaces: AllowedNamespaces,
    /// Guarantees without which no job opens a session here, by their ids in docs/posture.md. Absent: those that are
    /// required there. An empty list: none. They count only where functions.posture is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::guarantees")]
    pub required_guarantees: Option<Vec<String>>,
    /// Sessions that this cluster keeps open at once; further jobs queue. The stack has its own limit besides.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 100))]
    pub max_concurrent_sessions: i64,
    /// The lifetime of a box as the stack has it, in seconds. It bounds how long a session can hold a job
    /// whose box never reported a deadline of its own.
    #[serde(default = "default_session_seconds")]
    #[schemars(range(min = 300, max = 43_200))]
    pub session_timeout_seconds: i64,
    /// How long past its deadline a session that AWS does not let us close holds its job, in seconds.
    #[serde(default = "default_grace_seconds")]
    #[schemars(range(min = 0, max = 3_600))]
    pub grace_seconds: i64,
    /// The public half of the stack's receipt key in PEM, as `aws kms get-public-key` gives it. When set, no backup is
    /// complete without a receipt that it vouches for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^-----BEGIN PUBLIC KEY-----"))]
    pub receipt_key: Option<String>,
}

impl BackupVaultSpec {
    /// The receipt key, if one is set.
    pub fn pinned_receipt_key(&self) -> Result<Option<ReceiptKey>, ProtocolError> {
        self.receipt_key.as_deref().map(str::parse).transpose()
    }
}

fn default_concurrency() -> i64 {
    4
}

fn default_session_seconds() -> i64 {
    3_600
}

fn default_grace_seconds() -> i64 {
    600
}

/// The stack's functions. They are all that this cluster may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Functions {
    /// Name or ARN of the function that lowers the bridge.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[A-Za-z0-9:_-]+$"))]
    pub create: String,
    /// Name or ARN of the function that removes it.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[A-Za-z0-9:_-]+$"))]
    pub cleanup: String,
    /// Name or ARN of the function that says whether the stack is what was shipped. Absent: nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[A-Za-z0-9:_-]+$"))]
    pub posture: Option<String>,
}

/// The namespaces whose jobs may use the vault: those named, and those whose labels match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.matchNames) && self.matchNames.size() > 0) || has(self.selector)",
    "message": "name the namespaces in matchNames, or choose them with selector"
}]))]
pub struct AllowedNamespaces {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::namespaces")]
    pub match_names: Vec<String>,
    /// Labels of namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
}

/// What the controller knows of the vault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupVaultStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: the stack's functions answer this cluster's identity. `Keyless`: that identity is no long-lived key.
    /// `PostureHeld`: every required guarantee holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// When the functions were last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub checked_at: Option<Timestamp>,
    /// What the stack's posture function last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posture: Option<PostureStatus>,
    /// Sessions open now.
    #[serde(default)]
    pub open_sessions: i64,
    /// Jobs that wait for one to close.
    #[serde(default)]
    pub queued_jobs: i64,
    /// Sessions whose job was let go because AWS could not be asked to close them; the stack's own timers do.
    /// The newest stand last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub abandoned_sessions: Vec<AbandonedSession>,
}

/// One session that was not seen closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AbandonedSession {
    #[schemars(length(max = 32))]
    pub session: String,
    #[schemars(length(max = 63))]
    pub namespace: String,
    #[schemars(length(max = 253))]
    pub job: String,
    /// The last error.
    #[schemars(length(max = 4096))]
    pub message: String,
    #[schemars(schema_with = "schema::time")]
    pub at: Timestamp,
}
