//! What a signature holds, and everything that breaks it.

#![allow(clippy::unwrap_used)]

mod samples;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use drawbridge_protocol::{Envelope, Manifest, ProtocolError, Receipt, RejectionRecord, SessionSigner};

fn signed() -> (SessionSigner, Envelope) {
    let signer = SessionSigner::generate().unwrap();
    let envelope = signer.sign(&samples::manifest().to_statement().unwrap()).unwrap();
    (signer, envelope)
}

#[test]
fn what_was_signed_verifies_under_its_key_and_comes_back_the_same() {
    let (signer, envelope) = signed();
    assert_eq!(Manifest::verify(&envelope, &signer.public().unwrap()).unwrap(), samples::manifest());
    let receipt = signer.sign(&samples::receipt().to_statement().unwrap()).unwrap();
    assert_eq!(Receipt::verify(&receipt, &signer.public().unwrap()).unwrap(), samples::receipt());
    let rejection = signer.sign(&samples::rejection_record().to_statement().unwrap()).unwrap();
    let read = RejectionRecord::verify(&rejection, &signer.public().unwrap()).unwrap();
    assert_eq!(read, samples::rejection_record());
}

#[test]
fn every_change_breaks_the_signature() {
    let (signer, envelope) = signed();
    let key = signer.public().unwrap();
    let breaks = |change: fn(&mut Envelope)| {
        let mut other = envelope.clone();
        change(&mut other);
        assert!(Manifest::verify(&other, &key).is_err(), "{other:?}");
    };
    breaks(|envelope| {
        let payload = BASE64.decode(&envelope.payload).unwrap();
        let text = String::from_utf8(payload).unwrap().replacen("\"bytes\":4", "\"bytes\":5", 1);
        envelope.payload = BASE64.encode(text);
    });
    breaks(|envelope| envelope.payload_type = "application/json".to_owned());
    breaks(|envelope| envelope.signatures.clear());
    breaks(|envelope| envelope.signatures[0].sig = BASE64.encode([0; 64]));
    breaks(|envelope| envelope.signatures[0].sig.clear());
    breaks(|envelope| envelope.payload = "not base64".to_owned());
}

#[test]
fn another_key_does_not_verify_whatever_the_hint_says() {
    let (_, mut envelope) = signed();
    let other = SessionSigner::generate().unwrap().public().unwrap();
    envelope.signatures[0].keyid = other.as_str().to_owned();
    assert_eq!(Manifest::verify(&envelope, &other), Err(ProtocolError::Signature { what: "manifest" }));
}

#[test]
fn a_receipt_is_no_manifest() {
    let signer = SessionSigner::generate().unwrap();
    let key = signer.public().unwrap();
    let receipt = signer.sign(&samples::receipt().to_statement().unwrap()).unwrap();
    assert!(Manifest::verify(&receipt, &key).is_err());
    let (manifest_signer, manifest) = signed();
    assert!(Receipt::verify(&manifest, &manifest_signer.public().unwrap()).is_err());
}

#[test]
fn a_rejection_is_no_manifest_and_a_manifest_no_rejection() {
    let (signer, manifest) = signed();
    let key = signer.public().unwrap();
    let rejection = signer.sign(&samples::rejection_record().to_statement().unwrap()).unwrap();
    assert!(RejectionRecord::verify(&rejection, &key).is_ok());
    assert!(RejectionRecord::verify(&manifest, &key).is_err());
    assert!(Manifest::verify(&rejection, &key).is_err());
}

#[test]
fn a_rejection_that_nobody_would_read_is_not_written() {
    let record = RejectionRecord { reason: "x".repeat(8 << 10), ..samples::rejection_record() };
    assert!(matches!(record.to_statement(), Err(ProtocolError::TooLarge { .. })));
}

#[test]
fn the_signature_is_the_one_that_openssl_checks() {
    use std::{fs, process::Command};
    let (signer, envelope) = signed();
    let directory = std::env::temp_dir().join(format!("drawbridge-signature-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let path = |name: &str| directory.join(name);
    let payload = BASE64.decode(&envelope.payload).unwrap();
    let mut message = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len()).into_bytes();
    message.extend_from_slice(&payload);
    // SubjectPublicKeyInfo of an Ed25519 key: a fixed head, then the key.
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    fs::write(path("key.der"), [&head[..], &signer.public().unwrap().raw()].concat()).unwrap();
    fs::write(path("message"), message).unwrap();
    fs::write(path("signature"), BASE64.decode(&envelope.signatures[0].sig).unwrap()).unwrap();
    let verify = Command::new("openssl")
        .args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin"])
        .args(["-inkey".as_ref(), path("key.der").as_os_str(), "-in".as_ref(), path("message").as_os_str()])
        .args(["-sigfile".as_ref(), path("signature").as_os_str()])
        .output()
        .unwrap();
    fs::remove_dir_all(&directory).unwrap();
    assert!(verify.status.success(), "{verify:?}");
}
