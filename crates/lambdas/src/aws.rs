//! The SDK's clients, made alike in both Lambdas.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder as HttpBuilder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use drawbridge_protocol::ExtraCa;

const IMPATIENT: Duration = Duration::from_secs(3);

/// Credentials, region and endpoints from what Lambda sets in the environment.
pub async fn config(extra_ca: Option<&ExtraCa>) -> SdkConfig {
    // Pinned: a newer behaviour is taken on purpose, not with an update.
    let defaults = aws_config::defaults(BehaviorVersion::v2026_01_12());
    defaults.http_client(https(extra_ca)).load().await
}

/// TLS by the system's CAs and these. The SDK's default client brings a crypto provider of its own; ours is aws-lc-rs
/// everywhere.
fn https(extra_ca: Option<&ExtraCa>) -> SharedHttpClient {
    let mut trusted = TrustStore::default();
    if let Some(ca) = extra_ca {
        trusted.add_pem_certificate(ca.as_pem());
    }
    // It cannot fail today. Were it to, the system's CAs alone would be trusted, which is the safe side.
    let context = TlsContext::builder().with_trust_store(trusted).build().unwrap_or_default();
    HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https()
}

/// The KMS client.
pub fn kms(config: &SdkConfig) -> aws_sdk_kms::Client {
    aws_sdk_kms::Client::new(config)
}

/// The S3 client. Another S3 than AWS's is addressed by path: it has no names for buckets.
pub fn s3(config: &SdkConfig, other_endpoint: bool) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(s3_config(config, other_endpoint).build())
}

/// The S3 client for a bucket that boxes can keep busy: whatever a call and its retries come to, they end so soon.
pub fn impatient_s3(config: &SdkConfig, other_endpoint: bool) -> aws_sdk_s3::Client {
    let timeouts = TimeoutConfig::builder().operation_timeout(IMPATIENT).build();
    aws_sdk_s3::Client::from_conf(s3_config(config, other_endpoint).timeout_config(timeouts).build())
}

fn s3_config(config: &SdkConfig, other_endpoint: bool) -> Builder {
    // A presigned PUT cannot carry a checksum of bytes that the signer has not seen.
    let checksums = RequestChecksumCalculation::WhenRequired;
    Builder::from(config).force_path_style(other_endpoint).request_checksum_calculation(checksums)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aws_config::Region;
    use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider, retry::RetryConfig};
    use drawbridge_testkit::{Authority, serve};

    use super::*;

    /// Whether the function's S3 client takes an object from there.
    async fn reads(endpoint: &str, extra_ca: Option<&ExtraCa>) -> Result<Vec<u8>, String> {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(https(extra_ca))
            .endpoint_url(endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "AKIA", "secret", None, None, "test",
            )))
            .retry_config(RetryConfig::disabled())
            .build();
        let get = s3(&config, true).get_object().bucket("state").key("sessions/x");
        let answer = get.send().await.map_err(|error| format!("{error:?}"))?;
        Ok(answer.body.collect().await.map_err(|error| error.to_string())?.to_vec())
    }

    #[tokio::test]
    async fn a_function_talks_to_whom_the_extra_ca_vouches_for_and_to_nobody_else() {
        let (ours, other) = (Authority::new("ours"), Authority::new("other"));
        let server = serve(&ours, "state").await;
        let (ca, wrong): (ExtraCa, ExtraCa) = (ours.pem().parse().unwrap(), other.pem().parse().unwrap());
        assert_eq!(reads(server.endpoint(), Some(&ca)).await.unwrap(), b"state");
        for trusted in [Some(&wrong), None] {
            let refusal = reads(server.endpoint(), trusted).await.unwrap_err();
            assert!(refusal.contains("UnknownIssuer"), "{refusal}");
        }
        assert_eq!(server.requests(), 1, "nothing was said to whom nobody vouches for");
    }
}
