//! The certificate on its way: `create` gives it to the client, the client to the box, the box to whoever verifies.

use std::sync::Arc;

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use drawbridge::transfer::{Patience, SealedReceipt, Target, TransferError, Uploader};
use drawbridge_protocol::{
    Certificate, CertificateError, CertifiedSession, Envelope, Manifest, Receipt, ReceiptKey, SessionSigner,
    Sha256, Version,
    upload::{Entry, FailureCode},
};
use jiff::{SignedDuration, Timestamp};

use crate::support::{Rig, rig};

/// What `create` has in KMS.
struct Kms(EcdsaKeyPair);

impl Kms {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn public(&self) -> ReceiptKey {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        ReceiptKey::from_der(der.as_ref()).unwrap()
    }

    fn certify(&self, session: &CertifiedSession) -> Certificate {
        let payload = session.to_payload().unwrap();
        let signature = self.0.sign(&SystemRandom::new(), &Certificate::message(&payload)).unwrap();
        Certificate::new(&payload, "receipt-key", signature.as_ref())
    }
}

/// As `create` writes it for this box.
fn certified(rig: &Rig) -> CertifiedSession {
    CertifiedSession {
        version: Version,
        session: rig.orders.session.clone(),
        job: rig.orders.job.clone(),
        client_key: rig.orders.client_key.fingerprint(),
        instance: rig.report.instance.clone(),
        program: rig.report.program.clone(),
        session_key: rig.report.session_key.clone(),
        bucket: rig.orders.bucket.clone(),
        prefix: rig.orders.prefix.clone(),
        issued_at: Timestamp::now(),
        expires_at: rig.orders.deadline,
    }
}

async fn commit(
    rig: &Rig,
    certificate: Option<Certificate>,
    receipt_key: Option<ReceiptKey>,
    entries: &[Entry],
) -> Result<SealedReceipt, TransferError> {
    let target = Target { certificate, receipt_key, ..rig.target() };
    let mut uploader =
        Uploader::connect(target, rig.key.clone(), Patience::default(), Arc::default()).await.unwrap();
    uploader.commit(entries).await
}

#[tokio::test(flavor = "multi_thread")]
async fn manifest_and_receipt_verify_from_the_receipt_key_alone() {
    let (rig, kms) = (rig().await, Kms::new());
    let entries = [rig.upload("a.tar.zst", b"a").await.unwrap().entry()];
    let certificate = kms.certify(&certified(&rig));
    let sealed = commit(&rig, Some(certificate.clone()), Some(kms.public()), &entries).await.unwrap();
    let (receipt, _) = Receipt::verify_certified(sealed.envelope(), &kms.public()).unwrap();
    assert_eq!(&receipt, sealed.receipt());
    let objects = rig.objects().await;
    let envelope: Envelope = serde_json::from_slice(&objects["manifest.dsse.json"]).unwrap();
    assert_eq!(envelope.certificate(), Some(&certificate));
    let (manifest, _) = Manifest::verify_certified(&envelope, &kms.public()).unwrap();
    assert_eq!(manifest.to_statement().unwrap(), objects["manifest.json"]);
    assert_eq!(receipt.manifest_sha256, Sha256::of(&objects["manifest.json"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_takes_no_certificate_that_is_not_its_own() {
    let (rig, kms) = (rig().await, Kms::new());
    let entries = [rig.upload("a.tar.zst", b"a").await.unwrap().entry()];
    let good = certified(&rig);
    let other_key = SessionSigner::generate().unwrap().public().unwrap();
    let cases = [
        ("session key", CertifiedSession { session_key: other_key, ..good.clone() }),
        ("session", CertifiedSession { session: "f".repeat(32).parse().unwrap(), ..good.clone() }),
        ("object prefix", CertifiedSession { prefix: "clusters/other/".parse().unwrap(), ..good.clone() }),
        ("instance", CertifiedSession { instance: "i-other".to_owned(), ..good.clone() }),
        ("program", CertifiedSession { program: Sha256::of(b"other"), ..good.clone() }),
    ];
    for (what, wrong) in cases {
        match commit(&rig, Some(kms.certify(&wrong)), None, &entries).await {
            Err(TransferError::Box { code: FailureCode::State, message }) => {
                assert!(message.contains(&format!("another {what}:")), "{message}");
            }
            other => panic!("{what}: {other:?}"),
        }
        assert!(!rig.objects().await.contains_key("manifest.json"), "{what}");
    }
    assert!(commit(&rig, Some(kms.certify(&good)), Some(kms.public()), &entries).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_pins_a_key_believes_no_receipt_without_its_certificate() {
    let (rig, kms) = (rig().await, Kms::new());
    let entries = [rig.upload("a.tar.zst", b"a").await.unwrap().entry()];
    let uncertified = commit(&rig, None, Some(kms.public()), &entries).await;
    assert!(
        matches!(uncertified, Err(TransferError::Unverified(CertificateError::Missing))),
        "{uncertified:?}"
    );
    // Sealed without one it stays without one.
    let late = commit(&rig, Some(kms.certify(&certified(&rig))), Some(kms.public()), &entries).await;
    assert!(matches!(late, Err(TransferError::Box { code: FailureCode::State, .. })), "{late:?}");
    assert!(commit(&rig, None, None, &entries).await.is_ok(), "without a pinned key it is what it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_key_or_one_that_has_ended_convinces_no_client() {
    let (kms, other) = (Kms::new(), Kms::new());
    for (forged, minutes) in [(true, 5), (false, -5)] {
        let rig = rig().await;
        let entries = [rig.upload("a.tar.zst", b"a").await.unwrap().entry()];
        let mut session = certified(&rig);
        session.expires_at = Timestamp::now() + SignedDuration::from_mins(minutes);
        let signer = if forged { &other } else { &kms };
        let result = commit(&rig, Some(signer.certify(&session)), Some(kms.public()), &entries).await;
        let expected = match &result {
            Err(TransferError::Unverified(CertificateError::Signature)) => forged,
            Err(TransferError::Unverified(CertificateError::Expired { .. })) => !forged,
            _ => false,
        };
        assert!(expected, "{result:?}");
    }
}
