//! `posture`: says whether what is deployed is what was shipped. It reads, and never writes.
//!
//! Each guarantee of [`Name`] has one judge: a function of what was shipped ([`Shipped`]) and of what
//! stands in the account ([`Account`]). What cannot be read is unknown, never held. A judge's words are a sentence for
//! people: what was expected, what was found, what to do.

mod buckets;
mod endings;
mod functions;
mod identities;
mod network;
mod policy;
pub mod see;
pub mod shipped;
#[cfg(test)]
mod tests;
mod thing;

use std::sync::Arc;

use async_trait::async_trait;
use drawbridge_protocol::posture::{Guarantee, GuaranteeState, Name, Posture};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;

pub use shipped::Shipped;
use shipped::Untold;
pub use thing::Thing;

/// The account, as far as it may be read.
#[async_trait]
pub trait Account: Send + Sync {
    /// The thing as [`Thing`] writes it down, or nothing where there is none.
    async fn see(&self, thing: &Thing) -> Result<Option<Value>, Unseen>;
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action} failed: {why}")]
pub struct Unseen {
    /// As IAM names it.
    pub action: &'static str,
    pub why: String,
}

/// Why a guarantee is not said to hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotHeld {
    #[error("expected {expected}; found {found}; {remedy}")]
    Broken { expected: String, found: String, remedy: String },
    #[error("{0}; until it can be read nobody knows: see that the posture function's role has its policy")]
    Unknown(#[from] Unseen),
    #[error("{0}; deploy the function and the template of one version")]
    Untold(#[from] Untold),
}

impl NotHeld {
    fn broken(expected: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Broken { expected: expected.into(), found: found.into(), remedy: remedy.into() }
    }
}

/// What a judge says: a few words where the guarantee holds.
type Judged = Result<String, NotHeld>;

/// Looks at one stack.
#[derive(Clone)]
pub struct Checker {
    pub shipped: Shipped,
    pub account: Arc<dyn Account>,
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").field("shipped", &self.shipped).finish_non_exhaustive()
    }
}

impl Checker {
    /// Every guarantee that the stack has, looked at now.
    pub async fn check(&self, now: Timestamp) -> Result<Posture, drawbridge_protocol::ProtocolError> {
        let asked = Name::ALL.iter().filter(|name| self.applies(**name));
        let guarantees = join_all(asked.map(|name| self.guarantee(*name, now))).await;
        Posture::new(now, guarantees)
    }

    /// A stack without a KMS key has nothing to say of it.
    fn applies(&self, name: Name) -> bool {
        let keys = || self.shipped.template.of_type("AWS::KMS::Key");
        name != Name::Key || keys().is_ok_and(|keys| !keys.is_empty())
    }

    async fn guarantee(&self, name: Name, now: Timestamp) -> Guarantee {
        match self.judge(name, now).await {
            Ok(words) => Guarantee::new(name, GuaranteeState::Holds, &words),
            Err(why @ NotHeld::Broken { .. }) => {
                Guarantee::new(name, GuaranteeState::Broken, &why.to_string())
            }
            Err(why @ (NotHeld::Unknown(_) | NotHeld::Untold(_))) => {
                Guarantee::new(name, GuaranteeState::Unknown, &why.to_string())
            }
        }
    }

    async fn judge(&self, name: Name, now: Timestamp) -> Judged {
        let names = &self.shipped.names;
        match name {
            Name::BackupPolicy => self.bucket_policy("backup-bucket", &names.backup_bucket).await,
            Name::BackupPublicAccess => self.public_access(&names.backup_bucket).await,
            Name::BackupOwnership => self.ownership(&names.backup_bucket).await,
            Name::BackupEncryption => self.encryption("BackupBucket", &names.backup_bucket).await,
            Name::BackupLock => self.lock().await,
            Name::BackupLifecycle => self.lifecycle().await,
            Name::StatePolicy => self.bucket_policy("state-bucket", &names.state_bucket).await,
            Name::StatePublicAccess => self.public_access(&names.state_bucket).await,
            Name::StateEncryption => self.encryption("StateBucket", &names.state_bucket).await,
            Name::EndpointPolicy => self.endpoint_policy().await,
            Name::EndpointRoutes => self.endpoint_routes().await,
            Name::PrivateRoutes => self.private_routes().await,
            Name::PublicRoutes => self.public_routes().await,
            Name::PrivateAcl => self.private_acl().await,
            Name::PrivateGroup => self.private_group().await,
            Name::Boxes => self.boxes().await,
            Name::OperatorPolicy => self.operator().await,
            Name::CreateRole => self.role("create", "CreateRole").await,
            Name::CleanupRole => self.role("cleanup", "CleanupRole").await,
            Name::PostureRole => self.role("posture", "PostureRole").await,
            Name::BoxRole => self.box_role().await,
            Name::CreateCode => self.code("CreateCodeKey", &self.shipped.create_code).await,
            Name::CleanupCode => self.code("CleanupCodeKey", &self.shipped.cleanup_code).await,
            Name::CreateSettings => self.settings("CreateCodeKey").await,
            Name::CleanupSettings => self.settings("CleanupCodeKey").await,
            Name::Invokers => self.invokers().await,
            Name::SweepRule => self.sweep_rule().await,
            Name::Sweeper => self.sweeper(now).await,
            Name::EndedRule => self.ended_rule().await,
            Name::EndedMarker => self.ended_marker().await,
            Name::Started => self.started().await,
            Name::Key => self.keys().await,
        }
    }

    /// What must be there.
    async fn see(&self, thing: Thing) -> Result<Value, NotHeld> {
        match self.account.see(&thing).await? {
            Some(found) => Ok(found),
            None => Err(NotHeld::broken(
                thing.to_string(),
                "none",
                "deploy the stack again, and find in CloudTrail who removed it",
            )),
        }
    }
}

/// One expectation of a value.
fn expect(
    what: &str,
    expected: &Value,
    found: &Value,
    remedy: impl FnOnce() -> String,
) -> Result<(), NotHeld> {
    if expected == found {
        return Ok(());
    }
    Err(NotHeld::broken(format!("{what} {}", short(expected)), short(found), remedy()))
}

/// The same set of things, each written down as a JSON document.
fn expect_set(
    what: &str,
    expected: impl IntoIterator<Item = Value>,
    found: &Value,
    remedy: impl FnOnce() -> String,
) -> Result<(), NotHeld> {
    let expected: Vec<Value> = expected.into_iter().collect();
    let found = found.as_array().map(Vec::as_slice).unwrap_or_default();
    // By value: two documents are the same whatever the order of their fields.
    let missing: Vec<&Value> = expected.iter().filter(|one| !found.contains(one)).collect();
    let beside: Vec<&Value> = found.iter().filter(|one| !expected.contains(one)).collect();
    if missing.is_empty() && beside.is_empty() {
        return Ok(());
    }
    let said = |word: &str, all: &[&Value]| {
        let all: Vec<String> = all.iter().map(|one| short(one)).collect();
        if all.is_empty() { String::new() } else { format!("{word} {}", all.join(", ")) }
    };
    let found = [said("without", &missing), said("with", &beside)];
    let found: Vec<String> = found.into_iter().filter(|words| !words.is_empty()).collect();
    Err(NotHeld::broken(format!("{what} what was shipped"), found.join(" and "), remedy()))
}

/// A number, which the template may have as a text.
fn number(value: &Value) -> Value {
    let text = value.as_str().and_then(|text| text.parse::<i64>().ok());
    text.map_or_else(|| value.clone(), Value::from)
}

/// A value for a sentence.
fn short(value: &Value) -> String {
    const MOST: usize = 140;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    if text.len() <= MOST {
        return text;
    }
    let end = (0..=MOST).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}...", &text[..end])
}
