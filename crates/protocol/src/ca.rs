//! CA certificates that a program trusts besides its system's: for AWS behind a private endpoint, and for tests.
//!
//! They come from a file, a variable or the orders, and end in a trust store, so they are checked for what they are:
//! whoever mistakes a server's certificate or a key for a CA's hears of it before the first connection.

use std::str::FromStr;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

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
        let unreadable = |why: String| {
            ProtocolError::invalid(
                WHAT,
                format!("{why}: expected certificates as PEM, -----BEGIN CERTIFICATE-----"),
            )
        };
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let found = found.map_err(|error| unreadable(error.to_string()))?;
        if found.is_empty() {
            return Err(unreadable("no certificate is in it".to_owned()));
        }
        let mut pem = String::new();
        for (number, certificate) in (1..).zip(&found) {
            is_ca(certificate)
                .map_err(|why| ProtocolError::invalid(WHAT, format!("certificate {number} of it {why}")))?;
            pem += &to_pem(certificate);
        }
        Ok(Self(pem))
    }
}

/// Whether the certificate says of itself that it is a CA's, and is good now; judged by what will verify with it.
///
/// The library tells a CA from others where it must refuse it: in the place of a server's certificate.
fn is_ca(certificate: &CertificateDer<'_>) -> Result<(), String> {
    let advice = "give the CA's own certificate";
    let unreadable = |error: Error| format!("cannot be read ({error:?}): {advice}");
    let anchors = [anchor_from_trusted_cert(certificate).map_err(unreadable)?];
    let as_server = EndEntityCert::try_from(certificate).map_err(unreadable)?;
    let usage = KeyUsage::server_auth();
    let judged =
        as_server.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &[], UnixTime::now(), usage, None, None);
    match judged {
        Err(Error::CaUsedAsEndEntity) => Ok(()),
        Err(Error::CertExpired { .. } | Error::CertNotValidYet { .. }) => {
            Err(format!("has expired, or is not valid yet: {advice}, and look at this machine's clock"))
        }
        _ => Err(format!("is no CA's (its basic constraints do not say so): {advice}")),
    }
}

fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let text = BASE64.encode(certificate);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
