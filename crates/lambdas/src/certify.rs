//! Vouches for a box's session key with the stack's receipt key, so that receipts can be verified when the box and this
//! code are gone. A certificate is saved before anyone gets it: asked again, `create` gives the same one.

use async_trait::async_trait;
use drawbridge_protocol::{
    Certificate, CertifiedSession, ObjectPrefix, ReadyReport, Version,
    session::{CreateOutcome, Refusal},
};
use tracing::{info, warn};

use crate::{
    create::{Creator, Interrupt, Step, refused},
    state::{Moment, Session},
    store::Saved,
};

/// KMS did not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "KMS did not sign with the receipt key {key}: {code}: {message}; it must be enabled, and its policy and the role of \
     create must allow kms:Sign"
)]
pub struct SignError {
    pub key: String,
    pub code: String,
    pub message: String,
}

/// The stack's receipt key, which never leaves KMS.
#[async_trait]
pub trait Signer: Send + Sync + std::fmt::Debug {
    /// The key's ARN; it stands in certificates as a hint.
    fn key(&self) -> &str;
    /// ECDSA over the SHA-256 of `message`, in DER.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

impl Creator {
    /// The certificate of what the box reported; nothing in a stack without a receipt key. The report has been checked.
    pub(crate) async fn certify(
        &self,
        saved: Saved,
        report: &ReadyReport,
        prefix: &ObjectPrefix,
        moment: Moment,
    ) -> Step<Option<Certificate>> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let Saved { session, etag } = saved;
        if let Some(certificate) = session.certificate {
            // The report is write-once, so this is not the box's doing.
            if certificate.claims().is_ok_and(|claims| claims.session_key == report.session_key) {
                return Ok(Some(certificate));
            }
            warn!(session = %session.session, "the report names another session key than the certificate");
            return Err(Interrupt::Answer(changed()));
        }
        let certified = CertifiedSession {
            version: Version,
            session: session.session.clone(),
            job: session.job.clone(),
            client_key: session.client_key.fingerprint(),
            instance: report.instance.clone(),
            program: report.program.clone(),
            session_key: report.session_key.clone(),
            bucket: self.config.stack.backup_bucket.clone(),
            prefix: prefix.clone(),
            issued_at: moment.now,
            expires_at: session.deadline,
        };
        let payload = certified.to_payload()?;
        let signature = signer.sign(&Certificate::message(&payload)).await?;
        let certificate = Certificate::new(&payload, signer.key(), &signature);
        let made = session.phase.remains();
        let certified = Session { certificate: Some(certificate.clone()), ..session };
        let saved = self.store().save(certified, Some(&etag)).await?.ok_or(Interrupt::Overtaken(made))?;
        info!(session = %saved.session.session, key = signer.key(), "certified");
        Ok(Some(certificate))
    }
}

fn changed() -> CreateOutcome {
    refused(
        Refusal::BoxEnded,
        "the box's report is not valid: it has changed since its session key was certified",
    )
}
