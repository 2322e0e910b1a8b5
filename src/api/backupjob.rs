//! `BackupJob`: one backup. Its spec never changes; what happens to it stands in its status.

// Clippy takes the arguments of printcolumn for lints.
#![allow(clippy::duplicated_attributes)]

use jiff::Timestamp;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChecksStatus, Condition, LogsSource, LogsStatus, ReceiptStatus, Selector, schema};

/// One backup of some pods of the job's namespace.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "drawbridge.dev",
    version = "v1alpha1",
    kind = "BackupJob",
    namespaced,
    shortname = "bj",
    category = "drawbridge",
    status = "BackupJobStatus",
    derive = "PartialEq",
    doc = "One backup of pods of its namespace to a BackupVault.",
    printcolumn(name = "State", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Progressing\")].reason"
    ),
    printcolumn(name = "Sources", type_ = "integer", json_path = ".status.sources"),
    printcolumn(name = "Artifacts", type_ = "string", json_path = ".status.artifacts.display"),
    printcolumn(name = "Bytes", type_ = "string", json_path = ".status.bytes.display"),
    printcolumn(name = "Gaps", type_ = "integer", json_path = ".status.logs.gaps"),
    printcolumn(name = "Flagged", type_ = "integer", json_path = ".status.checks.flagged"),
    printcolumn(name = "Cost", type_ = "string", json_path = ".status.cost.display", priority = 1),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt", priority = 1),
    printcolumn(name = "Vault", type_ = "string", json_path = ".spec.vault", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self == oldSelf",
    "message": "the spec of a BackupJob cannot change: one job is one backup, so make another job"
}]))]
pub struct BackupJobSpec {
    /// The BackupVault to store in.
    #[schemars(length(min = 1, max = 253))]
    pub vault: String,
    /// What to back up.
    #[schemars(
        length(min = 1, max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub sources: Vec<Source>,
    /// Jobs of one namespace and series are compared: a run that is all changed and all incompressible against the run
    /// before is ransomware's mark. Absent: the job's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub series: Option<String>,
    /// Seconds from the job's start to its end, all attempts and waiting included; past it the job fails.
    #[serde(default = "default_deadline")]
    #[schemars(range(min = 1, max = 604_800))]
    pub active_deadline_seconds: i64,
    /// How many failures are followed by another attempt.
    #[serde(default = "default_backoff_limit")]
    #[schemars(range(min = 0, max = 20))]
    pub backoff_limit: i64,
    /// Seconds after its end at which the job is deleted. What it stored stays. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i64>,
}

fn default_deadline() -> i64 {
    7_200
}

fn default_backoff_limit() -> i64 {
    3
}

/// A named part of a backup; it yields artifacts, one a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.files) != has(self.logs)",
    "message": "a source is either files or logs: give exactly one of them"
}]))]
pub struct Source {
    /// The artifacts' names begin with it.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    #[serde(flatten)]
    pub kind: SourceKind,
}

/// What a source gathers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SourceKind {
    Files(FilesSource),
    Logs(LogsSource),
}

impl Source {
    /// The pods that it means.
    pub fn selector(&self) -> &Selector {
        match &self.kind {
            SourceKind::Files(files) => &files.selector,
            SourceKind::Logs(logs) => &logs.selector,
        }
    }
}

/// Files of pods, gathered with the tar that the container has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilesSource {
    /// Labels of the pods, in the job's namespace. Matching none is a failure.
    pub selector: Selector,
    /// The container; absent: the pod's default container, or its first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub container: Option<String>,
    #[schemars(schema_with = "schema::absolute_paths")]
    pub paths: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::exclude_patterns")]
    pub exclude: Vec<String>,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// No session is open: the job waits for its vault, its pods, a place in the queue or its next attempt.
    #[default]
    Pending,
    /// A box was asked for.
    Opening,
    /// The box listens; artifacts are on their way.
    Running,
    /// Every artifact is accepted; the manifest is being signed.
    Sealing,
    /// The box is being destroyed.
    Closing,
    Complete,
    Failed,
}

impl Phase {
    /// Whether nothing will happen any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Failed)
    }
}

/// What happened to a job so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupJobStatus {
    #[serde(default)]
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The current or last attempt, from 1. Each has a session of its own.
    #[serde(default)]
    pub attempt: i64,
    /// Failures so far, those before a session was opened included.
    #[serde(default)]
    pub failures: i64,
    /// Present from before AWS is first asked until the session is seen closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionStatus>,
    /// How many sources the job has.
    #[serde(default)]
    pub sources: i64,
    #[serde(default)]
    pub artifacts: ArtifactCounts,
    #[serde(default)]
    pub bytes: ByteCounts,
    /// What the job's sessions cost so far, estimated; present when one is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostStatus>,
    /// Present when the backup is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptStatus>,
    /// Present with the receipt, if logs were stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<LogsStatus>,
    /// Present with the receipt, if the box flagged an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<ChecksStatus>,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultRecord>,
    /// When the controller first saw the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub start_time: Option<Timestamp>,
    /// When the last attempt's box was first tried over TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub running_since: Option<Timestamp>,
    /// When the last attempt's transfer ended, its receipt included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub transfer_ended_at: Option<Timestamp>,
    /// When the job came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub completion_time: Option<Timestamp>,
    /// No attempt before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub next_attempt_at: Option<Timestamp>,
    /// `Complete` or `Failed` at the end; `Progressing` says what the job does or waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// An open session. It is written before AWS is first asked, so that a crash cannot lose a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatus {
    /// 128 random bits.
    #[schemars(length(min = 32, max = 32))]
    pub id: String,
    #[schemars(schema_with = "schema::time")]
    pub opened_at: Timestamp,
    /// The box ends then, whatever happens. Until it reported, the latest that the vault allows.
    #[schemars(schema_with = "schema::time")]
    pub deadline: Timestamp,
    /// Past it the job is let go even if AWS cannot be reached.
    #[schemars(schema_with = "schema::time")]
    pub abandon_after: Timestamp,
    /// Where the functions are; the vault may be gone when the session must be closed.
    #[schemars(length(max = 32))]
    pub region: String,
    /// The function that closes it.
    #[schemars(length(max = 256))]
    pub cleanup_function: String,
    /// The box's public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub address: Option<String>,
    /// EC2's id of the box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub instance: Option<String>,
    /// The box's host key, `SHA256:...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub host_key: Option<String>,
    /// The key that the receipt must be signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub session_key: Option<String>,
}

/// How many artifacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactCounts {
    pub total: i64,
    /// Accepted by the box.
    pub done: i64,
    /// `done/total`.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub display: String,
}

/// How many bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ByteCounts {
    /// Gathered, before compression.
    pub original: i64,
    /// Sent and acknowledged, after it.
    pub stored: i64,
    /// `original` for people.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub display: String,
}

/// An estimate, from a table of prices in the controller. docs/cost.md has the table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostStatus {
    /// Seconds of boxes, of every attempt.
    pub box_seconds: i64,
    /// Requests to S3.
    pub requests: i64,
    /// Calls of the stack's functions.
    pub invocations: i64,
    /// Bytes stored, of every attempt.
    pub bytes: i64,
    /// What that cost, in millionths of a US dollar.
    pub micro_usd: i64,
    /// What keeping the bytes costs a month.
    pub micro_usd_a_month: i64,
    /// Both for people.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub display: String,
    /// The month of the prices, `2026-11`.
    #[schemars(length(max = 16))]
    pub prices_of: String,
}

/// A failure, kept after the conditions have moved on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaultRecord {
    /// In one CamelCase word.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// What, where, what to do.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// Whether it ends the job at once.
    pub permanent: bool,
    #[schemars(schema_with = "schema::time")]
    pub at: Timestamp,
}
