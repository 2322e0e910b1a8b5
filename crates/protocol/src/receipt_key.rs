//! The one public key that verifiers pin: the stack's receipt key, as `aws kms get-public-key` gives it.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::{ProtocolError, Sha256};

/// SubjectPublicKeyInfo of a P-256 key has one form (RFC 5480): this head, then the uncompressed point. Asking for
/// exactly it leaves no other curve, algorithm or encoding to be confused with.
const HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT: usize = 65;
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// The longest PEM that is looked at; one of P-256 has 178 bytes.
pub const MAX_PEM: usize = 1_024;

/// A public key of ECC_NIST_P256.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiptKey(Vec<u8>);

impl ReceiptKey {
    /// From SubjectPublicKeyInfo in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, ProtocolError> {
        match der.strip_prefix(&HEAD) {
            Some(point) if point.len() == POINT && point[0] == 4 => Ok(Self(point.to_vec())),
            _ => Err(invalid("it is not the SubjectPublicKeyInfo of an ECDSA key on P-256 (ECC_NIST_P256)")),
        }
    }

    /// From a file of either form: PEM, or the DER that the API of KMS gives.
    pub fn from_file(bytes: &[u8]) -> Result<Self, ProtocolError> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.trim_start().starts_with("-----") => text.parse(),
            _ => Self::from_der(bytes),
        }
    }

    /// The SHA-256 of the key in DER; what people compare.
    pub fn fingerprint(&self) -> Sha256 {
        Sha256::of(&[&HEAD[..], &self.0].concat())
    }

    /// Whether `signature`, in DER, is this key's over `message`.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(message, signature).is_ok()
    }
}

impl FromStr for ReceiptKey {
    type Err = ProtocolError;

    /// From PEM: one key and nothing besides.
    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        if text.len() > MAX_PEM {
            return Err(ProtocolError::TooLarge { what: "receipt key", got: text.len(), max: MAX_PEM });
        }
        let body = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let body =
            body.ok_or_else(|| invalid(&format!("it does not begin with {BEGIN} and end with {END}")))?;
        let encoded: String = body.split_ascii_whitespace().collect();
        let der = BASE64.decode(encoded).map_err(|error| invalid(&error.to_string()))?;
        Self::from_der(&der)
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptKey({})", self.fingerprint())
    }
}

fn invalid(why: &str) -> ProtocolError {
    ProtocolError::invalid("receipt key", why)
}
