//! Whether the operator's AWS identity is one that expires, as the vault's status says it.

use jiff::Timestamp;
use kube::Resource as _;

use crate::{
    api::{BackupVault, BackupVaultStatus, ConditionStatus, conditions},
    broker::Credentials,
    controller::Context,
};

const CONDITION: &str = "Keyless";
const STATIC_KEY: &str = "StaticKey";
const ADVICE: &str = "the operator invokes the stack's functions with a long-lived access key; it works, but whoever copies it \
                      may open boxes until it is deleted: use a web identity or EKS Pod Identity (docs/install.md, step 4)";

/// Sets the condition; what cannot be told leaves it as it was.
pub(super) fn note(
    vault: &BackupVault,
    mut status: BackupVaultStatus,
    credentials: Credentials,
    now: Timestamp,
) -> BackupVaultStatus {
    let (holds, reason, message) = match credentials {
        Credentials::Temporary => (
            ConditionStatus::True,
            "TemporaryCredentials",
            "the operator's AWS credentials expire by themselves",
        ),
        Credentials::StaticKey => (ConditionStatus::False, STATIC_KEY, ADVICE),
        Credentials::Unknown => return status,
    };
    let generation = vault.metadata.generation;
    conditions::set(&mut status.conditions, CONDITION, holds, reason, message, generation, now);
    status
}

/// Warns when a long-lived key is seen that the status did not know of.
pub(super) async fn tell(context: &Context, vault: &BackupVault, changed: &BackupVaultStatus) {
    if newly_static(vault.status.as_ref(), changed) {
        context.events.warning(&vault.object_ref(&()), "Ask", STATIC_KEY, ADVICE).await;
    }
}

fn newly_static(before: Option<&BackupVaultStatus>, changed: &BackupVaultStatus) -> bool {
    let has_key = |status: &BackupVaultStatus| {
        conditions::find(&status.conditions, CONDITION).is_some_and(|found| found.reason == STATIC_KEY)
    };
    has_key(changed) && !before.is_some_and(has_key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

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

    /// The status after these credentials were seen one after the other, and whether the last was warned of.
    fn seen(all: &[Credentials]) -> (BackupVaultStatus, bool) {
        let mut status = BackupVaultStatus::default();
        let mut warned = false;
        for credentials in all {
            let vault = vault(&status);
            let changed = note(&vault, status, *credentials, Timestamp::UNIX_EPOCH);
            warned = newly_static(vault.status.as_ref(), &changed);
            status = changed;
        }
        (status, warned)
    }

    #[test]
    fn a_long_lived_key_is_warned_of_once_and_its_end_is_seen() {
        use Credentials::{StaticKey, Temporary, Unknown};
        let cases: [(&[Credentials], Option<&str>, bool); 7] = [
            (&[Unknown], None, false),
            (&[Temporary], Some("TemporaryCredentials"), false),
            (&[StaticKey], Some("StaticKey"), true),
            (&[StaticKey, StaticKey], Some("StaticKey"), false),
            (&[StaticKey, Unknown, StaticKey], Some("StaticKey"), false),
            (&[StaticKey, Temporary], Some("TemporaryCredentials"), false),
            (&[Temporary, StaticKey], Some("StaticKey"), true),
        ];
        for (credentials, reason, warned) in cases {
            let (status, told) = seen(credentials);
            let found = conditions::find(&status.conditions, CONDITION).map(|found| found.reason.as_str());
            assert_eq!((found, told), (reason, warned), "{credentials:?}");
        }
    }
}
