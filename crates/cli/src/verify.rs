//! Checks one session's objects in a directory: from the pinned key to the certificate, to the manifest, to every byte.
//!
//! Nothing is believed before a signature holds, and a check that fails does not hide the others.

mod rejected;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use drawbridge_protocol::{
    CertificateError, Envelope, Manifest, ObjectPrefix, ProtocolError, ReceiptKey, SessionId,
    SessionPublicKey, Sha256,
    certificate::Facts,
    json::{self, MAX_MANIFEST},
    manifest::{ArtifactRecord, StoredObject},
};

pub use self::report::{Finding, Report};
use crate::read::{self, ReadError};

const ENVELOPE: &str = "manifest.dsse.json";
const MANIFEST: &str = "manifest.json";
const SUMS: &str = "SHA256SUMS";
/// A manifest in base64, and its signature and certificate.
const MAX_ENVELOPE: usize = MAX_MANIFEST / 3 * 4 + (64 << 10);

/// What is believed without proof.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The stack's receipt key.
    Pinned(ReceiptKey),
    /// The session's own key, where no receipt key vouches for it.
    Session(SessionPublicKey),
}

/// What the session must be, beyond being genuine. What is not said is not asked.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub session: Option<SessionId>,
    pub job_uid: Option<String>,
    pub prefix: Option<ObjectPrefix>,
}

/// Checks all that lies in `directory`. An error only where there is no directory to look at.
pub fn directory(directory: &Path, trust: &Trust, wanted: &Wanted) -> Result<Report, ReadError> {
    let there = read::names(directory)?;
    let (records, others): (Vec<&String>, Vec<&String>) =
        there.iter().partition(|name| rejected::is_record(name));
    let mut report = Report::default();
    let Some((manifest, session_key)) = genuine(directory, trust, &mut report) else {
        let sealed = others.iter().any(|name| *name == ENVELOPE);
        let state = if sealed { "its manifest does not hold" } else { "NOT SEALED" };
        for name in records {
            rejected::alone(directory, name, state, trust, wanted, &mut report);
        }
        return Ok(report);
    };
    report.about(&manifest);
    if let Some(why) = unwanted(&manifest.facts(), wanted) {
        report.bad(ENVELOPE, why);
    }
    let mut named = BTreeMap::new();
    for artifact in &manifest.artifacts {
        check_artifact(directory, &manifest.prefix, artifact, &mut named, &mut report);
    }
    check_sums(directory, &named, &mut report);
    for name in records {
        rejected::beside(directory, name, &manifest, &session_key, &mut report);
    }
    let ours: BTreeSet<&str> = named.keys().map(String::as_str).chain([ENVELOPE, MANIFEST, SUMS]).collect();
    for extra in others.into_iter().filter(|name| !ours.contains(name.as_str())) {
        // Whoever put it there chose its name; a terminal must not obey it.
        report.bad(&extra.escape_debug().to_string(), "no signed manifest names it".to_owned());
    }
    Ok(report)
}

/// The manifest and the key that signed it, if the chain of signatures holds.
fn genuine(directory: &Path, trust: &Trust, report: &mut Report) -> Option<(Manifest, SessionPublicKey)> {
    let signed = read::whole(&directory.join(ENVELOPE), MAX_ENVELOPE).map_err(|error| error.to_string());
    let envelope = signed.and_then(|bytes| {
        json::parse::<Envelope>("envelope", &bytes, MAX_ENVELOPE).map_err(|error| error.to_string())
    });
    let envelope = report.take(ENVELOPE, envelope)?;
    let (manifest, session_key) = report.take(ENVELOPE, verified(&envelope, trust))?;
    let how = match trust {
        Trust::Pinned(key) => format!(
            "signed by box {} of session {}, whose key the receipt key {} certifies",
            manifest.instance,
            manifest.session,
            short(&key.fingerprint())
        ),
        Trust::Session(_) => format!("signed with the given key of session {}", manifest.session),
    };
    report.good(ENVELOPE, how);
    let payload = BASE64.decode(&envelope.payload).unwrap_or_default();
    // The subjects of the statement stand beside the predicate; one way of writing leaves them no room to differ.
    if manifest.to_statement().ok().as_ref() != Some(&payload) {
        report.bad(ENVELOPE, "its subjects are not the objects that its predicate lists".to_owned());
    }
    match read::whole(&directory.join(MANIFEST), MAX_MANIFEST) {
        Ok(bytes) if bytes == payload => report.good(MANIFEST, "the bytes that were signed".to_owned()),
        Ok(_) => report.bad(MANIFEST, "it is not what was signed".to_owned()),
        Err(error) => report.bad(MANIFEST, error.to_string()),
    }
    Some((manifest, session_key))
}

fn verified(envelope: &Envelope, trust: &Trust) -> Result<(Manifest, SessionPublicKey), String> {
    let verified = match trust {
        Trust::Pinned(key) => Manifest::verify_certified(envelope, key)
            .map(|(manifest, certified)| (manifest, certified.session_key)),
        Trust::Session(key) => Manifest::verify(envelope, key)
            .map(|manifest| (manifest, key.clone()))
            .map_err(CertificateError::Document),
    };
    verified.map_err(|error| match error {
        CertificateError::Document(ProtocolError::Signature { .. }) if matches!(trust, Trust::Session(_)) => {
            "it is not signed with the given session key".to_owned()
        }
        error => error.to_string(),
    })
}

fn unwanted(found: &Facts<'_>, wanted: &Wanted) -> Option<String> {
    let differs = |what: &str, is: &str, wanted: Option<&str>| {
        wanted.filter(|wanted| *wanted != is).map(|wanted| format!("it is of {what} {is}, not of {wanted}"))
    };
    let session = wanted.session.as_ref().map(SessionId::as_str);
    let prefix = wanted.prefix.as_ref().map(ObjectPrefix::as_str);
    differs("session", found.session.as_str(), session)
        .or_else(|| differs("the job with uid", &found.job.uid, wanted.job_uid.as_deref()))
        .or_else(|| differs("prefix", found.prefix.as_str(), prefix))
}

/// Each object of an artifact, and the artifact as a whole.
fn check_artifact(
    directory: &Path,
    prefix: &ObjectPrefix,
    artifact: &ArtifactRecord,
    named: &mut BTreeMap<String, Sha256>,
    report: &mut Report,
) {
    let observed = &artifact.observed;
    let (mut whole, mut bytes, mut all_good) = (Context::new(&SHA256), 0_u64, true);
    for object in &observed.objects {
        let Some(name) = file_name(prefix, object) else {
            report
                .bad(object.key.as_str(), format!("the manifest names it, and it is no file under {prefix}"));
            all_good = false;
            continue;
        };
        if named.insert(name.clone(), object.sha256.clone()).is_some() {
            report.bad(&name, "the manifest names it twice".to_owned());
        }
        match read::digest(&directory.join(&name), &mut whole) {
            Ok((length, sha256)) if (length, &sha256) == (object.bytes, &object.sha256) => {
                report.good(&name, format!("{length} bytes, sha256 {}", short(&sha256)));
            }
            Ok((length, sha256)) => {
                let StoredObject { bytes: wanted, sha256: digest, .. } = object;
                let why =
                    format!("it has {length} bytes, sha256 {sha256}; the manifest says {wanted}, {digest}");
                report.bad(&name, why);
                all_good = false;
            }
            Err(error) => {
                report.bad(&name, format!("the manifest names it: {error}"));
                all_good = false;
            }
        }
        bytes = bytes.saturating_add(object.bytes);
    }
    let whole = Sha256::from_digest(&whole.finish());
    if all_good && (bytes, &whole) != (observed.bytes, &observed.sha256) {
        let joined: Vec<_> = observed.objects.iter().filter_map(|object| file_name(prefix, object)).collect();
        let why = format!(
            "joined they have {bytes} bytes, sha256 {whole}; the manifest says {}, {}",
            observed.bytes, observed.sha256
        );
        report.bad(&joined.join(" "), why);
    }
}

/// An object's name in the directory. Every object lies directly under the prefix.
fn file_name(prefix: &ObjectPrefix, object: &StoredObject) -> Option<String> {
    let name = object.key.as_str().strip_prefix(prefix.as_str())?;
    (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
}

/// `SHA256SUMS` is not signed; it must say what the manifest says, for whoever checks with `sha256sum` alone.
fn check_sums(directory: &Path, named: &BTreeMap<String, Sha256>, report: &mut Report) {
    let read = read::whole(&directory.join(SUMS), MAX_MANIFEST).map_err(|error| error.to_string());
    let text = read.and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()));
    let Some(text) = report.take(SUMS, text) else { return };
    let mut listed = BTreeMap::new();
    for line in text.lines() {
        let Some((digest, name)) = line.split_once("  ") else {
            return report.bad(SUMS, format!("{line:?} is no line of sha256sum"));
        };
        if listed.insert(name, digest).is_some() {
            return report.bad(SUMS, format!("it lists {name:?} twice"));
        }
    }
    let signed: BTreeMap<&str, &str> =
        named.iter().map(|(name, digest)| (name.as_str(), digest.as_str())).collect();
    if listed == signed {
        report.good(SUMS, format!("{} lines, as the manifest has them", listed.len()));
    } else {
        report.bad(SUMS, "it does not list what the manifest lists".to_owned());
    }
}

/// Enough of a digest to recognise it.
fn short(digest: &Sha256) -> String {
    digest.as_str().chars().take(12).collect()
}
