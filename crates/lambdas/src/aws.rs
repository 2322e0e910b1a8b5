//! The SDK's clients, made alike in both Lambdas.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// Credentials, region and endpoints from what Lambda sets in the environment.
pub async fn config() -> SdkConfig {
    // The SDK's default client brings a crypto provider of its own; ours is aws-lc-rs everywhere.
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
    // Pinned: a newer behaviour is taken on purpose, not with an update.
    aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http).load().await
}

/// The KMS client.
pub fn kms(config: &SdkConfig) -> aws_sdk_kms::Client {
    aws_sdk_kms::Client::new(config)
}

/// The S3 client. Another S3 than AWS's is addressed by path: it has no names for buckets.
pub fn s3(config: &SdkConfig, other_endpoint: bool) -> aws_sdk_s3::Client {
    use aws_sdk_s3::config::{Builder, RequestChecksumCalculation};
    // A presigned PUT cannot carry a checksum of bytes that the signer has not seen.
    let checksums = RequestChecksumCalculation::WhenRequired;
    let config =
        Builder::from(config).force_path_style(other_endpoint).request_checksum_calculation(checksums);
    aws_sdk_s3::Client::from_conf(config.build())
}
