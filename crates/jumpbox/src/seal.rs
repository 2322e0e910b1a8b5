//! Signs for the session. Writes its last objects: sums, signed manifest, manifest; and makes the receipt.
//!
//! What is to be written is fixed before the first write, so that a commit that failed half-way goes on with the
//! same bytes, and every later one gives the same receipt.

use std::fmt::Write as _;

use bytes::Bytes;
use drawbridge_protocol::{
    Certificate, CertificateError, Envelope, Manifest, ObjectKey, ObjectPrefix, ProtocolError, Receipt,
    RejectionRecord, SessionSigner, Sha256, Version,
    certificate::Facts,
    json,
    manifest::ArtifactRecord,
    upload::{Entry, Failure, Rejected},
};
use jiff::Timestamp;

use crate::{session::Session, store::Store};

/// Signs for the session.
pub(crate) struct Sealer(SessionSigner);

/// A sealed session, whole or on its way into the bucket.
pub(crate) struct Seal {
    pub(crate) entries: Vec<Entry>,
    /// Stands beside the signatures of manifest and receipt.
    pub(crate) certificate: Option<Certificate>,
    receipt: Envelope,
    /// Not written yet, in order.
    documents: Vec<(ObjectKey, Bytes, &'static str)>,
}

impl Sealer {
    pub(crate) fn new(signer: SessionSigner) -> Self {
        Self(signer)
    }

    /// Fails unless the certificate is for this box's key and session. Who signed it, the box cannot know: it has no
    /// receipt key, and whoever verifies has.
    pub(crate) fn is_meant(
        &self,
        session: &Session,
        certificate: &Certificate,
    ) -> Result<(), CertificateError> {
        let orders = &session.orders;
        let session_key = self.0.public().map_err(CertificateError::Document)?;
        certificate.claims()?.must_name(&Facts {
            session: &orders.session,
            job: &orders.job,
            client_key: &orders.client_key.fingerprint(),
            bucket: &orders.bucket,
            prefix: &orders.prefix,
            session_key: Some(&session_key),
            instance: Some(&session.instance),
            program: Some(&session.program),
        })
    }

    /// What is kept of an artifact that was rejected.
    pub(crate) fn rejection(&self, session: &Session, rejected: &Rejected) -> Result<Bytes, ProtocolError> {
        let orders = &session.orders;
        let record = RejectionRecord {
            version: Version,
            session: orders.session.clone(),
            job: orders.job.clone(),
            client_key: orders.client_key.fingerprint(),
            instance: session.instance.clone(),
            program: session.program.clone(),
            bucket: orders.bucket.clone(),
            prefix: orders.prefix.clone(),
            rejected_at: Timestamp::now(),
            artifact: rejected.name.clone(),
            check: rejected.check.clone(),
            reason: rejected.reason.clone(),
        };
        let envelope = self.0.sign(&record.to_statement()?)?;
        json::write("rejection envelope", &envelope).map(Bytes::from)
    }

    /// Fixes what will be written.
    pub(crate) fn seal(
        &self,
        session: &Session,
        entries: Vec<Entry>,
        artifacts: Vec<ArtifactRecord>,
        certificate: Option<Certificate>,
    ) -> Result<Seal, ProtocolError> {
        let orders = &session.orders;
        let sealed_at = Timestamp::now();
        let bytes = artifacts.iter().map(|artifact| artifact.observed.bytes).sum();
        let count = u32::try_from(artifacts.len()).unwrap_or(u32::MAX);
        let sums = sums(&orders.prefix, &artifacts);
        let manifest = Manifest {
            version: Version,
            session: orders.session.clone(),
            job: orders.job.clone(),
            client_key: orders.client_key.fingerprint(),
            instance: session.instance.clone(),
            program: session.program.clone(),
            bucket: orders.bucket.clone(),
            prefix: orders.prefix.clone(),
            sealed_at,
            checks: session.checks.policy().collect(),
            artifacts,
        };
        // A large session's records, statement and envelope are not all held at once.
        let statement = manifest.to_statement()?;
        drop(manifest);
        let manifest = statement;
        if manifest.len() > json::MAX_MANIFEST {
            return Err(ProtocolError::TooLarge {
                what: "manifest",
                got: manifest.len(),
                max: json::MAX_MANIFEST,
            });
        }
        let envelope = self.0.sign(&manifest)?.certified_by(certificate.clone());
        let envelope = json::write("manifest envelope", &envelope)?;
        let receipt = Receipt {
            version: Version,
            session: orders.session.clone(),
            job: orders.job.clone(),
            client_key: orders.client_key.fingerprint(),
            bucket: orders.bucket.clone(),
            manifest: orders.prefix.manifest(),
            manifest_sha256: Sha256::of(&manifest),
            artifacts: count,
            bytes,
            sealed_at,
            sources: session.sources(),
        };
        let receipt = receipt.in_words_of(orders.revision);
        let receipt = self.0.sign(&receipt.to_statement()?)?.certified_by(certificate.clone());
        // The manifest is last: who finds it finds everything that it names.
        let documents = vec![
            (orders.prefix.sums(), Bytes::from(sums), "text/plain"),
            (orders.prefix.manifest_envelope(), Bytes::from(envelope), "application/json"),
            (orders.prefix.manifest(), Bytes::from(manifest), "application/json"),
        ];
        Ok(Seal { entries, certificate, receipt, documents })
    }
}

impl Seal {
    /// Writes what is not written yet; then the receipt is due.
    pub(crate) async fn write(&mut self, store: &Store) -> Result<Envelope, Failure> {
        while let Some((key, body, content_type)) = self.documents.first() {
            store.put_new(key, body.clone(), content_type).await.map_err(|error| error.failure())?;
            tracing::info!(%key, "written");
            self.documents.remove(0);
        }
        Ok(self.receipt.clone())
    }
}

/// As `sha256sum -c` reads it in a directory that holds the prefix's objects.
fn sums(prefix: &ObjectPrefix, artifacts: &[ArtifactRecord]) -> String {
    let mut sums = String::new();
    for object in artifacts.iter().flat_map(|artifact| &artifact.observed.objects) {
        let key = object.key.as_str();
        // Writing to a String cannot fail.
        let _ = writeln!(sums, "{}  {}", object.sha256, key.strip_prefix(prefix.as_str()).unwrap_or(key));
    }
    sums
}
