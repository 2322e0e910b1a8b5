//! A box for a controller of the release before: what it says has nothing in it that such a controller would refuse.

use drawbridge::transfer::{ClientKey, SealedReceipt, Uploaded};
use drawbridge_protocol::{Envelope, Manifest, Orders, Revision, manifest::Verdict};

use crate::{
    checks::archive,
    support::{Plan, Rig, orders},
};

/// A session of that revision with one artifact that a check flags.
async fn session(revision: Revision) -> (Rig, Uploaded, SealedReceipt) {
    let plan = Plan { checks: "tar_setuid=flag".parse().unwrap(), ..Plan::default() };
    let (s3, key) = (crate::s3::client().await, ClientKey::generate().unwrap());
    let orders = Orders { revision, ..orders(&s3, &key, &plan).await };
    let rig = Rig::start(s3, orders, key, plan.bounds).await;
    let flagged = archive(&[("bin/su", "0004755", b"#!")]);
    let uploaded = rig.upload("config.web-0.app.tar.zst", &flagged).await.unwrap();
    let sealed = rig.uploader().await.commit(&[uploaded.entry()]).await.unwrap();
    (rig, uploaded, sealed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_first_revision_is_told_less_and_the_manifest_says_it_all() {
    let (older, uploaded, sealed) = session(Revision::FIRST).await;
    assert_eq!((uploaded.accepted.verdict, uploaded.accepted.findings.len()), (Verdict::Flagged, 0));
    let statement = sealed.envelope().verify("receipt", &older.report.session_key).unwrap();
    assert!(!String::from_utf8(statement).unwrap().contains("sources"), "it would refuse the receipt");
    let envelope: Envelope = serde_json::from_slice(&older.objects().await["manifest.dsse.json"]).unwrap();
    let manifest = Manifest::verify(&envelope, &older.report.session_key).unwrap();
    assert_eq!(manifest.artifacts[0].observed.findings.len(), 1);

    let (_, uploaded, sealed) = session(Revision::CERTIFIED).await;
    assert_eq!((uploaded.accepted.verdict, uploaded.accepted.findings.len()), (Verdict::Flagged, 1));
    assert!(sealed.receipt().sources.contains_key("config"));
}
