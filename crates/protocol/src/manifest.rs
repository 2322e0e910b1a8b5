//! What the box says it stored. Both documents are in-toto statements, signed with the session key.
//!
//! `observed` is what the box counted itself; `claimed` is what the client told it and nobody behind the bridge can check.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    CertificateError, CertifiedSession, Envelope, JobRef, ObjectKey, ObjectPrefix, ProtocolError, ReceiptKey,
    Revision, SessionId, SessionPublicKey, Sha256, Sources, Version,
    certificate::Facts,
    checks::{Effect, Finding, Measures},
    json,
};

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const MANIFEST_TYPE: &str = "https://drawbridge.dev/manifest/v1";
const RECEIPT_TYPE: &str = "https://drawbridge.dev/receipt/v1";

/// An in-toto statement, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement<P> {
    #[serde(rename = "_type")]
    pub kind: String,
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    pub predicate: P,
}

/// One object that a statement speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub name: ObjectKey,
    /// `{"sha256": "..."}`.
    pub digest: BTreeMap<String, Sha256>,
}

impl Subject {
    fn new(name: ObjectKey, sha256: Sha256) -> Self {
        Self { name, digest: BTreeMap::from([("sha256".to_owned(), sha256)]) }
    }
}

/// Everything that one session stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub version: Version,
    pub session: SessionId,
    pub job: JobRef,
    /// `SHA256:...` of the key that the client authenticated with.
    pub client_key: String,
    pub instance: String,
    /// The digest of the box's program.
    pub program: Sha256,
    pub bucket: String,
    pub prefix: ObjectPrefix,
    /// The box's clock.
    pub sealed_at: Timestamp,
    /// The checks that were made of every artifact, and what was to follow from each. Words, as in a finding.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, Effect>,
    pub artifacts: Vec<ArtifactRecord>,
}

/// One artifact in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactRecord {
    pub observed: Observed,
    pub claimed: Claimed,
}

/// What the box counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// In order; joined with `cat` they are the artifact. More than one only past 10,000 parts.
    pub objects: Vec<StoredObject>,
    /// Bytes of the whole artifact as stored.
    pub bytes: u64,
    /// Digest of the whole artifact as stored.
    pub sha256: Sha256,
    pub accepted_at: Timestamp,
    pub verdict: Verdict,
    /// Bytes before compression. This and the next are absent where nobody looked, or could not look to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_bytes: Option<u64>,
    /// Digest before compression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_sha256: Option<Sha256>,
    /// Why the verdict is flagged. Cut short where a session has a great many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Absent where no check was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measures: Option<Measures>,
}

/// One object as S3 holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredObject {
    pub key: ObjectKey,
    pub bytes: u64,
    pub sha256: Sha256,
    /// S3's id of the version, where the bucket keeps versions and S3's answer came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What the checks said of an artifact that was stored. A rejected one is not stored; see [`crate::RejectionRecord`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Accepted,
    Flagged,
}

/// What the client says of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claimed {
    /// The name of the source in the job's spec.
    pub source: String,
    pub namespace: String,
    pub pod: String,
    pub pod_uid: String,
    pub container: String,
    /// The image's digest, where the node reported one.
    pub image: String,
    /// What was gathered, as the spec names it.
    pub paths: Vec<String>,
    /// Bytes before compression.
    pub original_bytes: u64,
    /// Digest before compression.
    pub original_sha256: Sha256,
    /// What part of a container's log the artifact is; absent for other artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogRange>,
}

/// The part of a container's log that an artifact holds. All times are the node's, as its lines carry them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRange {
    pub lines: u64,
    /// Of the first line; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// Of the last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// The session whose artifact of the same name this one goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<SessionId>,
    /// Lines of these times may be in no backup of the series.
    pub gaps: Vec<LogGap>,
}

/// A time in which lines were written, or may have been, that nobody could read any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogGap {
    pub from: Timestamp,
    pub to: Timestamp,
    pub why: GapReason,
}

/// What took the lines away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The node rotated the log; only its newest file can be read.
    Rotated,
    /// The container restarted more than once; only the last instance's log is kept.
    Restarted,
    /// The log of the instance before the running one was not there any more.
    PreviousGone,
    /// The pod was deleted after the last backup.
    PodDeleted,
    /// A container's first line is so much younger than its start that a rotation may lie between.
    StartUnproven,
    /// More gaps than are listed one by one; this one spans the rest.
    Several,
}

impl GapReason {
    /// The word that documents, events and metrics show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Restarted => "restarted",
            Self::PreviousGone => "previous_gone",
            Self::PodDeleted => "pod_deleted",
            Self::StartUnproven => "start_unproven",
            Self::Several => "several",
        }
    }
}

impl Manifest {
    /// The bytes to sign and to store.
    pub fn to_statement(&self) -> Result<Vec<u8>, ProtocolError> {
        let objects = self.artifacts.iter().flat_map(|artifact| &artifact.observed.objects);
        let subject = objects.map(|object| Subject::new(object.key.clone(), object.sha256.clone())).collect();
        json::write("manifest", &statement(MANIFEST_TYPE, subject, self))
    }

    /// The manifest in `envelope`, if `key` signed it.
    pub fn verify(envelope: &Envelope, key: &SessionPublicKey) -> Result<Self, ProtocolError> {
        open("manifest", MANIFEST_TYPE, envelope, key)
    }

    /// The manifest in `envelope`, if its certificate is signed with `key`, the certified key signed the manifest, and
    /// the two speak of the same session.
    pub fn verify_certified(
        envelope: &Envelope,
        key: &ReceiptKey,
    ) -> Result<(Self, CertifiedSession), CertificateError> {
        let certified = certified(envelope, key)?;
        let manifest = Self::verify(envelope, &certified.session_key).map_err(CertificateError::Document)?;
        certified.must_name(&manifest.facts())?;
        certified.must_last_until(manifest.sealed_at)?;
        Ok((manifest, certified))
    }

    /// What a certificate of the session must name.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            session: &self.session,
            job: &self.job,
            client_key: &self.client_key,
            bucket: &self.bucket,
            prefix: &self.prefix,
            session_key: None,
            instance: Some(&self.instance),
            program: Some(&self.program),
        }
    }
}

/// What the client keeps: small, and enough to find and check the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub version: Version,
    pub session: SessionId,
    pub job: JobRef,
    /// `SHA256:...` of the key that the client authenticated with.
    pub client_key: String,
    pub bucket: String,
    pub manifest: ObjectKey,
    pub manifest_sha256: Sha256,
    pub artifacts: u32,
    /// Bytes stored, the manifest not counted.
    pub bytes: u64,
    pub sealed_at: Timestamp,
    /// What the box measured, for the next run of the series to be compared with.
    #[serde(default, skip_serializing_if = "Sources::is_empty")]
    pub sources: Sources,
}

impl Receipt {
    /// The same as a client of `revision` knows it.
    #[must_use]
    pub fn in_words_of(self, revision: Revision) -> Self {
        if revision.is_first() { Self { sources: Sources::default(), ..self } } else { self }
    }

    /// The bytes to sign.
    pub fn to_statement(&self) -> Result<Vec<u8>, ProtocolError> {
        let subject = vec![Subject::new(self.manifest.clone(), self.manifest_sha256.clone())];
        json::write("receipt", &statement(RECEIPT_TYPE, subject, self))
    }

    /// The receipt in `envelope`, if `key` signed it.
    pub fn verify(envelope: &Envelope, key: &SessionPublicKey) -> Result<Self, ProtocolError> {
        open("receipt", RECEIPT_TYPE, envelope, key)
    }

    /// As [`Manifest::verify_certified`].
    pub fn verify_certified(
        envelope: &Envelope,
        key: &ReceiptKey,
    ) -> Result<(Self, CertifiedSession), CertificateError> {
        let certified = certified(envelope, key)?;
        let receipt = Self::verify(envelope, &certified.session_key).map_err(CertificateError::Document)?;
        let Self { session, job, client_key, bucket, .. } = &receipt;
        let prefix = receipt.prefix().map_err(CertificateError::Document)?;
        let (session_key, instance, program) = (None, None, None);
        let prefix = &prefix;
        certified.must_name(&Facts {
            session,
            job,
            client_key,
            bucket,
            prefix,
            session_key,
            instance,
            program,
        })?;
        certified.must_last_until(receipt.sealed_at)?;
        Ok((receipt, certified))
    }

    /// Where the manifest lies, and with it everything else of the session.
    fn prefix(&self) -> Result<ObjectPrefix, ProtocolError> {
        let key = self.manifest.as_str();
        let end = key.rfind('/').map_or(0, |slash| slash + 1);
        let prefix: ObjectPrefix = key[..end].parse()?;
        if prefix.manifest() == self.manifest {
            return Ok(prefix);
        }
        Err(ProtocolError::invalid("receipt", format!("'{key}' is no manifest's key")))
    }
}

fn certified(envelope: &Envelope, key: &ReceiptKey) -> Result<CertifiedSession, CertificateError> {
    envelope.certificate().ok_or(CertificateError::Missing)?.verify(key)
}

pub(crate) fn statement<P>(predicate_type: &str, subject: Vec<Subject>, predicate: P) -> Statement<P> {
    Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject,
        predicate_type: predicate_type.to_owned(),
        predicate,
    }
}

pub(crate) fn open<P: serde::de::DeserializeOwned>(
    what: &'static str,
    predicate_type: &str,
    envelope: &Envelope,
    key: &SessionPublicKey,
) -> Result<P, ProtocolError> {
    let payload = envelope.verify(what, key)?;
    let statement: Statement<P> = json::parse(what, &payload, json::MAX_MANIFEST)?;
    if statement.kind != STATEMENT_TYPE || statement.predicate_type != predicate_type {
        let why =
            format!("expected a {predicate_type}, got a {} {}", statement.kind, statement.predicate_type);
        return Err(ProtocolError::invalid(what, why));
    }
    Ok(statement.predicate)
}
