//! Dead Simple Signing Envelope, version 1, with one Ed25519 signature: <https://github.com/secure-systems-lab/dsse>.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use crate::{Certificate, ProtocolError, SessionPublicKey};

/// The type of every payload that we sign.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A signed document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The signed bytes in base64.
    pub payload: String,
    pub signatures: Vec<Signature>,
}

/// One signature over the envelope's payload and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The public key in base64; a hint only: verifiers use the key that they were given.
    pub keyid: String,
    pub sig: String,
    /// Vouches for the key that signed. It is beside what is signed, so that it can be verified first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

impl Envelope {
    /// The certificate of the first signature; ours have one signature.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.signatures.first()?.certificate.as_ref()
    }

    /// The same envelope with a certificate of the key that signed it.
    #[must_use]
    pub fn certified_by(mut self, certificate: Option<Certificate>) -> Self {
        if let Some(signature) = self.signatures.first_mut() {
            signature.certificate = certificate;
        }
        self
    }

    /// The payload, if one of the signatures verifies under `key`. `what` names the document in the error.
    pub fn verify(&self, what: &'static str, key: &SessionPublicKey) -> Result<Vec<u8>, ProtocolError> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(ProtocolError::invalid(what, format!("payload type '{}'", self.payload_type)));
        }
        let payload =
            BASE64.decode(&self.payload).map_err(|error| ProtocolError::invalid(what, error.to_string()))?;
        let signed = pre_authentication_encoding(&self.payload_type, &payload);
        let key = UnparsedPublicKey::new(&ED25519, key.raw());
        let verified = self
            .signatures
            .iter()
            .take(4)
            .filter_map(|signature| BASE64.decode(&signature.sig).ok())
            .any(|signature| key.verify(&signed, &signature).is_ok());
        if verified { Ok(payload) } else { Err(ProtocolError::Signature { what }) }
    }
}

/// `DSSEv1 <len type> <type> <len body> <body>`, as the specification has it.
pub(crate) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// A session key. It is made where it is used and never leaves the process.
pub struct SessionSigner(Ed25519KeyPair);

impl SessionSigner {
    /// A new key from the system's random generator.
    pub fn generate() -> Result<Self, ProtocolError> {
        Ed25519KeyPair::generate()
            .map(Self)
            .map_err(|_| ProtocolError::invalid("session key", "the system could not make one"))
    }

    /// The half that verifiers need.
    pub fn public(&self) -> Result<SessionPublicKey, ProtocolError> {
        SessionPublicKey::from_raw(self.0.public_key().as_ref())
    }

    /// Signs `payload` as it is.
    pub fn sign(&self, payload: &[u8]) -> Result<Envelope, ProtocolError> {
        let signature = self.0.sign(&pre_authentication_encoding(PAYLOAD_TYPE, payload));
        Ok(Envelope {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: BASE64.encode(payload),
            signatures: vec![Signature {
                keyid: self.public()?.as_str().to_owned(),
                sig: BASE64.encode(signature.as_ref()),
                certificate: None,
            }],
        })
    }
}

impl fmt::Debug for SessionSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSigner")
    }
}
