//! What a job's status says of the checks that its box made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The checks that a status lists; the manifest has what each artifact's were.
pub const MAX_SHOWN_CHECKS: usize = 16;

/// What the box's checks found in what the job stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChecksStatus {
    /// Artifacts that are stored and flagged.
    pub flagged: i64,
    /// The checks that flagged them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub findings: Vec<FindingStatus>,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingStatus {
    /// As docs/checks.md lists it.
    #[schemars(length(max = 64))]
    pub check: String,
    /// In so many artifacts.
    pub artifacts: i64,
    /// So many times in all of them.
    pub count: i64,
    /// The first artifact.
    #[schemars(length(max = 200))]
    pub artifact: String,
    /// What was found there first.
    #[schemars(length(max = 1024))]
    pub example: String,
}
