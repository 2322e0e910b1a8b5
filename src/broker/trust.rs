//! Whom the controller believes to be AWS: whom the system's CAs vouch for, and those of a file, if one is named.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use drawbridge_protocol::{ExtraCa, ProtocolError};

/// Why the file of extra CAs cannot be used. The controller does not start then: it would not reach AWS anyway.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    #[error("the CA file {path} cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the CA file {path} cannot be used: {source}")]
    Content { path: PathBuf, source: ProtocolError },
}

/// Reads CA certificates; more of the file than they may have is not looked at.
pub fn load(path: &Path) -> Result<ExtraCa, CaFileError> {
    let read = || {
        let mut text = String::new();
        std::fs::File::open(path)?.take(ExtraCa::MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|source| CaFileError::Read { path: path.to_owned(), source })?;
    text.parse().map_err(|source| CaFileError::Content { path: path.to_owned(), source })
}

/// The HTTP client for everything that is asked of AWS.
pub(super) fn https(extra_ca: Option<&ExtraCa>) -> SharedHttpClient {
    let mut trusted = TrustStore::default();
    if let Some(ca) = extra_ca {
        trusted.add_pem_certificate(ca.as_pem());
    }
    // It cannot fail today. Were it to, the system's CAs alone would be trusted, which is the safe side.
    let context = TlsContext::builder().with_trust_store(trusted).build().unwrap_or_default();
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aws_sdk_lambda::config::Credentials as AwsCredentials;
    use drawbridge_protocol::{CleanupRequest, SessionId, Version, session::CleanupOutcome};
    use drawbridge_testkit::{Authority, Server, serve};

    use super::*;
    use crate::broker::{Broker as _, BrokerError, Credentials, Function, LambdaBroker};

    fn key(token: Option<&str>) -> AwsCredentials {
        AwsCredentials::new("AKIA", "secret", token.map(str::to_owned), None, "test")
    }

    const SESSION: &str = "0123456789abcdef0123456789abcdef";

    /// Somebody who answers as the function `cleanup` does.
    async fn cleanup_function(authority: &Authority) -> Server {
        serve(authority, &format!(r#"{{"version":1,"session":"{SESSION}","outcome":"destroyed"}}"#)).await
    }

    async fn ask(server: &Server, extra_ca: Option<&ExtraCa>) -> Result<CleanupOutcome, BrokerError> {
        let loader =
            LambdaBroker::settings(extra_ca).endpoint_url(server.endpoint()).credentials_provider(key(None));
        let broker = LambdaBroker::of(loader).await;
        let session: SessionId = SESSION.parse().unwrap();
        let request = CleanupRequest { version: Version, session, receipt: None };
        let function = Function { region: "us-east-1".to_owned(), name: "cleanup".to_owned() };
        broker.cleanup(&function, &request).await
    }

    #[tokio::test]
    async fn the_controller_talks_to_whom_the_extra_ca_vouches_for_and_to_nobody_else() {
        let (ours, other) = (Authority::new("ours"), Authority::new("other"));
        let server = cleanup_function(&ours).await;
        let (ca, wrong): (ExtraCa, ExtraCa) = (ours.pem().parse().unwrap(), other.pem().parse().unwrap());
        assert_eq!(ask(&server, Some(&ca)).await, Ok(CleanupOutcome::Destroyed));
        for trusted in [Some(&wrong), None] {
            let error = ask(&server, trusted).await.unwrap_err();
            assert!(matches!(error, BrokerError::Unreachable { .. }), "{error}");
            assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        }
        assert_eq!(server.requests(), 1, "nothing was said to whom nobody vouches for");
    }

    #[tokio::test]
    async fn a_key_without_a_session_is_known_for_what_it_is() {
        let with = async |token| {
            let settings = LambdaBroker::settings(None).credentials_provider(key(token));
            LambdaBroker::of(settings).await.credentials().await
        };
        assert_eq!(with(None).await, Credentials::StaticKey);
        assert_eq!(with(Some("token")).await, Credentials::Temporary);
    }

    #[test]
    fn a_file_of_cas_is_read_and_one_that_is_not_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let ca = Authority::new("ours").pem();
        assert_eq!(load(&file("ca.crt", &ca)).unwrap().as_pem(), ca);
        let cases = [
            (file("no.crt", "not a certificate"), "no.crt cannot be used: extra CA is not valid"),
            (file("large.crt", &ca.repeat(9)), "more than the 2048 allowed"),
            (directory.path().join("none.crt"), "none.crt cannot be read"),
        ];
        for (path, said) in cases {
            let error = load(&path).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
