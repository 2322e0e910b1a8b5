//! The multipart uploads of one artifact. How many parts there may be at once is the session's business, not the
//! artifact's: memory is bounded whatever the number of artifacts, and an artifact alone gets all of it.

use aws_sdk_s3::types::CompletedPart;
use bytes::Bytes;
use drawbridge_protocol::{ArtifactName, ObjectKey, ObjectPrefix};
use tokio::task::{JoinError, JoinSet};

use super::assembly::Part;
use crate::store::{Cause, Multipart, PartBuffer, Store, StoreError, Written};

/// What S3 has of one artifact.
pub(crate) struct Uploads {
    store: Store,
    prefix: ObjectPrefix,
    name: ArtifactName,
    objects: Vec<(Multipart, Vec<CompletedPart>)>,
    running: JoinSet<(usize, Result<CompletedPart, StoreError>)>,
}

impl Uploads {
    pub(super) fn new(store: Store, prefix: ObjectPrefix, name: ArtifactName) -> Self {
        Self { store, prefix, name, objects: Vec::new(), running: JoinSet::new() }
    }

    /// Whether a part has been handed over.
    pub(super) fn begun(&self) -> bool {
        !self.objects.is_empty()
    }

    /// The key of the artifact's `index`th object.
    pub(super) fn key(&self, index: usize) -> ObjectKey {
        self.prefix.artifact(&self.name, u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Waits until the session has memory for one more part. A part that fails meanwhile is heard of.
    pub(super) async fn memory(&mut self) -> Result<PartBuffer, StoreError> {
        let part = self.store.parts.take();
        tokio::pin!(part);
        loop {
            tokio::select! {
                part = &mut part => return Ok(part),
                Some(done) = self.running.join_next() => self.keep(done)?,
            }
        }
    }

    /// Hands over one part; it is under way when this returns.
    pub(super) async fn put(&mut self, part: Part) -> Result<(), StoreError> {
        while let Some(done) = self.running.try_join_next() {
            self.keep(done)?;
        }
        if part.object == self.objects.len() {
            let upload = self.store.begin(&self.key(part.object)).await?;
            self.objects.push((upload, Vec::new()));
        }
        let upload = self.objects[part.object].0.clone();
        let store = self.store.clone();
        let Part { object, number, body, slot } = part;
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        self.running.spawn(async move {
            let result = store.part(&upload, number, body).await;
            drop(slot);
            (object, result)
        });
        Ok(())
    }

    /// Puts an artifact of less than one part, which needs no multipart upload.
    pub(super) async fn put_whole(&self, body: Bytes) -> Result<Written, StoreError> {
        self.store.put_new(&self.key(0), body, "application/zstd").await
    }

    /// Waits for all parts, then makes the objects, in order. `sizes` are the objects' bytes.
    pub(super) async fn complete(&mut self, sizes: &[u64]) -> Result<Vec<Written>, StoreError> {
        while let Some(done) = self.running.join_next().await {
            self.keep(done)?;
        }
        let mut written = Vec::with_capacity(sizes.len());
        for (index, bytes) in sizes.iter().enumerate() {
            let (upload, parts) = &mut self.objects[index];
            parts.sort_by_key(CompletedPart::part_number);
            written.push(self.store.complete_new(upload, std::mem::take(parts), *bytes).await?);
        }
        Ok(written)
    }

    /// Ends every part that is under way.
    pub(super) async fn stop(&mut self) {
        self.running.shutdown().await;
    }

    /// Gives everything up that is not an object yet. S3 may take its time.
    pub(crate) async fn abort(mut self) {
        // A part that is still under way would outlive the abort and cost storage until the lifecycle rule runs.
        self.stop().await;
        for (upload, _) in &self.objects {
            self.store.abort(upload).await;
        }
    }

    fn keep(
        &mut self,
        done: Result<(usize, Result<CompletedPart, StoreError>), JoinError>,
    ) -> Result<(), StoreError> {
        let (object, part) = done.map_err(|error| StoreError::Failed {
            operation: "UploadPart",
            key: self.key(0),
            cause: Cause::other(error.to_string()),
        })?;
        self.objects[object].1.push(part?);
        Ok(())
    }
}
