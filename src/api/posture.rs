//! What a vault's status says of its stack's posture.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// What the stack's posture function last said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostureStatus {
    /// When the function was last asked, whatever came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub asked_at: Option<Timestamp>,
    /// When it last answered. The guarantees below are of then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub checked_at: Option<Timestamp>,
    /// Why the last question had no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub error: Option<String>,
    /// The generation of the vault that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The value of the annotation `drawbridge.dev/check-posture` that the last question answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub asked_for: Option<String>,
    /// Each guarantee of the stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
    )]
    pub guarantees: Vec<GuaranteeStatus>,
}

/// One thing that the stack promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuaranteeStatus {
    /// As docs/posture.md lists it.
    #[schemars(length(max = 48))]
    pub id: String,
    pub state: GuaranteeState,
    /// What was expected, what was found, what to do.
    #[schemars(length(max = 480))]
    pub message: String,
    /// Since when it has been so.
    #[schemars(schema_with = "schema::time")]
    pub since: Timestamp,
    /// While it is unknown: how it stood when it could last be looked at. Absent: it never could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_known_state")]
    pub last_known: Option<KnownState>,
}

impl GuaranteeStatus {
    /// How it stood when it could last be looked at, if it ever could.
    pub fn known(&self) -> Option<KnownState> {
        match self.state {
            GuaranteeState::Holds => Some(KnownState::Holds),
            GuaranteeState::Broken => Some(KnownState::Broken),
            GuaranteeState::Unknown => self.last_known,
        }
    }
}

/// What a guarantee is seen to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KnownState {
    Holds,
    Broken,
}

/// Whether a guarantee holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum GuaranteeState {
    Holds,
    Broken,
    /// It could not be looked at.
    Unknown,
}

impl GuaranteeState {
    /// Its word, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }
}

impl From<drawbridge_protocol::posture::GuaranteeState> for GuaranteeState {
    fn from(state: drawbridge_protocol::posture::GuaranteeState) -> Self {
        use drawbridge_protocol::posture::GuaranteeState as Said;
        match state {
            Said::Holds => Self::Holds,
            Said::Broken => Self::Broken,
            Said::Unknown => Self::Unknown,
        }
    }
}
