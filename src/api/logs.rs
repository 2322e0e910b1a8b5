//! The source `logs`, and what a job's status keeps of the logs that it stored, so that the next one can go on.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Selector, schema};

/// The most containers that a job with a `series` may gather logs from: what is kept of each is some 400 bytes of
/// status, and an object of etcd takes 1.5 MiB.
pub const MAX_KEPT: usize = 500;
/// The gaps that a status lists; the manifest lists all of them.
pub const MAX_SHOWN_GAPS: usize = 16;

/// Logs of containers as the node keeps them, each line with its timestamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogsSource {
    /// Labels of the pods, in the job's namespace; ended pods count. Matching none is a failure.
    pub selector: Selector,
    /// Only containers of these names; absent: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::container_names")]
    pub containers: Vec<String>,
    /// Whether init containers are gathered, those beside the others included.
    #[serde(default = "yes")]
    pub init_containers: bool,
    /// Whether the log of a container's instance before the last restart is gathered.
    #[serde(default = "yes")]
    pub previous: bool,
    /// Jobs of one namespace and vault with the same series and the same source name go on from each other: this one
    /// from the last line that the newest complete one stored. Absent: everything that the node has is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub series: Option<String>,
}

fn yes() -> bool {
    true
}

/// What a job stored of logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogsStatus {
    /// Lines stored.
    pub lines: i64,
    /// Times in which lines may have been lost. The backup is complete all the same: they were gone before it began.
    pub gaps: i64,
    /// The first gaps; the manifest lists all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub first_gaps: Vec<GapStatus>,
    /// How far each container of a source with a series is stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), extend("x-kubernetes-list-type" = "atomic"))]
    pub containers: Vec<KeptLog>,
}

/// A time in which lines may have been lost, in the node's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GapStatus {
    #[schemars(length(max = 63))]
    pub source: String,
    #[schemars(length(max = 253))]
    pub pod: String,
    #[schemars(length(max = 63))]
    pub container: String,
    #[schemars(schema_with = "schema::time")]
    pub from: Timestamp,
    #[schemars(schema_with = "schema::time")]
    pub to: Timestamp,
    /// In one word.
    #[schemars(length(max = 32))]
    pub why: String,
}

/// How far one container's log is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptLog {
    #[schemars(length(max = 63))]
    pub source: String,
    #[schemars(length(max = 253))]
    pub pod: String,
    #[schemars(length(max = 64))]
    pub pod_uid: String,
    #[schemars(length(max = 63))]
    pub container: String,
    /// The runtime's id of the instance whose log was read last.
    #[schemars(length(max = 128))]
    pub container_id: String,
    /// How often the container had restarted then.
    pub restarts: i64,
    /// When it was read, by the controller's clock.
    #[schemars(schema_with = "schema::time")]
    pub read_at: Timestamp,
    /// The instance had ended, and all of its log is stored.
    #[serde(default)]
    pub ended: bool,
    /// The last line stored; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<LogMark>,
}

/// One line of a log, so that it can be found again: timestamps alone are neither unique nor in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogMark {
    /// The high-water timestamp: the line's own.
    #[schemars(schema_with = "schema::time")]
    pub at: Timestamp,
    /// 64 bits of SHA-256 over the line, timestamp included.
    #[schemars(length(min = 16, max = 16))]
    pub digest: String,
    /// How many lines in a row, this one included, are equal to it, timestamp included.
    pub repeat: i64,
}
