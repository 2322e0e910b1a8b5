//! The record of an artifact that was rejected: it is behind the bridge before the client hears of it.

use std::{
    net::TcpListener,
    num::NonZeroU16,
    sync::Arc,
    time::{Duration, Instant},
};

use drawbridge::transfer::{ClientKey, TransferError};
use drawbridge_jumpbox::Bounds;
use drawbridge_protocol::{Envelope, RejectionRecord, orders::Limits};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    checks::archive,
    s3,
    support::{Plan, Rig, eventually, noise, orders},
};

const NAME: &str = "bad.tar.zst";
const RECORD: &str = "bad.tar.zst.rejected.dsse.json";

fn checking() -> Plan {
    Plan { checks: "".parse().unwrap(), ..Plan::default() }
}

/// Uploads an archive that reaches out of its directory: the check and the reason that the client is told.
async fn rejected(rig: &Rig) -> (String, String) {
    let bad = archive(&[("/etc/passwd", "0000644", b"root")]);
    match rig.upload(NAME, &bad).await {
        Err(TransferError::Rejected { check, reason, .. }) => (check, reason),
        other => panic!("it was to be rejected, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_artifact_leaves_a_signed_record_and_nothing_else() {
    let rig = Rig::with(checking()).await;
    let (check, reason) = rejected(&rig).await;
    assert_eq!(check, "tar_absolute_path");
    let objects = rig.objects().await;
    assert_eq!(objects.keys().collect::<Vec<_>>(), [RECORD]);
    let envelope: Envelope = serde_json::from_slice(&objects[RECORD]).unwrap();
    let record = RejectionRecord::verify(&envelope, &rig.report.session_key).unwrap();
    assert_eq!((record.check, record.reason), (check, reason));
    assert_eq!((record.artifact.as_str(), &record.prefix), (NAME, &rig.orders.prefix));
    assert_eq!((&record.session, &record.job), (&rig.orders.session, &rig.orders.job));
    assert_eq!((&record.program, &record.instance), (&rig.report.program, &rig.report.instance));
    assert_eq!(record.client_key, rig.orders.client_key.fingerprint());
    assert!(record.rejected_at < rig.orders.deadline);
    // Whoever seals without it cannot take it away.
    let stored = rig.upload("good.tar.zst", &archive(&[("a", "0000644", b"a")])).await.unwrap();
    rig.uploader().await.commit(&[stored.entry()]).await.unwrap();
    assert_eq!(rig.objects().await[RECORD], objects[RECORD]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_locked_and_written_once() {
    let limits = Limits { lock_days: NonZeroU16::new(30), ..checking().limits };
    let rig = Rig::with(Plan { limits, bucket: s3::LOCKED, ..checking() }).await;
    let first = rejected(&rig).await;
    assert_eq!(rejected(&rig).await, first, "it stays rejected");
    let prefix = rig.orders.prefix.as_str();
    let list = rig.s3.list_object_versions().bucket(s3::LOCKED).prefix(prefix).send().await.unwrap();
    let keys: Vec<_> = list.versions().iter().map(|version| version.key().unwrap()).collect();
    assert_eq!(keys, [format!("{prefix}{RECORD}")]);
    let retention = rig.s3.get_object_retention().bucket(s3::LOCKED).key(keys[0]).send().await;
    assert!(retention.unwrap().retention.is_some(), "a lock on the record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_written_does_not_keep_the_rejection_from_the_client() {
    let rig = Rig::with(Plan { bucket: "no-such-bucket", ..checking() }).await;
    assert_eq!(rejected(&rig).await.0, "tar_absolute_path");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_keeps_the_answer_no_longer_than_the_limit() {
    // Takes connections, and never says a word.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let (s3, key) = (s3::client().await, ClientKey::generate().unwrap());
    let mut orders = orders(&s3, &key, &checking()).await;
    orders.s3_endpoint = Some(format!("http://{}", deaf.local_addr().unwrap()));
    let bounds = Bounds { record: Duration::from_secs(2), ..Bounds::default() };
    let rig = Rig::start(s3, orders, key, bounds).await;
    let begun = Instant::now();
    assert_eq!(rejected(&rig).await.0, "tar_absolute_path");
    let took = begun.elapsed();
    assert!(took >= bounds.record, "the answer did not wait for the record");
    assert!(took < Duration::from_secs(10), "the answer took {took:?}");
    assert!(rig.objects().await.is_empty());
    drop(deaf);
}

/// A way to the S3 that tells nobody of a DELETE; which is how an upload in parts is aborted.
async fn without_deletes() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let far = s3::endpoint().trim_start_matches("http://");
                let far = tokio::net::TcpStream::connect(far).await.unwrap();
                let ((mut asked, mut answered), (mut answers, mut asks)) =
                    (near.into_split(), far.into_split());
                let back = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut answered).await });
                let mut buffer = vec![0; 64 << 10];
                while let Ok(read @ 1..) = asked.read(&mut buffer).await {
                    if buffer[..read].starts_with(b"DELETE ") {
                        std::future::pending::<()>().await;
                    }
                    if asks.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
                drop(asks);
                let _ = back.await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_does_not_wait_for_what_was_uploaded_to_be_given_up() {
    let (s3, key) = (s3::client().await, ClientKey::generate().unwrap());
    let mut orders = orders(&s3, &key, &checking()).await;
    orders.s3_endpoint = Some(without_deletes().await);
    let rig = Arc::new(Rig::start(s3, orders, key, Bounds::default()).await);
    let uploading = tokio::spawn({
        let rig = Arc::clone(&rig);
        async move {
            // Two parts are under way before the member that it is rejected for.
            let big = noise(12 << 20);
            let bad = archive(&[("big", "0000644", &big), ("/etc/passwd", "0000644", b"root")]);
            rig.upload(NAME, &bad).await.map(|_| ())
        }
    });
    eventually("the record", async || rig.objects().await.contains_key(RECORD)).await;
    assert_eq!(rig.unfinished().await, 1, "the upload in parts is not aborted yet");
    assert!(!uploading.is_finished(), "the client is told when nothing of it is left");
    uploading.abort();
}
