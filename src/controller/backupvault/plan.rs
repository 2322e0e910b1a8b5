//! What to do next with a vault. A pure function.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::observe::Observation;
use crate::api::{BackupVault, conditions};

/// A vault that answered is asked again after this long: a few thousand invocations a month.
const ASK_READY: SignedDuration = SignedDuration::from_mins(10);
/// One that did not, after this long.
const ASK_UNREADY: SignedDuration = SignedDuration::from_secs(20);
/// The counts are looked at this often, whatever wakes us in between.
const COUNT: SignedDuration = SignedDuration::from_secs(30);

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask the cleanup function about a session that never was: it answers only if region, name and identity are right.
    Ask,
    /// Show the counts.
    Count(Observation),
    /// Nothing for this long.
    Rest(Duration),
}

impl Step {
    /// The step's name, for metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ask => "vault_ask",
            Self::Count(_) => "vault_count",
            Self::Rest(_) => "vault_rest",
        }
    }
}

/// The next step.
pub(super) fn plan(vault: &BackupVault, seen: Observation, now: Timestamp) -> Step {
    let status = vault.status.clone().unwrap_or_default();
    let ready = conditions::is_true(&status.conditions, "Ready");
    let every = if ready { ASK_READY } else { ASK_UNREADY };
    let ask_at = match status.checked_at {
        // A check that is still to come was made under a clock that has been set back since.
        Some(checked_at) if status.observed_generation == vault.metadata.generation && checked_at <= now => {
            checked_at.checked_add(every).unwrap_or(now)
        }
        _ => now,
    };
    if ask_at <= now {
        return Step::Ask;
    }
    if (status.open_sessions, status.queued_jobs) != (seen.open_sessions, seen.queued_jobs) {
        return Step::Count(seen);
    }
    let rest = ask_at.duration_since(now).min(COUNT);
    Step::Rest(Duration::try_from(rest).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn vault(ready: &str, checked: i64, generation: i64) -> BackupVault {
        serde_json::from_value(json!({
            "apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupVault", "metadata": { "name": "v", "generation": 2 },
            "spec": { "region": "us-east-1", "functions": { "create": "c", "cleanup": "d" },
                      "allowedNamespaces": { "matchNames": ["a"] } },
            "status": { "observedGeneration": generation, "checkedAt": at(checked), "openSessions": 1, "conditions": [
                { "type": "Ready", "status": ready, "reason": "R", "message": "", "lastTransitionTime": at(0) }] }
        }))
        .unwrap()
    }

    #[test]
    fn the_table() {
        let seen = Observation { open_sessions: 1, queued_jobs: 0 };
        let busier = Observation { open_sessions: 2, queued_jobs: 5 };
        let new = BackupVault { status: None, ..vault("True", 0, 2) };
        let cases = [
            ("a new vault is asked", new, seen, 0, Step::Ask),
            ("a changed one too", vault("True", 100, 1), seen, 101, Step::Ask),
            ("a ready one rests", vault("True", 100, 2), seen, 101, Step::Rest(Duration::from_secs(30))),
            ("a ready one is asked after ten minutes", vault("True", 100, 2), seen, 700, Step::Ask),
            ("an unready one sooner", vault("False", 100, 2), seen, 120, Step::Ask),
            ("and rests before", vault("False", 100, 2), seen, 110, Step::Rest(Duration::from_secs(10))),
            ("new counts are shown", vault("True", 100, 2), busier, 101, Step::Count(busier)),
        ];
        for (what, vault, seen, now, expected) in cases {
            assert_eq!(plan(&vault, seen, at(now)), expected, "{what}");
        }
    }
}
