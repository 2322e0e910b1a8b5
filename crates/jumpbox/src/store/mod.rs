//! The backup bucket as the box may use it: put, list, abort; never get, never delete, never overwrite.

mod cause;
pub(crate) mod http;
mod lock;
mod once;
mod pool;

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Config, Region, RequestChecksumCalculation, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::SdkError,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::{display::DisplayErrorContext, metadata::ProvideErrorMetadata};
use bytes::Bytes;
use drawbridge_protocol::{
    ObjectKey, Orders,
    upload::{Failure, FailureCode},
};

pub(crate) use cause::Cause;
pub(crate) use pool::{PartBuffer, PartPool, Slot};

use crate::machine::Machine;
use lock::Lock;

/// S3's version id of what was written: none where the bucket keeps no versions, or where S3's answer was lost and a list
/// settled what became of the object.
pub(crate) type Written = Option<String>;

/// Why an object is not in the bucket.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{key} is taken: somebody wrote there before this session did, and nothing is ever overwritten")]
    Exists { key: ObjectKey },
    #[error("S3 saw two writers at {key} at once (409); the upload must start over")]
    Conflict { key: ObjectKey },
    #[error("{operation} of {key} failed: {cause}")]
    Failed { operation: &'static str, key: ObjectKey, cause: Cause },
}

impl StoreError {
    /// The kind, as the client hears of it.
    pub(crate) fn code(&self) -> FailureCode {
        match self {
            Self::Exists { .. } | Self::Conflict { .. } => FailureCode::StorageTaken,
            Self::Failed { cause, .. } => cause.code,
        }
    }

    /// What the client is told.
    pub(crate) fn failure(&self) -> Failure {
        Failure { code: self.code(), message: self.to_string() }
    }
}

/// A part has 5 MiB; ten of them at once on a small machine at its baseline bandwidth (64 Mb/s) take a quarter of this.
const PART_TIMEOUT: Duration = Duration::from_secs(30);
/// S3 may take its time to join thousands of parts.
const COMPLETE_TIMEOUT: Duration = Duration::from_mins(1);
/// Everything else is small.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often a request is sent. An answer that stalls costs its timeout each time.
const ATTEMPTS: u32 = 4;

/// The bucket.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    client: Client,
    bucket: Arc<str>,
    /// Over TLS the connection guards the payload and S3 checks its CRC; hashing it again for the signature would only cost.
    sign_payload: bool,
    lock: Option<Lock>,
    /// What parts lie in.
    pub(crate) parts: PartPool,
}

/// A multipart upload that has begun.
#[derive(Clone, Debug)]
pub(crate) struct Multipart {
    pub(crate) key: ObjectKey,
    id: String,
}

impl Store {
    /// A client with the machine's credentials that leaves by `interface`.
    pub(crate) fn new(orders: &Orders, machine: &Machine, interface: Option<&str>) -> Self {
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(orders.region.clone()))
            .credentials_provider(machine.credentials.clone())
            .http_client(http::client(interface, orders.extra_ca.as_ref()))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts(TIMEOUT))
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
        if let Some(endpoint) = &orders.s3_endpoint {
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        let part_bytes = usize::try_from(orders.limits.part_bytes).unwrap_or(usize::MAX);
        let sign_payload =
            orders.s3_endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        Self {
            client: Client::from_conf(config.build()),
            bucket: orders.bucket.as_str().into(),
            sign_payload,
            lock: orders.limits.lock_days.map(Lock::new),
            parts: PartPool::new(orders.limits.parts_in_memory as usize, part_bytes),
        }
    }

    /// Puts a small object where none is.
    pub(crate) async fn put_new(
        &self,
        key: &ObjectKey,
        body: Bytes,
        content_type: &str,
    ) -> Result<Written, StoreError> {
        let size = body.len() as u64;
        let until = self.lock.map(Lock::until);
        let attempt = || async {
            let put = self
                .client
                .put_object()
                .bucket(&*self.bucket)
                .key(key.as_str())
                .if_none_match("*")
                .content_type(content_type)
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .set_object_lock_mode(self.lock.map(|_| Lock::MODE))
                .set_object_lock_retain_until_date(until)
                .body(ByteStream::from(body.clone()))
                .customize()
                .config_override(once_only(TIMEOUT));
            let put = if self.sign_payload { put } else { put.disable_payload_signing() };
            let answer = put.send().await.map_err(|error| once::Refusal::of(&error))?;
            Ok(version(answer.version_id()))
        };
        once::write(self, "PutObject", key, once::Expected { bytes: size, parts: None }, attempt).await
    }

    /// Begins a multipart upload. Nothing becomes visible before [`Store::complete_new`].
    pub(crate) async fn begin(&self, key: &ObjectKey) -> Result<Multipart, StoreError> {
        let operation = "CreateMultipartUpload";
        let answer = self
            .client
            .create_multipart_upload()
            .bucket(&*self.bucket)
            .key(key.as_str())
            .content_type("application/zstd")
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .set_object_lock_mode(self.lock.map(|_| Lock::MODE))
            .set_object_lock_retain_until_date(self.lock.map(Lock::until))
            .send()
            .await
            .map_err(|error| failed(operation, key, &error))?;
        let id = answer.upload_id.ok_or_else(|| StoreError::Failed {
            operation,
            key: key.clone(),
            cause: Cause::other("the answer holds no upload id"),
        })?;
        Ok(Multipart { key: key.clone(), id })
    }

    /// Uploads one part.
    pub(crate) async fn part(
        &self,
        upload: &Multipart,
        number: i32,
        body: Bytes,
    ) -> Result<CompletedPart, StoreError> {
        let put = self
            .client
            .upload_part()
            .bucket(&*self.bucket)
            .key(upload.key.as_str())
            .upload_id(&upload.id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(body))
            .customize()
            .config_override(within(PART_TIMEOUT));
        let put = if self.sign_payload { put } else { put.disable_payload_signing() };
        let answer = put.send().await.map_err(|error| failed("UploadPart", &upload.key, &error))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(answer.e_tag)
            .set_checksum_crc32(answer.checksum_crc32)
            .build())
    }

    /// Makes the uploaded parts an object, where none is.
    pub(crate) async fn complete_new(
        &self,
        upload: &Multipart,
        parts: Vec<CompletedPart>,
        bytes: u64,
    ) -> Result<Written, StoreError> {
        let expected = once::Expected { bytes, parts: Some(parts.len()) };
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let attempt = || async {
            let answer = self
                .client
                .complete_multipart_upload()
                .bucket(&*self.bucket)
                .key(upload.key.as_str())
                .upload_id(&upload.id)
                .if_none_match("*")
                .multipart_upload(parts.clone())
                .customize()
                .config_override(once_only(COMPLETE_TIMEOUT))
                .send()
                .await
                .map_err(|error| once::Refusal::of(&error))?;
            Ok(version(answer.version_id()))
        };
        once::write(self, "CompleteMultipartUpload", &upload.key, expected, attempt).await
    }

    /// Gives up an upload. What fails here is left to the bucket's lifecycle rule and to cleanup.
    pub(crate) async fn abort(&self, upload: &Multipart) {
        let abort = self.client.abort_multipart_upload().bucket(&*self.bucket).key(upload.key.as_str());
        if let Err(error) = abort.upload_id(&upload.id).send().await {
            tracing::warn!(key = %upload.key, error = %DisplayErrorContext(error), "an upload was not aborted");
        }
    }

    /// Size and ETag of the object at `key`, if there is one.
    async fn find(&self, key: &ObjectKey) -> Result<Option<(u64, String)>, StoreError> {
        let list = self.client.list_objects_v2().bucket(&*self.bucket).prefix(key.as_str()).max_keys(1);
        let answer = list.send().await.map_err(|error| failed("ListObjectsV2", key, &error))?;
        let object = answer.contents().iter().find(|object| object.key() == Some(key.as_str()));
        Ok(object.map(|object| {
            (
                u64::try_from(object.size().unwrap_or(0)).unwrap_or(0),
                object.e_tag().unwrap_or_default().to_owned(),
            )
        }))
    }
}

/// A bucket that once kept versions and does so no more says `null`.
fn version(id: Option<&str>) -> Written {
    id.filter(|id| !id.is_empty() && *id != "null").map(str::to_owned)
}

/// For the writes that [`once`] repeats itself, since it must know of every attempt.
fn once_only(limit: Duration) -> aws_sdk_s3::config::Builder {
    within(limit).retry_config(RetryConfig::disabled())
}

/// For requests that may take another time than most.
fn within(limit: Duration) -> aws_sdk_s3::config::Builder {
    Config::builder().timeout_config(timeouts(limit))
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(attempt)
        .build()
}

fn failed<E>(operation: &'static str, key: &ObjectKey, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    StoreError::Failed { operation, key: key.clone(), cause: Cause::of(error) }
}
