//! Manifest and receipt.

use std::sync::Arc;

use drawbridge::transfer::{Patience, Target, TransferError, Uploader};
use drawbridge_protocol::{Receipt, SessionSigner, Sha256, upload::FailureCode};

use crate::support::{Rig, rig};

async fn refused(rig: &Rig, entries: &[drawbridge_protocol::upload::Entry], because: &str) {
    match rig.uploader().await.commit(entries).await {
        Err(TransferError::Box { code: FailureCode::State, message }) => {
            assert!(message.contains(because), "{message}");
        }
        other => panic!("the commit was to be refused, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_must_name_exactly_what_is_stored() {
    let rig = rig().await;
    refused(&rig, &[], "nothing is stored").await;
    let a = rig.upload("a.tar.zst", b"a").await.unwrap().entry();
    let b = rig.upload("b.tar.zst", b"b").await.unwrap().entry();
    refused(&rig, &[], "does not name 'a.tar.zst'").await;
    refused(&rig, std::slice::from_ref(&a), "does not name 'b.tar.zst'").await;
    refused(&rig, &[a.clone(), b.clone(), b.clone()], "twice").await;
    let mut other = b.clone();
    other.sha256 = Sha256::of(b"other");
    refused(&rig, &[a.clone(), other], "names 'b.tar.zst'").await;
    assert!(!rig.objects().await.contains_key("manifest.json"));
    rig.uploader().await.commit(&[b, a]).await.unwrap();
    assert!(rig.objects().await.contains_key("manifest.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_asked_again_gives_the_same_receipt_and_nothing_begins_after_it() {
    let rig = rig().await;
    let a = rig.upload("a.tar.zst", b"a").await.unwrap().entry();
    let first = rig.uploader().await.commit(std::slice::from_ref(&a)).await.unwrap();
    let again = rig.uploader().await.commit(std::slice::from_ref(&a)).await.unwrap();
    assert_eq!(first.envelope(), again.envelope());
    let mut other = a.clone();
    other.bytes += 1;
    refused(&rig, &[other], "sealed over other artifacts").await;
    let late = rig.upload("late.tar.zst", b"late").await;
    assert!(matches!(late, Err(TransferError::Box { code: FailureCode::State, .. })), "{late:?}");
    assert_eq!(rig.objects().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_under_another_key_or_for_another_session_is_no_receipt() {
    let rig = rig().await;
    let a = [rig.upload("a.tar.zst", b"a").await.unwrap().entry()];
    let forger = SessionSigner::generate().unwrap().public().unwrap();
    let mut another = rig.orders.job.clone();
    another.attempt += 1;
    let lies = [
        Target { session_key: forger, ..rig.target() },
        Target { job: another, ..rig.target() },
        Target { bucket: "elsewhere".to_owned(), ..rig.target() },
    ];
    for target in lies {
        let mut uploader =
            Uploader::connect(target, rig.key.clone(), Patience::default(), Arc::default()).await.unwrap();
        let result = uploader.commit(&a).await;
        assert!(matches!(result, Err(TransferError::Protocol(_))), "{result:?}");
    }
    let sealed = rig.uploader().await.commit(&a).await.unwrap();
    assert_eq!(sealed.receipt(), &Receipt::verify(sealed.envelope(), &rig.report.session_key).unwrap());
}
