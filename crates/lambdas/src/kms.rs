//! KMS itself behind [`Signer`].

use async_trait::async_trait;
use aws_sdk_kms::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata as _},
    primitives::Blob,
    types::{MessageType, SigningAlgorithmSpec},
};

use crate::certify::{SignError, Signer};

/// One asymmetric key, ECC_NIST_P256.
#[derive(Clone, Debug)]
pub struct Key {
    client: Client,
    arn: String,
}

impl Key {
    pub fn new(client: Client, arn: String) -> Self {
        Self { client, arn }
    }

    fn failed(&self, code: &str, message: impl Into<String>) -> SignError {
        SignError { key: self.arn.clone(), code: code.to_owned(), message: message.into() }
    }
}

#[async_trait]
impl Signer for Key {
    fn key(&self) -> &str {
        &self.arn
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        // Said outright: the role may sign in this way alone, and what is not said does not meet its conditions.
        let sign = self
            .client
            .sign()
            .key_id(&self.arn)
            .message(Blob::new(message))
            .message_type(MessageType::Raw)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
        let answer = sign.send().await.map_err(|error| match error.code() {
            Some(code) => self.failed(code, error.message().unwrap_or("no message")),
            None => self.failed("no answer", DisplayErrorContext(&error).to_string()),
        })?;
        let signature = answer.signature().ok_or_else(|| self.failed("no signature", "KMS gave none"))?;
        Ok(signature.as_ref().to_vec())
    }
}
