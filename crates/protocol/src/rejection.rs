//! What the box says of an artifact that a check rejected. No byte of it is kept, and its session may never be sealed: this
//! record, signed with the session key, is what stays of it.
//!
//! Its envelope holds no certificate. That one comes with the commit, from the client, and whether there is a record must
//! not be the client's choice.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ArtifactName, Envelope, JobRef, ObjectPrefix, ProtocolError, SessionId, SessionPublicKey, Sha256,
    Version,
    certificate::Facts,
    json,
    manifest::{open, statement},
};

const REJECTION_TYPE: &str = "https://drawbridge.dev/rejection/v1";
/// What stands behind the artifact's name in the record's. No artifact's name ends like it.
pub const SUFFIX: &str = ".rejected.dsse.json";
/// The largest statement, in bytes: names and keys take about 2 KiB, and a reason has some two hundred characters.
const MAX_STATEMENT: usize = 8 << 10;
/// The largest record in its envelope: a statement in base64, and its signature.
pub const MAX_ENVELOPE: usize = 2 * MAX_STATEMENT;

/// One artifact that was rejected. Everything in it the box observed itself, but the artifact's name and the reason may
/// hold words that the client chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectionRecord {
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
    pub rejected_at: Timestamp,
    pub artifact: ArtifactName,
    /// As the client was told; see [`crate::upload::Rejected`].
    pub check: String,
    /// As the client was told.
    pub reason: String,
}

impl RejectionRecord {
    /// The bytes to sign. The statement has no subject: there is no object that it speaks of.
    pub fn to_statement(&self) -> Result<Vec<u8>, ProtocolError> {
        let statement = json::write("rejection", &statement(REJECTION_TYPE, Vec::new(), self))?;
        if statement.len() > MAX_STATEMENT {
            let (got, max) = (statement.len(), MAX_STATEMENT);
            return Err(ProtocolError::TooLarge { what: "rejection", got, max });
        }
        Ok(statement)
    }

    /// The record in `envelope`, if `key` signed it.
    pub fn verify(envelope: &Envelope, key: &SessionPublicKey) -> Result<Self, ProtocolError> {
        open("rejection", REJECTION_TYPE, envelope, key)
    }

    /// What the session's manifest and certificate must name as well.
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
