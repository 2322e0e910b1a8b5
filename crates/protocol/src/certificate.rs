//! What makes a receipt outlive its box: `create` certifies the box's session key with the stack's receipt key, an
//! asymmetric KMS key (ECC_NIST_P256). Who pins that one public key can verify every receipt, whenever and offline.
//!
//! A certificate is a DSSE envelope of its own. It travels beside the signature that it vouches for.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    JobRef, ObjectPrefix, ProtocolError, ReceiptKey, SessionId, SessionPublicKey, Sha256, Version, dsse, json,
};

/// The type of a certificate's payload. No statement has it, so that neither passes for the other.
pub const PAYLOAD_TYPE: &str = "application/vnd.drawbridge.certificate.v1+json";
/// The largest payload. With what DSSE puts before it, it is one message for KMS, which takes 4,096 bytes unhashed:
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html>.
pub const MAX_PAYLOAD: usize = 3 << 10;
/// An ECDSA signature on P-256 in DER has at most 72 bytes.
const MAX_SIGNATURE: usize = 72;
const MAX_KEY_ID: usize = 2_048;

/// A signed [`CertifiedSession`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The signed bytes in base64.
    pub payload: String,
    /// Exactly one.
    pub signatures: Vec<CertificateSignature>,
}

/// The receipt key's signature: ECDSA on P-256 over SHA-256, in DER.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSignature {
    /// KMS's name of the key; a hint only: verifiers use the key that they were given.
    pub keyid: String,
    pub sig: String,
}

/// What `create` vouches for: this session key is that of the box which it made for this session and no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifiedSession {
    pub version: Version,
    pub session: SessionId,
    pub job: JobRef,
    /// `SHA256:...` of the only key that the box lets in.
    pub client_key: String,
    /// EC2's id of the box.
    pub instance: String,
    /// The digest of the box's program.
    pub program: Sha256,
    /// Signs the session's manifest and receipt.
    pub session_key: SessionPublicKey,
    pub bucket: String,
    /// All objects of the session lie under it.
    pub prefix: ObjectPrefix,
    pub issued_at: Timestamp,
    /// The session's deadline. What claims to have been sealed later is refused.
    pub expires_at: Timestamp,
}

/// Why a document is not vouched for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error(
        "there is no certificate, and a receipt key demands one: deploy the stack with ReceiptKey=yes, or pin no key"
    )]
    Missing,
    #[error(
        "the certificate is not signed with the pinned receipt key: compare it with `aws kms get-public-key` of the \
         stack's output ReceiptKeyArn"
    )]
    Signature,
    #[error("the certificate cannot be read: {0}")]
    Unreadable(ProtocolError),
    #[error("the certificate is for another {what}: it names {certified}, expected {expected}")]
    Other { what: &'static str, certified: String, expected: String },
    #[error("it was sealed at {sealed_at}, after the certificate's end {expires_at}")]
    Expired { sealed_at: Timestamp, expires_at: Timestamp },
    /// The certificate holds; the document that it goes with does not.
    #[error(transparent)]
    Document(ProtocolError),
}

impl CertifiedSession {
    /// The bytes to certify.
    pub fn to_payload(&self) -> Result<Vec<u8>, ProtocolError> {
        let payload = json::write("certificate", self)?;
        if payload.len() > MAX_PAYLOAD {
            return Err(ProtocolError::TooLarge {
                what: "certificate",
                got: payload.len(),
                max: MAX_PAYLOAD,
            });
        }
        Ok(payload)
    }

    /// Fails unless it names all of `facts`.
    pub fn must_name(&self, facts: &Facts<'_>) -> Result<(), CertificateError> {
        let Facts { session, job, client_key, session_key, bucket, prefix, instance, program } = *facts;
        same("session", &self.session, session)?;
        same("job", &Named(&self.job), &Named(job))?;
        same("client key", &self.client_key.as_str(), &client_key)?;
        same("bucket", &self.bucket.as_str(), &bucket)?;
        same("object prefix", &self.prefix, prefix)?;
        if let Some(session_key) = session_key {
            same("session key", &self.session_key, session_key)?;
        }
        if let Some(instance) = instance {
            same("instance", &self.instance.as_str(), &instance)?;
        }
        if let Some(program) = program {
            same("program", &self.program, program)?;
        }
        Ok(())
    }

    /// Fails if something was sealed after the end.
    pub fn must_last_until(&self, sealed_at: Timestamp) -> Result<(), CertificateError> {
        let expires_at = self.expires_at;
        if sealed_at > expires_at {
            return Err(CertificateError::Expired { sealed_at, expires_at });
        }
        Ok(())
    }
}

/// What whoever holds a certificate knows of the session himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    pub session: &'a SessionId,
    pub job: &'a JobRef,
    pub client_key: &'a str,
    pub bucket: &'a str,
    pub prefix: &'a ObjectPrefix,
    /// Nothing where the certificate is what it is known from.
    pub session_key: Option<&'a SessionPublicKey>,
    pub instance: Option<&'a str>,
    pub program: Option<&'a Sha256>,
}

impl Certificate {
    /// What the receipt key signs: DSSE's encoding of `payload` with its type.
    pub fn message(payload: &[u8]) -> Vec<u8> {
        dsse::pre_authentication_encoding(PAYLOAD_TYPE, payload)
    }

    /// A payload with the signature over its [`Certificate::message`].
    pub fn new(payload: &[u8], key_id: &str, signature: &[u8]) -> Self {
        let signature = CertificateSignature { keyid: key_id.to_owned(), sig: BASE64.encode(signature) };
        Self {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: BASE64.encode(payload),
            signatures: vec![signature],
        }
    }

    /// What it says, if `key` signed it. Nothing of the payload is looked at before that.
    pub fn verify(&self, key: &ReceiptKey) -> Result<CertifiedSession, CertificateError> {
        let payload = self.payload()?;
        let [CertificateSignature { keyid, sig }] = self.signatures.as_slice() else {
            return Err(unreadable(format!("it has {} signatures, expected one", self.signatures.len())));
        };
        if keyid.len() > MAX_KEY_ID {
            return Err(unreadable(format!("its key id has {} bytes", keyid.len())));
        }
        let signature = BASE64.decode(sig).map_err(|error| unreadable(format!("its signature: {error}")))?;
        if signature.len() > MAX_SIGNATURE {
            return Err(unreadable(format!("its signature has {} bytes", signature.len())));
        }
        if !key.signed(&Self::message(&payload), &signature) {
            return Err(CertificateError::Signature);
        }
        read(&payload)
    }

    /// What it says, whoever signed it: for the box, which knows no receipt key and only asks whether it is meant.
    pub fn claims(&self) -> Result<CertifiedSession, CertificateError> {
        read(&self.payload()?)
    }

    fn payload(&self) -> Result<Vec<u8>, CertificateError> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(unreadable(format!("payload type '{}'", self.payload_type)));
        }
        // Base64 has four bytes for three.
        if self.payload.len() > MAX_PAYLOAD.div_ceil(3) * 4 {
            let (got, max) = (self.payload.len() / 4 * 3, MAX_PAYLOAD);
            return Err(CertificateError::Unreadable(ProtocolError::TooLarge { what: "payload", got, max }));
        }
        BASE64.decode(&self.payload).map_err(|error| unreadable(error.to_string()))
    }
}

fn read(payload: &[u8]) -> Result<CertifiedSession, CertificateError> {
    json::parse("certificate", payload, MAX_PAYLOAD).map_err(CertificateError::Unreadable)
}

fn unreadable(why: String) -> CertificateError {
    CertificateError::Unreadable(ProtocolError::invalid("certificate", why))
}

fn same<T: PartialEq + fmt::Display>(
    what: &'static str,
    certified: &T,
    expected: &T,
) -> Result<(), CertificateError> {
    if certified == expected {
        return Ok(());
    }
    let (certified, expected) = (certified.to_string(), expected.to_string());
    Err(CertificateError::Other { what, certified, expected })
}

/// A job as a message names it.
#[derive(PartialEq)]
struct Named<'a>(&'a JobRef);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JobRef { namespace, name, uid, attempt } = self.0;
        write!(f, "{namespace}/{name} (uid {uid}, attempt {attempt})")
    }
}
