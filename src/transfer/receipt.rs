//! The proof that a session is sealed: a receipt that the box signed and that says what we sent.

use drawbridge_protocol::{Envelope, Receipt, upload::Entry};

use super::{ClientKey, Target, TransferError};

/// A receipt that was verified. There is no other way to come by one.
#[derive(Clone, Debug)]
pub struct SealedReceipt {
    receipt: Receipt,
    envelope: Envelope,
}

impl SealedReceipt {
    /// Checks the certificate under the pinned receipt key, the signature under the session key, and every field against
    /// what this side knows.
    pub fn verify(
        envelope: Envelope,
        target: &Target,
        key: &ClientKey,
        entries: &[Entry],
    ) -> Result<Self, TransferError> {
        target.believes(envelope.certificate(), key.public())?;
        let receipt = Receipt::verify(&envelope, &target.session_key)?;
        if let Some(receipt_key) = &target.receipt_key {
            Receipt::verify_certified(&envelope, receipt_key)?;
        }
        let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let claims = [
            ("session", receipt.session == target.session),
            ("job", receipt.job == target.job),
            ("client key", receipt.client_key == key.public().fingerprint()),
            ("bucket", receipt.bucket == target.bucket),
            ("manifest key", receipt.manifest == target.prefix.manifest()),
            ("number of artifacts", receipt.artifacts as usize == entries.len()),
            ("number of bytes", receipt.bytes == bytes),
        ];
        match claims.iter().find(|(_, agrees)| !agrees) {
            None => Ok(Self { receipt, envelope }),
            Some((what, _)) => {
                Err(TransferError::Protocol(format!("the receipt's {what} is not this session's")))
            }
        }
    }

    /// What the box vouches for.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The receipt as signed; what `cleanup` takes and what verifies offline.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}
