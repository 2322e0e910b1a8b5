//! What a stack's posture function says of it: each guarantee by name, whether it holds, and what to do where not.
//!
//! A guarantee is known by its id, so that a function and a controller of different versions understand each other:
//! an id that one of them does not know is a guarantee that nobody required.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ProtocolError, Version};

/// The most guarantees that an answer may hold.
pub const MAX_GUARANTEES: usize = 64;
/// The largest answer, in bytes.
pub const MAX_ANSWER: usize = 64 << 10;
/// The longest message of a guarantee, in bytes.
pub const MAX_MESSAGE: usize = 480;
/// The longest id.
const MAX_ID: usize = 48;

/// Asks how the stack stands. There is nothing to choose: a stack is looked at as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostureRequest {
    pub version: Version,
}

/// What the posture function says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostureAnswer {
    pub version: Version,
    pub outcome: PostureOutcome,
}

/// The stack was looked at, or the request is not one that this version takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PostureOutcome {
    Checked(Posture),
    Refused { message: String },
}

/// How a stack stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "UncheckedPosture")]
pub struct Posture {
    /// By the function's clock.
    pub checked_at: Timestamp,
    /// Each id once.
    pub guarantees: Vec<Guarantee>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedPosture {
    checked_at: Timestamp,
    guarantees: Vec<Guarantee>,
}

impl TryFrom<UncheckedPosture> for Posture {
    type Error = ProtocolError;

    fn try_from(posture: UncheckedPosture) -> Result<Self, ProtocolError> {
        Self::new(posture.checked_at, posture.guarantees)
    }
}

impl Posture {
    /// Checks the number of guarantees, and that none stands twice.
    pub fn new(checked_at: Timestamp, guarantees: Vec<Guarantee>) -> Result<Self, ProtocolError> {
        let invalid = |why| ProtocolError::invalid("posture", why);
        if guarantees.is_empty() || guarantees.len() > MAX_GUARANTEES {
            return Err(invalid(format!("{} guarantees, expected 1 to {MAX_GUARANTEES}", guarantees.len())));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = guarantees.iter().find(|guarantee| !seen.insert(guarantee.id.as_str())) {
            return Err(invalid(format!("the guarantee {} stands twice", twice.id)));
        }
        Ok(Self { checked_at, guarantees })
    }
}

/// One thing that a stack promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "UncheckedGuarantee")]
pub struct Guarantee {
    pub id: String,
    pub state: GuaranteeState,
    /// What was expected, what was found, what to do.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedGuarantee {
    id: String,
    state: GuaranteeState,
    message: String,
}

impl TryFrom<UncheckedGuarantee> for Guarantee {
    type Error = ProtocolError;

    fn try_from(guarantee: UncheckedGuarantee) -> Result<Self, ProtocolError> {
        let UncheckedGuarantee { id, state, message } = guarantee;
        let invalid = |why| ProtocolError::invalid("guarantee", why);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(plain) {
            return Err(invalid(format!("an id has 1 to {MAX_ID} of a-z, 0-9 and '-'")));
        }
        if message.len() > MAX_MESSAGE || message.chars().any(char::is_control) {
            return Err(invalid(format!(
                "the message of {id} is longer than {MAX_MESSAGE} bytes or holds control characters"
            )));
        }
        Ok(Self { id, state, message })
    }
}

impl Guarantee {
    /// Of this version's names. What is too long is cut, what is no text is left out.
    pub fn new(name: Name, state: GuaranteeState, message: &str) -> Self {
        let mut message: String = message.chars().filter(|c| !c.is_control()).collect();
        if message.len() > MAX_MESSAGE {
            let end = (0..=MAX_MESSAGE - 3).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
            message.truncate(end);
            message.push_str("...");
        }
        Self { id: name.id().to_owned(), state, message }
    }
}

/// Whether a guarantee holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuaranteeState {
    Holds,
    Broken,
    /// It could not be looked at.
    Unknown,
}

impl GuaranteeState {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }
}

/// Declares the guarantees of this version once: the name, the id, whether a vault requires it unless it says
/// otherwise, what it says.
macro_rules! names {
    ($($name:ident = $id:literal, $required:literal, $says:literal;)+) => {
        /// A guarantee that this version knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Name {
            $(#[doc = $says] $name),+
        }

        impl Name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The id that stands on the wire, in a vault's status and in its `requiredGuarantees`.
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$name => $id),+
                }
            }

            /// Whether a vault that names none requires it.
            pub fn is_required(self) -> bool {
                match self {
                    $(Self::$name => $required),+
                }
            }

            /// What it says, in one sentence.
            pub fn says(self) -> &'static str {
                match self {
                    $(Self::$name => $says),+
                }
            }
        }
    };
}

names! {
    BackupPolicy = "backup-bucket-policy", true, "The backup bucket's policy is the shipped one, statement by statement.";
    BackupPublicAccess = "backup-bucket-public-access", true, "The backup bucket blocks all public access.";
    BackupOwnership = "backup-bucket-ownership", true, "Access control lists have no effect on the backup bucket.";
    BackupEncryption = "backup-bucket-encryption", true, "The backup bucket encrypts what is put into it.";
    BackupLock = "backup-bucket-lock", true, "The backup bucket's versioning and Object Lock are what the stack was deployed with.";
    BackupLifecycle = "backup-bucket-lifecycle", true, "No rule of the backup bucket's lifecycle removes backups before their time.";
    StatePolicy = "state-bucket-policy", true, "The state bucket's policy is the shipped one, statement by statement.";
    StatePublicAccess = "state-bucket-public-access", true, "The state bucket blocks all public access.";
    StateEncryption = "state-bucket-encryption", true, "The state bucket encrypts what is put into it.";
    EndpointPolicy = "endpoint-policy", true, "The S3 endpoint's policy is the shipped one, statement by statement.";
    EndpointRoutes = "endpoint-routes", true, "The S3 endpoint is the VPC's only one and stands on the private route table alone.";
    PrivateRoutes = "private-routes", true, "The private subnet has a route to the S3 endpoint and none to anywhere else.";
    PublicRoutes = "public-routes", true, "The public subnet has a route to the internet gateway and none to anywhere else.";
    PrivateAcl = "private-acl", true, "The private subnet's network ACL lets S3's port out, its answers in, and nothing else.";
    PrivateGroup = "private-group", true, "The security group of boxes' private side lets S3's port out and nothing in.";
    Boxes = "boxes", true, "Every box that runs has the stack's shape: IMDSv2 with one hop, no key pair, its group without egress, SSH from the client networks alone.";
    OperatorPolicy = "operator-policy", true, "The cluster's identity may invoke its stack's functions and nothing else.";
    CreateRole = "create-role", true, "The create function's role has the shipped policy, the shipped trust and nothing else.";
    CleanupRole = "cleanup-role", true, "The cleanup function's role has the shipped policy, the shipped trust and nothing else.";
    PostureRole = "posture-role", true, "The posture function's role has the shipped policy, the shipped trust and nothing else.";
    BoxRole = "box-role", true, "The boxes' role has the shipped policy, the shipped trust and nothing else, and is the profile's only one.";
    CreateCode = "create-code", true, "The create function runs the code that was deployed.";
    CleanupCode = "cleanup-code", true, "The cleanup function runs the code that was deployed.";
    CreateSettings = "create-settings", true, "The create function has the role, the handler and the places that were deployed, and no layer.";
    CleanupSettings = "cleanup-settings", true, "The cleanup function has the role, the handler and the places that were deployed, and no layer.";
    Invokers = "invokers", true, "Nobody but the shipped events may invoke the functions from outside IAM: no other statement, no URL.";
    SweepRule = "sweep-rule", true, "The rule that starts the sweeper is enabled and invokes the sweep function.";
    Sweeper = "sweeper", true, "The sweeper ran a short while ago.";
    EndedRule = "ended-rule", false, "The rule that tells the sweep function of boxes that ended by themselves is enabled.";
    EndedMarker = "ended-marker", false, "The backup bucket tells the marker function of the markers that boxes put when their time is up.";
    Started = "started", false, "Nobody stopped the stack: create hands out boxes.";
    Key = "key", true, "Each KMS key of the stack is enabled, and its policy is the shipped one.";
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn posture(ids: &[&str]) -> String {
        let all: Vec<String> =
            ids.iter().map(|id| format!(r#"{{"id":"{id}","state":"holds","message":""}}"#)).collect();
        format!(r#"{{"checked_at":"2026-11-21T10:00:00Z","guarantees":[{}]}}"#, all.join(","))
    }

    #[test]
    fn a_posture_has_each_guarantee_once_and_not_too_many() {
        assert_eq!(serde_json::from_str::<Posture>(&posture(&["a", "b"])).unwrap().guarantees.len(), 2);
        let many: Vec<String> = (0..=MAX_GUARANTEES).map(|number| format!("g-{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(serde_json::from_str::<Posture>(&posture(&many[1..])).is_ok());
        for (wrong, said) in [(&["a", "a"][..], "twice"), (&[], "expected 1 to"), (&many, "expected 1 to")] {
            let error = serde_json::from_str::<Posture>(&posture(wrong)).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn ids_and_messages_are_bounded() {
        for id in ["", "With Capitals", &"x".repeat(49)] {
            assert!(serde_json::from_str::<Posture>(&posture(&[id])).is_err(), "{id}");
        }
        let long = "é".repeat(MAX_MESSAGE);
        let cut = Guarantee::new(Name::Key, GuaranteeState::Broken, &format!("a\n{long}"));
        assert!(cut.message.len() <= MAX_MESSAGE && cut.message.starts_with("aé"), "{}", cut.message);
        let whole = serde_json::to_string(&cut).unwrap();
        assert_eq!(serde_json::from_str::<Guarantee>(&whole).unwrap(), cut);
    }

    #[test]
    fn names_fit_into_an_answer_and_differ() {
        let message = "x".repeat(MAX_MESSAGE);
        let all: Vec<Guarantee> =
            Name::ALL.iter().map(|name| Guarantee::new(*name, GuaranteeState::Broken, &message)).collect();
        let posture = Posture::new(Timestamp::UNIX_EPOCH, all).unwrap();
        let answer = PostureAnswer { version: Version, outcome: PostureOutcome::Checked(posture) };
        assert!(serde_json::to_vec(&answer).unwrap().len() < MAX_ANSWER);
    }
}
