//! The receipt of a stored backup, as a job's status keeps it.

use drawbridge_protocol::{Certificate, Envelope};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// The receipt of a stored backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptStatus {
    /// The session that stored it.
    #[schemars(length(min = 32, max = 32))]
    pub session: String,
    #[schemars(length(max = 63))]
    pub bucket: String,
    /// The key of the manifest; the artifacts lie beside it.
    #[schemars(length(max = 1024))]
    pub manifest: String,
    /// The manifest's digest.
    #[schemars(length(min = 64, max = 64))]
    pub manifest_sha256: String,
    /// How many artifacts the box counted.
    pub artifacts: i64,
    /// How many bytes the box counted.
    pub bytes: i64,
    #[schemars(schema_with = "schema::time")]
    pub sealed_at: Timestamp,
    /// The key that signed it.
    #[schemars(length(max = 64))]
    pub session_key: String,
    /// Whether the stack has certified that key. Under a vault with `receiptKey` the certificate has been verified.
    #[serde(default)]
    pub certified: bool,
    #[schemars(schema_with = "schema::envelope")]
    pub envelope: Envelope,
    /// Apart from the envelope, where it belongs: a controller of the release before could read no job that has it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::certificate")]
    pub certificate: Option<Certificate>,
}

impl ReceiptStatus {
    /// The signed receipt as the box made it.
    pub fn signed(&self) -> Envelope {
        self.envelope.clone().certified_by(self.certificate.clone())
    }

    /// What `envelope` and `certificate` are to hold of a signed receipt.
    pub fn apart(signed: &Envelope) -> (Envelope, Option<Certificate>) {
        (signed.clone().certified_by(None), signed.certificate().cloned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_certificate_is_kept_where_the_release_before_does_not_look_and_comes_back_whole() {
        let known =
            json!({ "payloadType": "t", "payload": "p", "signatures": [{ "keyid": "k", "sig": "s" }] });
        let uncertified: Envelope = serde_json::from_value(known.clone()).unwrap();
        let signed = uncertified.clone().certified_by(Some(Certificate::new(b"{}", "key", b"signature")));
        let (envelope, certificate) = ReceiptStatus::apart(&signed);
        let mut kept: ReceiptStatus = serde_json::from_value(json!({
            "session": "s", "bucket": "b", "manifest": "m", "manifestSha256": "0", "artifacts": 1, "bytes": 1,
            "sealedAt": "2026-01-01T00:00:00Z", "sessionKey": "k", "envelope": envelope,
        }))
        .unwrap();
        assert_eq!(kept.signed(), uncertified, "the release before kept no certificate");
        kept.certificate = certificate;
        let stored = serde_json::to_value(&kept).unwrap();
        assert_eq!(stored["envelope"], known);
        let read: ReceiptStatus = serde_json::from_value(stored).unwrap();
        assert_eq!(read.signed(), signed);
    }
}
