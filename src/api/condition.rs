//! Conditions as `metav1.Condition` has them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// The longest message of a condition or an event note, in bytes.
pub const MAX_MESSAGE: usize = 1000;

/// One aspect of an object's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the condition says: `Complete`, `Failed`, `Progressing`; `Ready` for vaults.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one CamelCase word.
    #[schemars(length(min = 1, max = 128))]
    pub reason: String,
    /// Why, for people: what, where, what to do.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// When `status` last changed.
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Timestamp,
    /// The generation that the condition speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// What is done with a list of conditions.
pub mod conditions {
    use super::{Condition, ConditionStatus, MAX_MESSAGE, Timestamp};

    /// The condition of that type.
    pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
        conditions.iter().find(|condition| condition.type_ == type_)
    }

    /// Whether the condition of that type holds.
    pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
        find(conditions, type_).is_some_and(|condition| condition.status == ConditionStatus::True)
    }

    /// Sets a condition; the transition time moves only when the status changes.
    pub fn set(
        conditions: &mut Vec<Condition>,
        type_: &str,
        status: ConditionStatus,
        reason: &str,
        message: &str,
        generation: Option<i64>,
        now: Timestamp,
    ) {
        let mut condition = Condition {
            type_: type_.to_owned(),
            status,
            reason: reason.to_owned(),
            message: shortened(message),
            last_transition_time: now,
            observed_generation: generation,
        };
        match conditions.iter_mut().find(|other| other.type_ == type_) {
            Some(other) => {
                if other.status == status {
                    condition.last_transition_time = other.last_transition_time;
                }
                *other = condition;
            }
            None => conditions.push(condition),
        }
    }

    /// At most [`MAX_MESSAGE`] bytes of `message`, cut at a character.
    pub fn shortened(message: &str) -> String {
        if message.len() <= MAX_MESSAGE {
            return message.to_owned();
        }
        let end = (0..=MAX_MESSAGE - 3).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
        format!("{}...", &message[..end])
    }
}
