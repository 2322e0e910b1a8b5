//! What a stack's posture means for a vault and its jobs. Pure functions.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use drawbridge_protocol::posture::{Name, Posture};
use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{
        BackupVault, BackupVaultStatus, CHECK_POSTURE_ANNOTATION, ConditionStatus, GuaranteeState,
        GuaranteeStatus, KnownState, PostureStatus, conditions,
    },
    fault::Fault,
};

/// The condition that says whether every required guarantee holds.
pub(super) const HELD: &str = "PostureHeld";
/// How soon a question that had no answer is asked again.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// How many guarantees a message spells out.
const SPELT_OUT: usize = 3;

/// How often a stack is looked at, and for how long what was seen counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Between two questions while no job waits.
    pub every: Duration,
    /// A job opens a session on nothing older.
    pub max_age: Duration,
    /// How long a guarantee that cannot be looked at counts as held, if it was.
    pub grace: Duration,
}

/// Whether a job may open a session, as far as the stack's posture goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Gate {
    Open,
    /// What was seen is too old; somebody must look first.
    Stale,
    /// A required guarantee is broken.
    Broken {
        message: String,
    },
    /// A required guarantee could not be looked at for too long.
    Unknown {
        message: String,
    },
}

/// When the posture function is asked next, or nothing if the vault has none. `wanted`: a job waits for the answer.
pub(super) fn ask_at(vault: &BackupVault, wanted: bool, limits: Limits, now: Timestamp) -> Option<Timestamp> {
    vault.spec.functions.posture.as_ref()?;
    let Some(known) = vault.status.as_ref().and_then(|status| status.posture.as_ref()) else {
        return Some(now);
    };
    let asked_for = vault.metadata.annotations.as_ref().and_then(|all| all.get(CHECK_POSTURE_ANNOTATION));
    let other = known.observed_generation != vault.metadata.generation
        || asked_for.map(|token| kept(token)) != known.asked_for;
    // A question that is still to come was asked under a clock that has been set back since.
    let asked_at = match known.asked_at {
        Some(asked_at) if !other && asked_at <= now => asked_at,
        _ => return Some(now),
    };
    let every = match &known.error {
        Some(_) => ASK_AGAIN,
        None if wanted => signed(limits.max_age),
        None => signed(limits.every),
    };
    Some(later(asked_at, every))
}

/// Whether what is known is too old for a job to begin on.
pub(in crate::controller) fn is_stale(vault: &BackupVault, limits: Limits, now: Timestamp) -> bool {
    if vault.spec.functions.posture.is_none() {
        return false;
    }
    let known = vault.status.as_ref().and_then(|status| status.posture.as_ref());
    let known = known.filter(|posture| posture.observed_generation == vault.metadata.generation);
    let checked_at = known.and_then(|posture| posture.checked_at);
    checked_at.is_none_or(|at| now > later(at, signed(limits.max_age)))
}

/// Whether a job may open a session on this vault now.
pub(in crate::controller) fn gate(vault: &BackupVault, limits: Limits, now: Timestamp) -> Gate {
    if vault.spec.functions.posture.is_none() {
        return Gate::Open;
    }
    let Some(known) = vault.status.as_ref().and_then(|status| status.posture.as_ref()) else {
        return Gate::Stale;
    };
    let current = known.observed_generation == vault.metadata.generation;
    match standing(vault, known, limits, now) {
        // What was seen of another stack says nothing of this one.
        _ if !current => Gate::Stale,
        Standing::Broken(message) => Gate::Broken { message },
        Standing::Unknown(message) => Gate::Unknown { message },
        Standing::Held | Standing::Unsure => {
            // One that does not answer for a while is no reason to wait: what was seen before counts.
            if known.error.is_some() || !is_stale(vault, limits, now) { Gate::Open } else { Gate::Stale }
        }
    }
}

/// How the required guarantees stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    Held,
    /// Some that held could not be looked at for a short while.
    Unsure,
    Broken(String),
    Unknown(String),
}

fn standing(vault: &BackupVault, known: &PostureStatus, limits: Limits, now: Timestamp) -> Standing {
    let (mut broken, mut unknown, mut unsure) = (Vec::new(), Vec::new(), false);
    let grace = signed(limits.grace);
    for id in required(vault, known) {
        match known.guarantees.iter().find(|guarantee| guarantee.id == id) {
            Some(GuaranteeStatus { state: GuaranteeState::Holds, .. }) => {}
            Some(GuaranteeStatus { state: GuaranteeState::Broken, message, .. }) => {
                broken.push(format!("{id}: {message}"));
            }
            Some(GuaranteeStatus { state: GuaranteeState::Unknown, message, since, last_known, .. }) => {
                match last_known {
                    Some(KnownState::Holds) if now < later(*since, grace) => unsure = true,
                    Some(KnownState::Holds) => unknown.push(format!("{id}, since {since:.0}: {message}")),
                    // Whoever breaks a guarantee may take away the right to look at it, too.
                    Some(KnownState::Broken) => broken.push(format!(
                        "{id}: it was broken and cannot be looked at since {since:.0}: {message}"
                    )),
                    None => unknown.push(format!("{id}: it could not be looked at yet: {message}")),
                }
            }
            None => unknown.push(format!(
                "{id}: the stack's posture function does not know it; correct spec.requiredGuarantees or upgrade the stack"
            )),
        }
    }
    let error = known.error.as_deref().unwrap_or("it has not been asked yet");
    match known.checked_at {
        None => {
            return Standing::Unknown(format!(
                "the posture function has not answered for this spec: {error}"
            ));
        }
        Some(at) if known.error.is_some() && now >= later(at, grace) => {
            unknown.insert(0, format!("the posture function has not answered since {at:.0}: {error}"));
        }
        Some(_) => unsure |= known.error.is_some(),
    }
    if !broken.is_empty() {
        Standing::Broken(spelt_out(&broken))
    } else if !unknown.is_empty() {
        Standing::Unknown(spelt_out(&unknown))
    } else if unsure {
        Standing::Unsure
    } else {
        Standing::Held
    }
}

/// The guarantees that jobs need. Those that the vault names are needed whether or not the stack knows them; without
/// any, those of this version's that the stack has.
fn required(vault: &BackupVault, known: &PostureStatus) -> BTreeSet<String> {
    if let Some(named) = &vault.spec.required_guarantees {
        named.iter().cloned().collect()
    } else {
        let ids = Name::ALL.iter().filter(|name| name.is_required()).map(|name| name.id());
        let has = |id: &&str| known.guarantees.iter().any(|guarantee| guarantee.id == *id);
        ids.filter(has).map(str::to_owned).collect()
    }
}

fn spelt_out(all: &[String]) -> String {
    let more = all.len().saturating_sub(SPELT_OUT);
    let words = all.iter().take(SPELT_OUT).map(String::as_str).collect::<Vec<_>>().join("; ");
    if more == 0 { words } else { format!("{words}; and {more} more in the vault's status") }
}

/// The function was asked.
pub(super) fn asked(
    vault: &BackupVault,
    answer: Result<Posture, Fault>,
    limits: Limits,
    now: Timestamp,
) -> BackupVaultStatus {
    let mut status = vault.status.clone().unwrap_or_default();
    // What was seen of another stack says nothing of this one.
    let current = |known: &PostureStatus| known.observed_generation == vault.metadata.generation;
    let mut posture = status.posture.take().filter(current).unwrap_or_default();
    posture.asked_at = Some(now);
    posture.observed_generation = vault.metadata.generation;
    let token = vault.metadata.annotations.as_ref().and_then(|all| all.get(CHECK_POSTURE_ANNOTATION));
    posture.asked_for = token.map(|token| kept(token));
    match answer {
        Ok(found) => {
            posture.error = None;
            posture.checked_at = Some(now);
            posture.guarantees = merged(&posture.guarantees, found, now);
        }
        Err(fault) => posture.error = Some(conditions::shortened(&fault.to_string())),
    }
    let (holds, reason, message) = match standing(vault, &posture, limits, now) {
        Standing::Held => {
            let number = required(vault, &posture).len();
            (ConditionStatus::True, "Held", format!("all {number} required guarantees hold"))
        }
        Standing::Unsure => {
            let message =
                "some guarantees could not be looked at for a short while; what was seen before counts";
            (ConditionStatus::True, "Unsure", message.to_owned())
        }
        Standing::Broken(message) => (ConditionStatus::False, "Broken", message),
        Standing::Unknown(message) => (ConditionStatus::Unknown, "Unknown", message),
    };
    status.posture = Some(posture);
    let generation = vault.metadata.generation;
    conditions::set(&mut status.conditions, HELD, holds, reason, &message, generation, now);
    status
}

/// A vault whose stack has no posture function any more says nothing of it.
pub(super) fn forgotten(vault: &BackupVault) -> Option<BackupVaultStatus> {
    let mut status = vault.status.clone()?;
    if vault.spec.functions.posture.is_some() || status.posture.is_none() {
        return None;
    }
    status.posture = None;
    status.conditions.retain(|condition| condition.type_ != HELD);
    Some(status)
}

/// What was found, each with the time since when it has been so. What is unknown now keeps what was known of it.
fn merged(before: &[GuaranteeStatus], found: Posture, now: Timestamp) -> Vec<GuaranteeStatus> {
    let one = |guarantee: drawbridge_protocol::posture::Guarantee| {
        let state = GuaranteeState::from(guarantee.state);
        let was = before.iter().find(|other| other.id == guarantee.id);
        let since = was.filter(|other| other.state == state).map_or(now, |other| other.since);
        let known = was.and_then(GuaranteeStatus::known);
        let last_known = known.filter(|_| state == GuaranteeState::Unknown);
        GuaranteeStatus { id: guarantee.id, state, message: guarantee.message, since, last_known }
    };
    found.guarantees.into_iter().map(one).collect()
}

/// The guarantees whose state is another than before. A first look tells of those that do not hold.
pub(super) fn changes<'a>(
    before: Option<&PostureStatus>,
    after: &'a BackupVaultStatus,
) -> Vec<&'a GuaranteeStatus> {
    let known = before.map(|posture| posture.guarantees.as_slice()).unwrap_or_default();
    let was = |id: &str| {
        known.iter().find(|other| other.id == id).map_or(GuaranteeState::Holds, |other| other.state)
    };
    let now = after.posture.iter().flat_map(|posture| &posture.guarantees);
    now.filter(|guarantee| guarantee.state != was(&guarantee.id)).collect()
}

/// How many vaults have each guarantee in each state. Ids that this version does not know count as `other`, so that
/// no answer can make labels without end.
pub(super) fn counted<'a>(
    postures: impl Iterator<Item = &'a PostureStatus>,
) -> BTreeMap<(&'static str, &'static str), i64> {
    let mut counts = BTreeMap::new();
    for guarantee in postures.flat_map(|posture| &posture.guarantees) {
        let name = Name::ALL.iter().find(|name| name.id() == guarantee.id).map_or("other", |name| name.id());
        *counts.entry((name, guarantee.state.as_str())).or_default() += 1;
    }
    counts
}

/// As much of an annotation's value as the status holds.
fn kept(token: &str) -> String {
    token.chars().take(256).collect()
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn later(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}
