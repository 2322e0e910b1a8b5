//! What a box says to S3 of a lock, and what S3 says of versions.

use std::{num::NonZeroU16, time::SystemTime};

use aws_sdk_s3::types::{ObjectLockRetention, ObjectLockRetentionMode};
use drawbridge::transfer::TransferError;
use drawbridge_protocol::{orders::Limits, upload::FailureCode};

use crate::{
    s3,
    support::{Plan, Rig, noise},
};

const DAYS: u16 = 30;
const DAY: u64 = 24 * 3600;

async fn rig(bucket: &'static str, lock_days: u16) -> Rig {
    let limits = Limits { lock_days: NonZeroU16::new(lock_days), ..Limits::default() };
    Rig::with(Plan { limits, bucket, ..Plan::default() }).await
}

async fn retention(rig: &Rig, name: &str) -> ObjectLockRetention {
    let key = format!("{}{name}", rig.orders.prefix);
    let answer = rig.s3.get_object_retention().bucket(s3::LOCKED).key(key).send().await;
    answer.unwrap().retention.expect("a lock on the object")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_a_locked_stack_is_locked_for_its_days_and_named_with_its_version() {
    let rig = rig(s3::LOCKED, DAYS).await;
    let small = rig.upload("small.tar.zst", b"hello").await.unwrap();
    let large = rig.upload("large.tar.zst", &noise(12 << 20)).await.unwrap();
    rig.uploader().await.commit(&[small.entry(), large.entry()]).await.unwrap();

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for name in ["small.tar.zst", "SHA256SUMS", "manifest.dsse.json", "manifest.json"] {
        let lock = retention(&rig, name).await;
        assert_eq!(lock.mode(), Some(&ObjectLockRetentionMode::Compliance), "{name}");
        let until = u64::try_from(lock.retain_until_date().unwrap().secs()).unwrap();
        let days = now + u64::from(DAYS) * DAY;
        assert!((days - 7200..=days).contains(&until), "{name} is locked until {until}, now is {now}");
    }
    let versions = rig.s3.list_object_versions().bucket(s3::LOCKED).prefix(rig.orders.prefix.as_str());
    let versions = versions.send().await.unwrap();
    for stored in [&small, &large].map(|uploaded| &uploaded.accepted.objects[0]) {
        let mut kept =
            versions.versions().iter().filter(|version| version.key() == Some(stored.key.as_str()));
        assert_eq!(kept.next().unwrap().version_id(), stored.version.as_deref());
        assert!(stored.version.is_some() && kept.next().is_none(), "{stored:?}");
    }
}

/// S3 takes a lock only where the bucket has one, so this shows what the request of a multipart upload said.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_says_its_lock_when_it_begins() {
    let rig = rig(s3::BUCKET, DAYS).await;
    let refused = rig.upload("large.tar.zst", &noise(12 << 20)).await.unwrap_err();
    let TransferError::Box { code, message } = &refused else { panic!("{refused}") };
    assert_eq!(*code, FailureCode::Storage);
    assert!(message.contains("ObjectLockConfiguration"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_without_a_lock_says_nothing_of_one() {
    let rig = rig(s3::BUCKET, 0).await;
    for (name, bytes) in [("small.tar.zst", 5), ("large.tar.zst", 12 << 20)] {
        let stored = rig.upload(name, &noise(bytes)).await.unwrap();
        assert_eq!(stored.accepted.objects[0].version, None);
    }
}
