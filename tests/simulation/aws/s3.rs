//! The two buckets as the Lambdas see them: conditional writes, strong consistency.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use drawbridge_lambdas::{
    store::{Condition, Object, Objects, Put, StoreError},
    uploads::{Upload, Uploads},
};

use super::{Inner, invocation::Invocation};
use crate::{guards::Guard, world::World};

type Result<T> = std::result::Result<T, StoreError>;

pub(crate) struct StateBucket(pub(crate) Arc<Invocation>);
pub(crate) struct BackupBucket(pub(crate) Arc<Invocation>);

/// A condition that can wait.
#[derive(Clone)]
enum If {
    Absent,
    Matches(String),
    Always,
}

impl Inner {
    fn holds(&self, key: &str, condition: &If) -> bool {
        let there = self.objects.get(key).map(|(_, etag)| etag.to_string());
        match condition {
            If::Absent => there.is_none(),
            If::Matches(etag) => there.as_ref() == Some(etag),
            If::Always => true,
        }
    }

    pub(super) fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.objects.get(key).map(|(bytes, _)| bytes.clone())
    }

    fn put(&mut self, world: &World, key: &str, bytes: Vec<u8>, condition: &If) -> Put {
        if world.without(Guard::Tombstone) && key.starts_with("closed/") {
            return Put::Written("0".to_owned());
        }
        if !self.holds(key, condition) && !world.without(Guard::ConditionalState) {
            return Put::Refused;
        }
        let etag = self.next();
        self.objects.insert(key.to_owned(), (bytes, etag));
        Put::Written(etag.to_string())
    }

    /// The box's own write, presigned, with `if-none-match`.
    pub(super) fn put_once(&mut self, world: &World, key: &str, bytes: Vec<u8>) -> bool {
        self.put(world, key, bytes, &If::Absent) != Put::Refused
    }
}

#[async_trait]
impl Objects for StateBucket {
    async fn get(&self, key: &str, max: usize) -> Result<Option<Object>> {
        let found = self.0.read("s3 get", |world| world.aws.inner().objects.get(key).cloned()).await?;
        match found {
            Some((bytes, _)) if bytes.len() > max => {
                Err(StoreError::Unreadable { key: key.to_owned(), why: "too large".to_owned() })
            }
            found => Ok(found.map(|(bytes, etag)| Object { bytes, etag: etag.to_string() })),
        }
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.0.read("s3 head", |world| world.aws.inner().objects.contains_key(key)).await?)
    }

    async fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition<'_>) -> Result<Put> {
        let condition = match condition {
            Condition::Absent => If::Absent,
            Condition::Matches(etag) => If::Matches(etag.to_owned()),
        };
        let key = key.to_owned();
        let put = move |world: &Arc<World>| world.aws.inner().put(world, &key, bytes.clone(), &condition);
        Ok(self.0.change("s3 put", put).await?)
    }

    async fn delete(&self, key: &str, etag: Option<&str>) -> Result<()> {
        let condition = etag.map_or(If::Always, |etag| If::Matches(etag.to_owned()));
        let key = key.to_owned();
        let delete = move |world: &Arc<World>| {
            let mut inner = world.aws.inner();
            if inner.holds(&key, &condition) || world.without(Guard::ConditionalState) {
                inner.objects.remove(&key);
            }
        };
        Ok(self.0.change("s3 delete", delete).await?)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let list = |world: &Arc<World>| -> Vec<String> {
            let inner = world.aws.inner();
            inner.objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
        };
        Ok(self.0.read("s3 list", list).await?)
    }

    async fn presign_get(&self, key: &str, _: Duration) -> Result<String> {
        Ok(format!("https://state/{key}"))
    }

    async fn presign_put_once(&self, key: &str, _: Duration) -> Result<String> {
        Ok(format!("https://state/{key}"))
    }
}

#[async_trait]
impl Uploads for BackupBucket {
    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<Upload>> {
        let list = |world: &Arc<World>| -> Vec<Upload> {
            let inner = world.aws.inner();
            let under = inner.uploads.iter().filter(|upload| upload.key.starts_with(prefix));
            under.take(most).cloned().collect()
        };
        Ok(self.0.read("s3 list uploads", list).await?)
    }

    async fn abort(&self, upload: &Upload) -> Result<()> {
        let upload = upload.clone();
        let abort = move |world: &Arc<World>| {
            world.aws.inner().uploads.retain(|other| *other != upload);
        };
        Ok(self.0.change("s3 abort upload", abort).await?)
    }
}
