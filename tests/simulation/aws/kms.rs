//! The receipt key: KMS as `create` sees it, and the public half that the vault pins.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use drawbridge_lambdas::certify::{SignError, Signer};

use super::invocation::{Failed, Invocation};

const ARN: &str = "arn:aws:kms:us-east-1:000000000000:key/demo";

/// What KMS keeps.
pub(crate) struct ReceiptKey(EcdsaKeyPair);

impl Default for ReceiptKey {
    fn default() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }
}

impl ReceiptKey {
    /// The public half, as the vault's spec has it.
    pub(crate) fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64.encode(der.as_ref()))
    }
}

/// KMS from within one run of `create`.
pub(super) struct Kms(pub(super) Arc<Invocation>);

impl fmt::Debug for Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kms")
    }
}

#[async_trait]
impl Signer for Kms {
    fn key(&self) -> &'static str {
        ARN
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signed = self
            .0
            .read("kms Sign", |world| {
                world.receipt_key.0.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            })
            .await;
        signed.map_err(|failed| {
            let code = match failed {
                Failed::Error => "KMSInternalException",
                Failed::NoAnswer => "no answer",
            };
            SignError { key: ARN.to_owned(), code: code.to_owned(), message: "simulated".to_owned() }
        })
    }
}
