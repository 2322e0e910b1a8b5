//! What to do next with a vault. A pure function.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    observe::Observation,
    posture::{Limits, ask_at},
};
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
    /// Ask the posture function how the stack stands.
    AskPosture,
    /// The vault has no posture function any more: take away what it said.
    ForgetPosture,
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
            Self::AskPosture => "vault_ask_posture",
            Self::ForgetPosture => "vault_forget_posture",
            Self::Count(_) => "vault_count",
            Self::Rest(_) => "vault_rest",
        }
    }
}

/// The next step.
pub(super) fn plan(vault: &BackupVault, seen: Observation, limits: Limits, now: Timestamp) -> Step {
    let status = vault.status.clone().unwrap_or_default();
    let ready = conditions::is_true(&status.conditions, "Ready");
    let every = if ready { ASK_READY } else { ASK_UNREADY };
    let ready_at = match status.checked_at {
        // A check that is still to come was made under a clock that has been set back since.
        Some(checked_at) if status.observed_generation == vault.metadata.generation && checked_at <= now => {
            checked_at.checked_add(every).unwrap_or(now)
        }
        _ => now,
    };
    if ready_at <= now || seen.spoken_news {
        return Step::Ask;
    }
    // A stack whose functions do not answer is not asked how it stands; no job begins on it anyway.
    let posture_at = ask_at(vault, seen.posture_wanted, limits, now).filter(|_| ready);
    if posture_at.is_some_and(|at| at <= now) {
        return Step::AskPosture;
    }
    if vault.spec.functions.posture.is_none() && status.posture.is_some() {
        return Step::ForgetPosture;
    }
    if (status.open_sessions, status.queued_jobs) != (seen.open_sessions, seen.queued_jobs) {
        return Step::Count(seen);
    }
    let next = posture_at.map_or(ready_at, |at| at.min(ready_at));
    let rest = next.duration_since(now).min(COUNT);
    Step::Rest(Duration::try_from(rest).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::*;
    use crate::api::{CHECK_POSTURE_ANNOTATION, PostureStatus};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const LIMITS: Limits = Limits {
        every: Duration::from_mins(10),
        max_age: Duration::from_mins(1),
        grace: Duration::from_mins(30),
    };

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

    /// A vault with a posture function that was asked at that second; its functions answered at second 100.
    fn with_posture(ready: &str, asked: Option<i64>) -> BackupVault {
        let mut vault = vault(ready, 100, 2);
        vault.spec.functions.posture = Some("p".to_owned());
        let posture = asked.map(|second| PostureStatus {
            asked_at: Some(at(second)),
            checked_at: Some(at(second)),
            observed_generation: Some(2),
            ..PostureStatus::default()
        });
        vault.status.as_mut().unwrap().posture = posture;
        vault
    }

    #[test]
    fn the_table() {
        let seen =
            Observation { open_sessions: 1, queued_jobs: 0, posture_wanted: false, spoken_news: false };
        let wanted = Observation { posture_wanted: true, ..seen };
        let heard = Observation { spoken_news: true, ..seen };
        let busier = Observation { open_sessions: 2, queued_jobs: 5, ..seen };
        let told = |second| with_posture("True", Some(second));
        let failed = || {
            let mut vault = told(101);
            vault.status.as_mut().unwrap().posture.as_mut().unwrap().error = Some("why".to_owned());
            vault
        };
        let changed = || {
            let mut vault = told(101);
            vault.status.as_mut().unwrap().posture.as_mut().unwrap().observed_generation = Some(1);
            vault
        };
        let annotated = |token: &str| {
            let mut vault = told(101);
            vault.metadata.annotations =
                Some([(CHECK_POSTURE_ANNOTATION.to_owned(), token.to_owned())].into());
            vault.status.as_mut().unwrap().posture.as_mut().unwrap().asked_for = Some("1".to_owned());
            vault
        };
        let mut without = told(101);
        without.spec.functions.posture = None;
        let new = BackupVault { status: None, ..vault("True", 0, 2) };
        let cases = vec![
            ("a new vault is asked", new, seen, 0, Step::Ask),
            ("a changed one too", vault("True", 100, 1), seen, 101, Step::Ask),
            ("a ready one rests", vault("True", 100, 2), seen, 101, Step::Rest(Duration::from_secs(30))),
            ("a ready one is asked after ten minutes", vault("True", 100, 2), seen, 700, Step::Ask),
            ("an unready one sooner", vault("False", 100, 2), seen, 120, Step::Ask),
            ("and rests before", vault("False", 100, 2), seen, 110, Step::Rest(Duration::from_secs(10))),
            ("new counts are shown", vault("True", 100, 2), busier, 101, Step::Count(busier)),
            ("a new posture function is asked", with_posture("True", None), seen, 101, Step::AskPosture),
            (
                "not on a stack that does not answer",
                with_posture("False", None),
                seen,
                101,
                Step::Rest(Duration::from_secs(19)),
            ),
            ("one that was asked rests", told(101), seen, 102, Step::Rest(Duration::from_secs(30))),
            ("for ten minutes", told(101), seen, 699, Step::Rest(Duration::from_secs(1))),
            ("and is asked then", told(60), seen, 660, Step::AskPosture),
            ("a job that waits has it asked sooner", told(101), wanted, 161, Step::AskPosture),
            ("but not at once again", told(101), wanted, 160, Step::Rest(Duration::from_secs(1))),
            ("one that failed is asked again", failed(), seen, 131, Step::AskPosture),
            ("what was heard of it is shown at once", told(101), heard, 102, Step::Ask),
            ("of another spec", changed(), seen, 102, Step::AskPosture),
            ("whoever annotates has it asked", annotated("2"), seen, 102, Step::AskPosture),
            ("once", annotated("1"), seen, 102, Step::Rest(Duration::from_secs(30))),
            ("asked in a future that was taken back", told(500), seen, 102, Step::AskPosture),
            ("one that is gone is forgotten", without, seen, 102, Step::ForgetPosture),
        ];
        for (what, vault, seen, now, expected) in cases {
            assert_eq!(plan(&vault, seen, LIMITS, at(now)), expected, "{what}");
        }
    }
}
