//! Single values that are read from text: names, keys, the configuration of the checks.

use std::{fmt::Display, str::FromStr};

use drawbridge_protocol::{
    ArtifactName, ClusterName, ExtraCa, ObjectKey, ObjectPrefix, ReceiptKey, SeriesName, SessionId,
    SessionPublicKey, Sha256, SshPublicKey, checks::ChecksConfig,
};

/// What is taken is written as it was read, and no name of anything leads out of where it belongs.
pub(crate) fn words(data: &[u8]) {
    let _ = ReceiptKey::from_file(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(name) = word::<ArtifactName>(text) {
        assert!(!name.as_str().contains(['/', '\\', '\0', '\n']) && !name.as_str().contains(".."), "{name}");
        let prefix: ObjectPrefix = "clusters/a/b/c/d/".parse().unwrap();
        let key = prefix.artifact(&name, 1);
        assert!(key.as_str().starts_with(prefix.as_str()), "{key}");
        assert!(
            key != prefix.manifest() && key != prefix.manifest_envelope() && key != prefix.sums(),
            "{key}"
        );
    }
    if let Some(key) = word::<ObjectKey>(text) {
        climbs_nowhere(key.as_str());
    }
    if let Some(prefix) = word::<ObjectPrefix>(text) {
        climbs_nowhere(prefix.as_str().trim_end_matches('/'));
    }
    if let Some(cluster) = word::<ClusterName>(text) {
        assert!(!cluster.as_str().contains(['/', '.']), "{cluster}");
    }
    word::<SessionId>(text);
    word::<Sha256>(text);
    word::<SshPublicKey>(text);
    word::<SessionPublicKey>(text);
    let _ = SeriesName::try_from(text.to_owned());
    let _ = text.parse::<ExtraCa>();
    let _ = text.parse::<ChecksConfig>();
}

fn word<T: FromStr + Display>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    assert_eq!(value.to_string(), text, "a word changed on its way");
    Some(value)
}

fn climbs_nowhere(path: &str) {
    assert!(path.split('/').all(|step| !matches!(step, "" | "." | "..")), "{path}");
}
