//! Connections that break, and artifacts that go on.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use drawbridge::transfer::TransferError;
use drawbridge_jumpbox::Bounds;
use drawbridge_protocol::{
    Sha256,
    upload::{BoxFrame, FailureCode},
};
use futures::StreamExt as _;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::broadcast,
};

use crate::{
    raw::{self, Raw},
    support::{Plan, Rig, artifact, claim, eventually, noise, rig},
};

/// A wire between client and box that a test can cut.
struct Wire {
    address: SocketAddr,
    cut: broadcast::Sender<()>,
}

impl Wire {
    async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (cut, _) = broadcast::channel(1);
        let wire = Self { address: listener.local_addr().unwrap(), cut: cut.clone() };
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cut = cut.subscribe();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        wire
    }

    fn cut(&self) {
        let _ = self.cut.send(());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_its_connection_was_cut_again_and_again() {
    let rig = rig().await;
    let wire = Arc::new(Wire::to(rig.address).await);
    let data = noise(40 << 20);
    let (cutter, mut sent) = (Arc::clone(&wire), 0);
    let chunks: Vec<_> = data.chunks(256 << 10).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let source = futures::stream::iter(chunks).map(move |chunk: io::Result<Bytes>| {
        sent += 1;
        if [30, 60, 61, 110].contains(&sent) {
            cutter.cut();
        }
        chunk
    });
    let mut uploader = rig.uploader_at(wire.address).await;
    let first = uploader.upload(&artifact("a.tar.zst"), claim(), source).await.unwrap();
    assert_eq!(first.claimed.original_sha256, Sha256::of(&data));
    let objects = rig.objects().await;
    assert_eq!(zstd::stream::decode_all(&objects["a.tar.zst"][..]).unwrap(), data);
    assert_eq!(rig.progress.snapshot().sent_bytes, first.accepted.bytes, "nothing counts twice");
    wire.cut();
    uploader.commit(&[first.entry()]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_whose_answer_was_lost_is_answered_again() {
    let rig = raw::rig(20, Plan::default()).await;
    let mut first = Raw::greeted(&rig, 20).await;
    first.begin("a.tar.zst").await;
    first.data(0, b"data").await;
    let Some(BoxFrame::Accepted(accepted)) = first.end(4, Sha256::of(b"data")).await else {
        panic!("not accepted")
    };
    drop(first);
    let mut second = Raw::greeted(&rig, 20).await;
    assert!(matches!(second.begin("a.tar.zst").await, Some(BoxFrame::Begun(begun)) if begun.offset == 4));
    assert_eq!(second.end(4, Sha256::of(b"data")).await, Some(BoxFrame::Accepted(accepted)));
    assert!(matches!(second.begin("a.tar.zst").await, Some(BoxFrame::Begun(_))));
    match second.end(4, Sha256::of(b"else")).await {
        Some(BoxFrame::Error(failure)) => assert_eq!(failure.code, FailureCode::State),
        other => panic!("another digest under the name was to be refused, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_takes_the_artifact_over_from_a_dead_one() {
    let rig = raw::rig(21, Plan::default()).await;
    let mut first = Raw::greeted(&rig, 21).await;
    first.begin("a.tar.zst").await;
    first.data(0, b"half").await;
    let mut second = Raw::greeted(&rig, 21).await;
    // What the first one sent may still be under way when the second one asks.
    let Some(BoxFrame::Begun(begun)) = second.begin("a.tar.zst").await else { panic!("not begun") };
    let whole = b"half and half";
    second.data(begun.offset, &whole[usize::try_from(begun.offset).unwrap()..]).await;
    first.data(4, b"stale").await;
    assert!(matches!(second.end(13, Sha256::of(whole)).await, Some(BoxFrame::Accepted(_))));
    let refused = first.receive().await;
    assert!(
        matches!(refused, Some(BoxFrame::Error(ref failure)) if failure.code == FailureCode::State),
        "{refused:?}"
    );
    assert_eq!(rig.objects().await["a.tar.zst"], whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_whose_client_stays_away_is_forgotten_and_its_upload_aborted() {
    let bounds = Bounds { resume: Duration::from_millis(300), ..Bounds::default() };
    let rig = raw::rig(22, Plan { bounds, ..Plan::default() }).await;
    let mut first = Raw::greeted(&rig, 22).await;
    first.begin("a.tar.zst").await;
    let data = noise(6 << 20);
    for (index, chunk) in data.chunks(256 << 10).enumerate() {
        let offset = (index * (256 << 10)) as u64;
        first.data(offset, chunk).await;
        first.acknowledged(offset.saturating_sub(1 << 20)).await;
    }
    eventually("a part is in S3", || async { rig.unfinished().await == 1 }).await;
    drop(first);
    eventually("the upload is aborted", || async { rig.unfinished().await == 0 }).await;
    let mut second = Raw::greeted(&rig, 22).await;
    assert!(matches!(second.begin("a.tar.zst").await, Some(BoxFrame::Begun(begun)) if begun.offset == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_is_gone_for_good_is_an_error() {
    let rig = rig().await;
    let wire = Wire::to(rig.address).await;
    let target = drawbridge::transfer::Target { address: wire.address, ..rig.target() };
    let patience =
        drawbridge::transfer::Patience { resume: Duration::from_millis(500), ..Default::default() };
    let mut uploader =
        drawbridge::transfer::Uploader::connect(target, rig.key.clone(), patience, Arc::default())
            .await
            .unwrap();
    let chunks = [Ok(Bytes::from_static(b"first"))];
    let endless = futures::stream::iter(chunks).chain(futures::stream::pending());
    let name = artifact("a.tar.zst");
    let upload = uploader.upload(&name, claim(), endless);
    let Rig { serving, .. } = rig;
    let end = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        // The process is gone: nobody listens, and connections break.
        serving.abort();
        let _ = serving.await;
        wire.cut();
    };
    let (result, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(20), upload), end);
    assert!(matches!(result.unwrap(), Err(TransferError::Lost { .. })));
}
