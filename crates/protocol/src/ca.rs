//! CA certificates that a program trusts besides its system's: for AWS behind a private endpoint, and for tests.
//!
//! They come from a file, a variable or the orders, and end in a trust store, so they are checked for what they are:
//! whoever mistakes a server's certificate or a key for a CA's hears of it before the first connection.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use x509_cert::{
    Certificate,
    der::{EncodePem as _, pem::LineEnding},
    ext::pkix::{BasicConstraints, KeyUsage},
};

use crate::ProtocolError;

const WHAT: &str = "extra CA";

/// One or more CA certificates as PEM, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExtraCa(String);

impl ExtraCa {
    /// What user data has room for, beside two presigned URLs.
    pub const MAX_BYTES: usize = 2 << 10;

    /// The certificates, written anew: nothing but PEM's own characters is in it.
    pub fn as_pem(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ExtraCa {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        text.parse()
    }
}

impl From<ExtraCa> for String {
    fn from(ca: ExtraCa) -> Self {
        ca.0
    }
}

impl FromStr for ExtraCa {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        if text.len() > Self::MAX_BYTES {
            return Err(ProtocolError::TooLarge { what: WHAT, got: text.len(), max: Self::MAX_BYTES });
        }
        if text.contains("PRIVATE KEY") {
            return Err(ProtocolError::invalid(WHAT, "it holds a private key: give the certificate alone"));
        }
        let unreadable = |why: &dyn std::fmt::Display| {
            ProtocolError::invalid(
                WHAT,
                format!("{why}: expected certificates in PEM, BEGIN CERTIFICATE and so on"),
            )
        };
        let found =
            Certificate::load_pem_chain(text.trim().as_bytes()).map_err(|error| unreadable(&error))?;
        if found.is_empty() {
            return Err(unreadable(&"no certificate is in it"));
        }
        let mut pem = String::new();
        for certificate in &found {
            is_ca(certificate)?;
            pem += &certificate.to_pem(LineEnding::LF).map_err(|error| unreadable(&error))?;
        }
        Ok(Self(pem))
    }
}

/// Whether the certificate says of itself that it may sign others.
fn is_ca(certificate: &Certificate) -> Result<(), ProtocolError> {
    let body = certificate.tbs_certificate();
    let refuse = |why: &str| {
        let message = format!("the certificate of '{}' {why}: give the CA's own certificate", body.subject());
        Err(ProtocolError::invalid(WHAT, message))
    };
    match body.get_extension::<BasicConstraints>() {
        Ok(Some((_, BasicConstraints { ca: true, .. }))) => {}
        Ok(_) => return refuse("is no CA's (its basic constraints do not say so)"),
        Err(error) => return refuse(&format!("has basic constraints that cannot be read ({error})")),
    }
    match body.get_extension::<KeyUsage>() {
        Ok(None) => Ok(()),
        Ok(Some((_, usage))) if usage.key_cert_sign() => Ok(()),
        Ok(Some(_)) => refuse("may not sign certificates (its key usage)"),
        Err(error) => refuse(&format!("has a key usage that cannot be read ({error})")),
    }
}
