//! Which box a client with a pinned receipt key believes, and which receipt: a table, each refusal beside what passes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use drawbridge_protocol::{
    Certificate, CertificateError, CertifiedSession, Envelope, JobRef, Receipt, ReceiptKey, Revision,
    SessionSigner, Sha256, Sources, Version, session::ReadyBox, upload::Entry,
};
use jiff::Timestamp;

use super::{ClientKey, SealedReceipt, Target, TransferError};
use crate::fault::{Fault, Reason};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A session, its box, and the KMS key of its stack.
struct World {
    kms: EcdsaKeyPair,
    signer: SessionSigner,
    key: ClientKey,
    ready: ReadyBox,
    job: JobRef,
    entries: Vec<Entry>,
}

impl World {
    fn new() -> Self {
        let signer = SessionSigner::generate().unwrap();
        let key = ClientKey::generate().unwrap();
        let ready = ReadyBox {
            address: "198.51.100.20".parse().unwrap(),
            port: 22,
            host_key: key.public().clone(),
            session_key: signer.public().unwrap(),
            instance: "i-1".to_owned(),
            deadline: at(3_600),
            bucket: "backups".to_owned(),
            prefix: "clusters/c/ns/j/s/".parse().unwrap(),
            certificate: None,
            revision: Revision::CERTIFIED,
        };
        let entry = Entry { name: "a.tar.zst".parse().unwrap(), bytes: 1, sha256: Sha256::of(b"a") };
        Self {
            kms: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            signer,
            key,
            ready,
            job: JobRef::new("ns".into(), "j".into(), "aa".into(), 1).unwrap(),
            entries: vec![entry],
        }
    }

    fn receipt_key(&self) -> ReceiptKey {
        let der: PublicKeyX509Der<'_> = self.kms.public_key().as_der().unwrap();
        ReceiptKey::from_der(der.as_ref()).unwrap()
    }

    fn target(&self) -> Target {
        Target::new(&self.ready, "0".repeat(32).parse().unwrap(), self.job.clone())
    }

    fn pinned(&self) -> Target {
        self.target().pinned(Some(self.receipt_key()))
    }

    fn certified(&self) -> CertifiedSession {
        let target = self.target();
        CertifiedSession {
            version: Version,
            session: target.session,
            job: target.job,
            client_key: self.key.public().fingerprint(),
            instance: target.instance,
            program: Sha256::of(b"program"),
            session_key: target.session_key,
            bucket: target.bucket,
            prefix: target.prefix,
            issued_at: at(0),
            expires_at: self.ready.deadline,
        }
    }

    fn certify(&self, session: &CertifiedSession) -> Certificate {
        sign(&self.kms, session)
    }

    fn receipt(&self, sealed_at: Timestamp) -> Envelope {
        let target = self.target();
        let receipt = Receipt {
            version: Version,
            session: target.session,
            job: target.job,
            client_key: self.key.public().fingerprint(),
            bucket: target.bucket,
            manifest: target.prefix.manifest(),
            manifest_sha256: Sha256::of(b"manifest"),
            artifacts: 1,
            bytes: 1,
            sealed_at,
            sources: Sources::default(),
        };
        self.signer.sign(&receipt.to_statement().unwrap()).unwrap()
    }

    fn verify(&self, envelope: Envelope, target: &Target) -> Result<SealedReceipt, TransferError> {
        SealedReceipt::verify(envelope, target, &self.key, &self.entries)
    }
}

fn sign(kms: &EcdsaKeyPair, session: &CertifiedSession) -> Certificate {
    let payload = session.to_payload().unwrap();
    let signature = kms.sign(&SystemRandom::new(), &Certificate::message(&payload)).unwrap();
    Certificate::new(&payload, "key", signature.as_ref())
}

/// Every certificate that must convince nobody.
fn wrong(world: &World) -> Vec<(&'static str, Option<Certificate>)> {
    let good = world.certified();
    let other = |change: fn(&mut CertifiedSession)| {
        let mut other = good.clone();
        change(&mut other);
        Some(world.certify(&other))
    };
    let forger = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let mut cut = world.certify(&good);
    let signature = &mut cut.signatures[0].sig;
    signature.truncate(signature.len() - 8);
    let mut tampered = world.certify(&good);
    tampered.payload = sign(&forger, &CertifiedSession { expires_at: at(9_999), ..good.clone() }).payload;
    vec![
        ("none at all", None),
        ("forged", Some(sign(&forger, &good))),
        ("tampered with", Some(tampered)),
        ("cut short", Some(cut)),
        ("of another session", other(|c| c.session = "f".repeat(32).parse().unwrap())),
        ("of another job", other(|c| c.job.uid = "bb".to_owned())),
        ("of another attempt", other(|c| c.job.attempt = 2)),
        ("of another client", other(|c| c.client_key = "SHA256:x".to_owned())),
        ("of another prefix", other(|c| c.prefix = "clusters/c/ns/j/t/".parse().unwrap())),
        ("of another bucket", other(|c| c.bucket = "elsewhere".to_owned())),
        ("of another box", other(|c| c.instance = "i-2".to_owned())),
        (
            "of another session key",
            other(|c| c.session_key = SessionSigner::generate().unwrap().public().unwrap()),
        ),
    ]
}

#[test]
fn nothing_is_sent_to_a_box_that_is_not_vouched_for() {
    let world = World::new();
    for (what, certificate) in wrong(&world) {
        assert!(world.pinned().believes(certificate.as_ref(), world.key.public()).is_err(), "{what}");
        assert!(
            world.target().believes(certificate.as_ref(), world.key.public()).is_ok(),
            "no key pinned: {what}"
        );
    }
    let good = world.certify(&world.certified());
    world.pinned().believes(Some(&good), world.key.public()).unwrap();
}

#[test]
fn a_receipt_with_a_wrong_certificate_is_unverified_and_never_success() {
    let world = World::new();
    for (what, certificate) in wrong(&world) {
        let refused = world.verify(world.receipt(at(60)).certified_by(certificate), &world.pinned());
        let error = refused.expect_err(what);
        assert!(matches!(error, TransferError::Unverified(_)), "{what}: {error:?}");
        let fault = Fault::from(&error);
        assert_eq!(fault.reason, Reason::ReceiptUnverified, "{what}");
        assert!(fault.message.contains("spec.receiptKey"), "{what}: {}", fault.message);
    }
    let good = world.certify(&world.certified());
    world.verify(world.receipt(at(60)).certified_by(Some(good)), &world.pinned()).unwrap();
}

#[test]
fn a_receipt_that_was_sealed_after_the_certificate_s_end_is_unverified() {
    let world = World::new();
    let certificate = Some(world.certify(&world.certified()));
    let on_time = world.receipt(world.ready.deadline).certified_by(certificate.clone());
    world.verify(on_time, &world.pinned()).unwrap();
    let late = world.receipt(at(3_601)).certified_by(certificate);
    let refused = world.verify(late, &world.pinned()).unwrap_err();
    assert!(matches!(refused, TransferError::Unverified(CertificateError::Expired { .. })), "{refused:?}");
}

#[test]
fn under_a_good_certificate_a_receipt_of_another_key_is_a_broken_protocol() {
    let mut world = World::new();
    let certificate = world.certify(&world.certified());
    world.signer = SessionSigner::generate().unwrap();
    let refused = world.verify(world.receipt(at(60)).certified_by(Some(certificate)), &world.pinned());
    assert!(matches!(refused, Err(TransferError::Protocol(_))), "{refused:?}");
}

#[test]
fn without_a_pinned_key_an_uncertified_receipt_is_enough() {
    let world = World::new();
    world.verify(world.receipt(at(60)), &world.target()).unwrap();
}
