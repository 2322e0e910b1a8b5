//! Whether controller and stack fit together, as the vault's status says it; where not, which side is to be upgraded.

use drawbridge_protocol::Revisions;
use jiff::Timestamp;

use crate::{
    api::{BackupVault, BackupVaultStatus, ConditionStatus, conditions},
    controller::Spoken,
};

const CONDITION: &str = "VersionsFit";

/// What the condition is: status, reason, message.
fn judge(spoken: &Spoken) -> (ConditionStatus, &'static str, String) {
    match spoken {
        Spoken::Nothing(said) => (ConditionStatus::False, "VersionSkew", said.clone()),
        Spoken::Revision(revision) if *revision < Revisions::OURS.newest() => {
            let message = format!(
                "the stack speaks revision {revision} of the protocol, this controller {}: it works, without what the \
                 newer one has; upgrade the stack (docs/upgrades.md)",
                Revisions::OURS
            );
            (ConditionStatus::True, "OlderStack", message)
        }
        Spoken::Revision(revision) => {
            (ConditionStatus::True, "SameRevision", format!("both speak revision {revision} of the protocol"))
        }
    }
}

/// Whether what was heard is not what the status says.
pub(super) fn is_news(vault: &BackupVault, spoken: Option<&Spoken>) -> bool {
    let Some(spoken) = spoken else { return false };
    let (holds, reason, _) = judge(spoken);
    let shown = vault.status.as_ref().and_then(|status| conditions::find(&status.conditions, CONDITION));
    shown.is_none_or(|shown| shown.status != holds || shown.reason != reason)
}

/// Sets the condition; where nothing was heard it stays as it was.
pub(super) fn note(
    vault: &BackupVault,
    mut status: BackupVaultStatus,
    spoken: Option<&Spoken>,
    now: Timestamp,
) -> BackupVaultStatus {
    if let Some(spoken) = spoken {
        let (holds, reason, message) = judge(spoken);
        let generation = vault.metadata.generation;
        conditions::set(&mut status.conditions, CONDITION, holds, reason, &message, generation, now);
    }
    status
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use drawbridge_protocol::Revision;
    use serde_json::json;

    use super::*;

    fn vault(status: &BackupVaultStatus) -> BackupVault {
        serde_json::from_value(json!({
            "apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupVault", "metadata": { "name": "v", "generation": 2 },
            "spec": { "region": "us-east-1", "functions": { "create": "c", "cleanup": "d" },
                      "allowedNamespaces": { "matchNames": ["a"] } },
            "status": status
        }))
        .unwrap()
    }

    #[test]
    fn the_condition_says_which_side_to_upgrade_and_is_written_once() {
        let newer = Revisions::of(3, 4).unwrap().choose(Revisions::OURS).unwrap_err();
        let older = Revisions::UNNAMED.choose(Revisions::of(2, 3).unwrap()).unwrap_err();
        let cases = [
            (Spoken::Revision(Revisions::OURS.newest()), "SameRevision", "both speak revision 2"),
            (Spoken::Revision(Revision::FIRST), "OlderStack", "upgrade the stack"),
            (Spoken::Nothing(newer.to_string()), "VersionSkew", "upgrade the controller"),
            (Spoken::Nothing(older.to_string()), "VersionSkew", "upgrade the stack"),
        ];
        for (spoken, reason, said) in cases {
            let before = vault(&BackupVaultStatus::default());
            assert!(is_news(&before, Some(&spoken)));
            let status = note(&before, BackupVaultStatus::default(), Some(&spoken), Timestamp::UNIX_EPOCH);
            let shown = conditions::find(&status.conditions, CONDITION).unwrap();
            assert_eq!(shown.reason, reason);
            assert!(shown.message.contains(said), "{}", shown.message);
            assert_eq!(shown.status == ConditionStatus::False, reason == "VersionSkew");
            assert!(!is_news(&vault(&status), Some(&spoken)));
        }
        let nothing = note(
            &vault(&BackupVaultStatus::default()),
            BackupVaultStatus::default(),
            None,
            Timestamp::UNIX_EPOCH,
        );
        assert!(nothing.conditions.is_empty());
    }
}
