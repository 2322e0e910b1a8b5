//! The multipart uploads of one artifact: some parts under way at once, no more.

use aws_sdk_s3::types::CompletedPart;
use bytes::Bytes;
use drawbridge_protocol::{ArtifactName, ObjectKey, ObjectPrefix};
use tokio::task::JoinSet;

use super::assembly::Part;
use crate::store::{Cause, Multipart, Store, StoreError};

/// What S3 has of one artifact.
pub(super) struct Uploads {
    store: Store,
    prefix: ObjectPrefix,
    name: ArtifactName,
    parts_in_flight: usize,
    objects: Vec<(Multipart, Vec<CompletedPart>)>,
    running: JoinSet<(usize, Result<CompletedPart, StoreError>)>,
}

impl Uploads {
    pub(super) fn new(
        store: Store,
        prefix: ObjectPrefix,
        name: ArtifactName,
        parts_in_flight: usize,
    ) -> Self {
        Self { store, prefix, name, parts_in_flight, objects: Vec::new(), running: JoinSet::new() }
    }

    /// Whether a part has been handed over.
    pub(super) fn begun(&self) -> bool {
        !self.objects.is_empty()
    }

    /// The key of the artifact's `index`th object.
    pub(super) fn key(&self, index: usize) -> ObjectKey {
        self.prefix.artifact(&self.name, u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Hands over one part; waits while as many as allowed are under way.
    pub(super) async fn put(&mut self, part: Part) -> Result<(), StoreError> {
        while self.running.len() >= self.parts_in_flight {
            self.reap().await?;
        }
        if part.object == self.objects.len() {
            let upload = self.store.begin(&self.key(part.object)).await?;
            self.objects.push((upload, Vec::new()));
        }
        let upload = self.objects[part.object].0.clone();
        let store = self.store.clone();
        let Part { object, number, body } = part;
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        self.running.spawn(async move { (object, store.part(&upload, number, body).await) });
        Ok(())
    }

    /// Puts an artifact of less than one part, which needs no multipart upload.
    pub(super) async fn put_whole(&self, body: Bytes) -> Result<(), StoreError> {
        self.store.put_new(&self.key(0), body, "application/zstd").await
    }

    /// Waits for all parts, then makes the objects, in order. `sizes` are the objects' bytes.
    pub(super) async fn complete(&mut self, sizes: &[u64]) -> Result<(), StoreError> {
        while !self.running.is_empty() {
            self.reap().await?;
        }
        for (index, bytes) in sizes.iter().enumerate() {
            let (upload, parts) = &mut self.objects[index];
            parts.sort_by_key(CompletedPart::part_number);
            self.store.complete_new(upload, std::mem::take(parts), *bytes).await?;
        }
        Ok(())
    }

    /// Gives everything up that is not an object yet.
    pub(super) async fn abort(mut self) {
        // A part that is still under way would outlive the abort and cost storage until the lifecycle rule runs.
        self.running.shutdown().await;
        for (upload, _) in &self.objects {
            self.store.abort(upload).await;
        }
    }

    async fn reap(&mut self) -> Result<(), StoreError> {
        match self.running.join_next().await {
            None => Ok(()),
            Some(Ok((object, Ok(part)))) => {
                self.objects[object].1.push(part);
                Ok(())
            }
            Some(Ok((_, Err(error)))) => Err(error),
            Some(Err(error)) => Err(StoreError::Failed {
                operation: "UploadPart",
                key: self.key(0),
                cause: Cause::other(error.to_string()),
            }),
        }
    }
}
