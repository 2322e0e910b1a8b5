//! What goes in, and what does not.

use std::{io, process::Command};

use bytes::Bytes;
use drawbridge::transfer::TransferError;
use drawbridge_jumpbox::Bounds;
use drawbridge_protocol::{
    Envelope, Manifest, Sha256,
    upload::{BoxFrame, FailureCode},
};
use futures::stream;

use crate::{
    raw::{self, Raw},
    support::{Plan, Rig, artifact, claim, eventually, noise, rig, source},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_through_whole_and_is_restored_with_plain_tools() {
    let rig = rig().await;
    let (small, large, empty) = (b"hello\n".repeat(10), noise(23 << 20), Vec::new());
    let data = [("config-web-0.tar.zst", &small), ("data-web-0.tar.zst", &large), ("empty.tar.zst", &empty)];
    let uploads = data.map(|(name, bytes)| rig.upload(name, bytes));
    let uploaded: Vec<_> = futures::future::join_all(uploads).await.into_iter().map(Result::unwrap).collect();
    let entries: Vec<_> = uploaded.iter().map(drawbridge::transfer::Uploaded::entry).collect();
    let sealed = rig.uploader().await.commit(&entries).await.unwrap();

    let objects = rig.objects().await;
    let names: Vec<_> = objects.keys().map(String::as_str).collect();
    let artifacts = ["config-web-0.tar.zst", "data-web-0.tar.zst", "empty.tar.zst"];
    assert_eq!(names, [&["SHA256SUMS"], &artifacts[..], &["manifest.dsse.json", "manifest.json"]].concat());
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in &objects {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    let sums = Command::new("sha256sum").args(["-c", "SHA256SUMS"]).current_dir(&directory).output().unwrap();
    assert!(sums.status.success(), "{sums:?}");
    for (name, bytes) in data {
        let restored = Command::new("zstd").args(["-dc", name]).current_dir(&directory).output().unwrap();
        assert!(restored.status.success() && restored.stdout == *bytes, "{name} did not come back");
    }

    let envelope: Envelope = serde_json::from_slice(&objects["manifest.dsse.json"]).unwrap();
    let manifest = Manifest::verify(&envelope, &rig.report.session_key).unwrap();
    assert_eq!(manifest.to_statement().unwrap(), objects["manifest.json"]);
    assert_eq!(sealed.receipt().manifest_sha256, Sha256::of(&objects["manifest.json"]));
    assert_eq!((sealed.receipt().artifacts, manifest.artifacts.len()), (3, 3));
    let config = &manifest.artifacts[0];
    assert_eq!((config.claimed.original_bytes, &config.claimed.original_sha256), (60, &Sha256::of(&small)));
    assert_eq!(config.claimed.pod, "web-0");
    assert_eq!(rig.unfinished().await, 0);
    let progress = rig.progress.snapshot();
    assert_eq!((progress.artifacts, progress.original_bytes), (3, (small.len() + large.len()) as u64));
    assert_eq!(progress.sent_bytes, sealed.receipt().bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_artifacts_one_after_the_other() {
    let rig = rig().await;
    let mut uploader = rig.uploader().await;
    for name in ["a.tar.zst", "b.log.zst", "c.jsonl.zst"] {
        let stored = uploader.upload(&artifact(name), claim(), source(name.as_bytes())).await.unwrap();
        assert_eq!(stored.accepted.name, artifact(name));
    }
    assert_eq!(rig.objects().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_parts_of_one_object_the_next_one_goes_on() {
    let bounds = Bounds { parts_per_object: 2, ..Bounds::default() };
    let rig = Rig::with(Plan { bounds, ..Plan::default() }).await;
    let data = noise(24 << 20);
    let uploaded = rig.upload("big.tar.zst", &data).await.unwrap();
    let objects = rig.objects().await;
    let names: Vec<_> = objects.keys().map(String::as_str).collect();
    assert_eq!(names, ["big.tar.zst", "big.tar.zst.0001", "big.tar.zst.0002"]);
    let joined: Vec<u8> = objects.values().flatten().copied().collect();
    assert_eq!(zstd::stream::decode_all(&joined[..]).unwrap(), data);
    for (stored, bytes) in uploaded.accepted.objects.iter().zip(objects.values()) {
        assert_eq!(stored.sha256, Sha256::of(bytes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_a_check_never_becomes_an_object() {
    let rig = raw::rig(1, Plan::default()).await;
    let large = noise(6 << 20);
    // Small ones would be one PutObject, large ones have a part in S3 when the check fails.
    for (data, kind) in [(&large[..1000], "small"), (&large[..], "large")] {
        for (bytes, sha256, check) in [
            (data.len() as u64, Sha256::of(b"other"), "digest"),
            (data.len() as u64 + 1, Sha256::of(data), "size"),
        ] {
            let mut raw = Raw::greeted(&rig, 1).await;
            let name = format!("{kind}-{check}.tar.zst");
            assert!(matches!(raw.begin(&name).await, Some(BoxFrame::Begun(begun)) if begun.offset == 0));
            let mut offset = 0;
            for chunk in data.chunks(128 << 10) {
                raw.data(offset, chunk).await;
                offset += chunk.len() as u64;
                raw.acknowledged(offset.saturating_sub(1 << 20)).await;
            }
            match raw.end(bytes, sha256).await {
                Some(BoxFrame::Rejected(rejected)) => assert_eq!(rejected.check, check),
                other => panic!("{name} was to be rejected, got {other:?}"),
            }
            // It will not be stored under this name, whatever comes.
            assert!(matches!(raw.begin(&name).await, Some(BoxFrame::Rejected(_))));
        }
    }
    let names: Vec<_> = rig.objects().await.into_keys().collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.iter().all(|name| name.ends_with(".rejected.dsse.json")), "{names:?}");
    assert_eq!(rig.unfinished().await, 0);
    // The twin that passes.
    let mut raw = Raw::greeted(&rig, 1).await;
    raw.begin("good.tar.zst").await;
    raw.data(0, b"data").await;
    assert!(matches!(raw.end(4, Sha256::of(b"data")).await, Some(BoxFrame::Accepted(_))));
    assert_eq!(rig.objects().await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_without_a_byte_is_rejected() {
    let rig = raw::rig(2, Plan::default()).await;
    let mut raw = Raw::greeted(&rig, 2).await;
    raw.begin("none.tar.zst").await;
    let answer = raw.end(0, Sha256::of(b"")).await;
    assert!(matches!(answer, Some(BoxFrame::Rejected(rejected)) if rejected.check == "empty"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten() {
    let rig = rig().await;
    rig.upload("a.tar.zst", b"first").await.unwrap();
    let before = rig.objects().await;
    match rig.upload("a.tar.zst", b"second").await {
        Err(TransferError::Box { code: FailureCode::State, .. }) => {}
        other => panic!("an overwrite was to be refused, got {other:?}"),
    }
    assert_eq!(rig.objects().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_somebody_else_put_there_is_not_overwritten_either() {
    let rig = rig().await;
    for (name, size) in [("small.tar.zst", 10), ("large.tar.zst", 6 << 20)] {
        let key = format!("{}{name}", rig.orders.prefix);
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"theirs");
        rig.s3.put_object().bucket(crate::s3::BUCKET).key(key).body(body).send().await.unwrap();
        match rig.upload(name, &noise(size)).await {
            Err(TransferError::Box { code: FailureCode::StorageTaken, message }) => {
                assert!(message.contains("taken"));
            }
            other => panic!("an overwrite was to be refused, got {other:?}"),
        }
        assert_eq!(rig.objects().await[name], b"theirs");
    }
    eventually("the upload is aborted", || async { rig.unfinished().await == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_leaves_nothing_and_never_reads_as_success() {
    let rig = rig().await;
    let mut uploader = rig.uploader().await;
    let mut chunks: Vec<io::Result<Bytes>> =
        noise(12 << 20).chunks(1 << 20).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    chunks.push(Err(io::Error::other("exec ended without a status")));
    match uploader.upload(&artifact("a.tar.zst"), claim(), stream::iter(chunks)).await {
        Err(TransferError::Source(error)) => assert!(error.to_string().contains("without a status")),
        other => panic!("the source's error was to come back, got {other:?}"),
    }
    assert!(rig.objects().await.is_empty());
    eventually("the upload is aborted", || async { rig.unfinished().await == 0 }).await;
    // The same uploader goes on with the next artifact, and the name is free again.
    uploader.upload(&artifact("a.tar.zst"), claim(), source(b"whole")).await.unwrap();
    assert_eq!(rig.progress.snapshot().artifacts, 1);
}
