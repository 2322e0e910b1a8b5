//! The records of artifacts that were rejected. A session may be sealed without them, or not at all.

use std::path::Path;

use drawbridge_protocol::{
    ArtifactName, Envelope, Manifest, RejectionRecord, SessionPublicKey, json,
    rejection::{MAX_ENVELOPE, SUFFIX},
};

use super::{Report, Trust, Wanted, unwanted};
use crate::read;

/// Whether a file of this name is the record of an artifact, or wants to pass for one.
pub(super) fn is_record(name: &str) -> bool {
    name.strip_suffix(SUFFIX).is_some_and(|artifact| artifact.parse::<ArtifactName>().is_ok())
}

/// Checks a record beside the manifest that `key` signed.
pub(super) fn beside(
    directory: &Path,
    name: &str,
    manifest: &Manifest,
    key: &SessionPublicKey,
    report: &mut Report,
) {
    let record = envelope(directory, name).and_then(|envelope| signed(name, &envelope, key));
    let Some(record) = report.take(name, record) else { return };
    let stored = record.prefix.artifact(&record.artifact, 0);
    if record.facts() != manifest.facts() {
        report.bad(name, "it is of another session than the manifest".to_owned());
    } else if manifest.artifacts.iter().flat_map(|it| &it.observed.objects).any(|it| it.key == stored) {
        report.bad(name, "the manifest has that artifact as stored; no honest box signs both".to_owned());
    } else {
        report.good(name, told(&record));
    }
}

/// Checks a record where no manifest holds, and tells what it says: `state` is what became of the manifest.
pub(super) fn alone(
    directory: &Path,
    name: &str,
    state: &str,
    trust: &Trust,
    wanted: &Wanted,
    report: &mut Report,
) {
    let read = envelope(directory, name).and_then(|envelope| {
        let (key, whose) = match trust {
            Trust::Session(key) => (key.clone(), String::new()),
            // Certificates come with the commit, so that nothing here is certified: the record's own hint shows no more
            // than that it is whole.
            Trust::Pinned(_) => {
                let key = hint(&envelope)?;
                let whose = format!(
                    ", says a record whose key {key} nothing here vouches for; give --session-key with the key that \
                     `create` named for this session"
                );
                (key, whose)
            }
        };
        signed(name, &envelope, &key).map(|record| (record, whose))
    });
    let Some((record, whose)) = report.take(name, read) else { return };
    report.bad(name, format!("{state}: {}{whose}", told(&record)));
    if let Some(why) = unwanted(&record.facts(), wanted) {
        report.bad(name, why);
    }
}

fn envelope(directory: &Path, name: &str) -> Result<Envelope, String> {
    let bytes = read::whole(&directory.join(name), MAX_ENVELOPE).map_err(|error| error.to_string())?;
    json::parse("envelope", &bytes, MAX_ENVELOPE).map_err(|error| error.to_string())
}

/// The key that whoever made the envelope names.
fn hint(envelope: &Envelope) -> Result<SessionPublicKey, String> {
    let signature = envelope.signatures.first().ok_or("it is not signed")?;
    signature
        .keyid
        .parse::<SessionPublicKey>()
        .map_err(|error| format!("its signature names no key: {error}"))
}

/// The record, if `key` signed it and the file has its name.
fn signed(name: &str, envelope: &Envelope, key: &SessionPublicKey) -> Result<RejectionRecord, String> {
    let record = RejectionRecord::verify(envelope, key).map_err(|error| error.to_string())?;
    if name.strip_suffix(SUFFIX) != Some(record.artifact.as_str()) {
        return Err(format!("it is the record of '{}'", record.artifact));
    }
    Ok(record)
}

fn told(record: &RejectionRecord) -> String {
    let RejectionRecord { artifact, check, reason, rejected_at, .. } = record;
    format!(
        "artifact '{artifact}' was rejected at {rejected_at} by check '{}': {}",
        plain(check),
        plain(reason)
    )
}

/// Who made the artifact chose some of the words; a terminal must not obey them.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}
