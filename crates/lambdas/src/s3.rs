//! S3 itself behind [`Objects`] and [`Uploads`].

use std::{fmt, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    presigning::PresigningConfig,
    primitives::ByteStream,
};

use crate::{
    store::{Condition, Object, Objects, Put, StoreError},
    uploads::{Upload, Uploads},
};

/// One bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    fn failed(&self, action: &'static str, key: &str, why: impl fmt::Display) -> StoreError {
        StoreError::S3 { action, object: format!("{}/{key}", self.name), why: why.to_string() }
    }

    fn refused<E, R>(&self, action: &'static str, key: &str, error: &SdkError<E, R>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: fmt::Debug,
    {
        match (error.code(), error.message()) {
            (Some(code), message) => {
                self.failed(action, key, format!("{code}: {}", message.unwrap_or("no message")))
            }
            (None, _) => self.failed(action, key, DisplayErrorContext(error)),
        }
    }
}

/// The answers that say that a condition did not hold: the object is there, is another version, is gone, or
/// another write of the same key was under way.
fn condition_failed(code: Option<&str>) -> bool {
    matches!(code, Some("PreconditionFailed" | "ConditionalRequestConflict" | "NoSuchKey"))
}

#[async_trait]
impl Objects for Bucket {
    async fn get(&self, key: &str, max: usize) -> Result<Option<Object>, StoreError> {
        let answer = match self.client.get_object().bucket(&self.name).key(key).send().await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(self.refused("GetObject", key, &error)),
        };
        let length = answer.content_length().and_then(|length| usize::try_from(length).ok());
        if length.is_none_or(|length| length > max) {
            let why = format!("it has {length:?} bytes, at most {max} were expected");
            return Err(StoreError::Unreadable { key: key.to_owned(), why });
        }
        let etag = answer.e_tag().unwrap_or_default().to_owned();
        let body = answer.body.collect().await.map_err(|error| self.failed("GetObject", key, error))?;
        Ok(Some(Object { bytes: body.to_vec(), etag }))
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        match self.client.head_object().bucket(&self.name).key(key).send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(aws_sdk_s3::operation::head_object::HeadObjectError::is_not_found) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.refused("HeadObject", key, &error)),
        }
    }

    async fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition<'_>) -> Result<Put, StoreError> {
        let put = self.client.put_object().bucket(&self.name).key(key).body(ByteStream::from(bytes));
        let put = match condition {
            Condition::Absent => put.if_none_match("*"),
            Condition::Matches(etag) => put.if_match(etag),
        };
        match put.send().await {
            Ok(answer) => Ok(Put::Written(answer.e_tag().unwrap_or_default().to_owned())),
            Err(error) if condition_failed(error.code()) => Ok(Put::Refused),
            Err(error) => Err(self.refused("PutObject", key, &error)),
        }
    }

    async fn delete(&self, key: &str, etag: Option<&str>) -> Result<(), StoreError> {
        let delete =
            self.client.delete_object().bucket(&self.name).key(key).set_if_match(etag.map(str::to_owned));
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) if condition_failed(error.code()) => Ok(()),
            Err(error) => Err(self.refused("DeleteObject", key, &error)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let list = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
        let mut pages = list.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.refused("ListObjectsV2", prefix, &error))?;
            keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        Ok(keys)
    }

    async fn presign_get(&self, key: &str, expires: Duration) -> Result<String, StoreError> {
        let expires =
            PresigningConfig::expires_in(expires).map_err(|error| self.failed("presign", key, error))?;
        let signed = self.client.get_object().bucket(&self.name).key(key).presigned(expires).await;
        signed.map(|request| request.uri().to_owned()).map_err(|error| self.refused("presign", key, &error))
    }

    async fn presign_put_once(&self, key: &str, expires: Duration) -> Result<String, StoreError> {
        let expires =
            PresigningConfig::expires_in(expires).map_err(|error| self.failed("presign", key, error))?;
        let put = self.client.put_object().bucket(&self.name).key(key).if_none_match("*");
        let signed = put.presigned(expires).await.map_err(|error| self.refused("presign", key, &error))?;
        // Whatever else were signed, the box would have to send, and it sends only this.
        let headers: Vec<_> = signed.headers().map(|(name, _)| name).collect();
        if headers != ["if-none-match"] {
            return Err(self.failed(
                "presign",
                key,
                format!("signed headers are {headers:?}, not if-none-match alone"),
            ));
        }
        Ok(signed.uri().to_owned())
    }
}

#[async_trait]
impl Uploads for Bucket {
    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<Upload>, StoreError> {
        let mut found = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let list = self.client.list_multipart_uploads().bucket(&self.name).prefix(prefix);
            let page = list.set_key_marker(key_marker).set_upload_id_marker(id_marker).send().await;
            let page = page.map_err(|error| self.refused("ListMultipartUploads", prefix, &error))?;
            let uploads = page.uploads().iter().filter_map(|upload| upload.key().zip(upload.upload_id()));
            let ours = uploads.filter(|(key, _)| key.starts_with(prefix));
            found.extend(ours.map(|(key, id)| Upload { key: key.to_owned(), id: id.to_owned() }));
            if found.len() >= most || page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                found.truncate(most);
                return Ok(found);
            }
            key_marker = page.next_key_marker().map(str::to_owned);
            id_marker = page.next_upload_id_marker().map(str::to_owned);
        }
    }

    async fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        let abort =
            self.client.abort_multipart_upload().bucket(&self.name).key(&upload.key).upload_id(&upload.id);
        match abort.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
            Err(error) => Err(self.refused("AbortMultipartUpload", &upload.key, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};

    use super::*;

    fn bucket() -> Bucket {
        let credentials = Credentials::new("ASIAEXAMPLE", "secret", Some("token".repeat(400)), None, "test");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials)
            .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired)
            .build();
        Bucket::new(Client::from_conf(config), "demo-state".to_owned())
    }

    #[tokio::test]
    async fn a_presigned_put_signs_if_none_match_and_nothing_else() {
        let url = bucket().presign_put_once("ready/x.json", Duration::from_mins(10)).await.unwrap();
        assert!(url.contains("X-Amz-SignedHeaders=host%3Bif-none-match&"), "{url}");
        assert!(!url.to_ascii_lowercase().contains("checksum"), "{url}");
    }

    #[tokio::test]
    async fn a_presigned_get_signs_the_host_alone() {
        let url = bucket().presign_get("boot/x/orders.json", Duration::from_mins(10)).await.unwrap();
        assert!(url.contains("X-Amz-SignedHeaders=host&"), "{url}");
        assert!(url.len() < 4096, "two of them must fit into user data: {}", url.len());
    }
}
