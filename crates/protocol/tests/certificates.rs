//! What a certificate holds, and everything that breaks the chain from the pinned key to a receipt.

#![allow(clippy::unwrap_used, clippy::panic)]

mod samples;

use std::{fs, path::PathBuf, process::Command};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use drawbridge_protocol::{
    Certificate, CertificateError, CertifiedSession, Envelope, JobRef, Manifest, ProtocolError, Receipt,
    ReceiptKey, SessionSigner, Sha256,
};

/// A stand-in for the KMS key: the same algorithm, here.
struct Kms(EcdsaKeyPair);

impl Kms {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    fn public(&self) -> ReceiptKey {
        ReceiptKey::from_der(&self.der()).unwrap()
    }

    fn certify(&self, session: &CertifiedSession) -> Certificate {
        self.sign(&session.to_payload().unwrap())
    }

    fn sign(&self, payload: &[u8]) -> Certificate {
        let signature = self.0.sign(&SystemRandom::new(), &Certificate::message(payload)).unwrap();
        Certificate::new(payload, samples::RECEIPT_KEY_ID, signature.as_ref())
    }
}

/// A session whose receipt is certified.
struct Sealed {
    kms: Kms,
    signer: SessionSigner,
}

impl Sealed {
    fn new() -> Self {
        Self { kms: Kms::new(), signer: SessionSigner::generate().unwrap() }
    }

    fn certified(&self) -> CertifiedSession {
        CertifiedSession { session_key: self.signer.public().unwrap(), ..samples::certified_session() }
    }

    fn receipt(&self, certificate: Certificate) -> Envelope {
        let envelope = self.signer.sign(&samples::receipt().to_statement().unwrap()).unwrap();
        envelope.certified_by(Some(certificate))
    }

    fn manifest(&self, certificate: Certificate) -> Envelope {
        let envelope = self.signer.sign(&samples::manifest().to_statement().unwrap()).unwrap();
        envelope.certified_by(Some(certificate))
    }

    fn verify(&self, certificate: Certificate) -> Result<Receipt, CertificateError> {
        Receipt::verify_certified(&self.receipt(certificate), &self.kms.public()).map(|(receipt, _)| receipt)
    }
}

fn pem(der: &[u8]) -> String {
    let encoded = BASE64.encode(der);
    let (first, second) = encoded.split_at(64);
    format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
}

#[test]
fn from_the_pinned_key_alone_a_receipt_and_a_manifest_verify() {
    let sealed = Sealed::new();
    let certificate = sealed.kms.certify(&sealed.certified());
    assert_eq!(sealed.verify(certificate.clone()).unwrap(), samples::receipt());
    let (manifest, certified) =
        Manifest::verify_certified(&sealed.manifest(certificate), &sealed.kms.public()).unwrap();
    assert_eq!((manifest, certified), (samples::manifest(), sealed.certified()));
}

#[test]
fn a_certificate_for_anything_else_is_refused_and_the_refusal_names_it() {
    let sealed = Sealed::new();
    let good = sealed.certified();
    let other_job = |uid: &str, attempt| {
        JobRef::new("shop".to_owned(), "nightly".to_owned(), uid.to_owned(), attempt).unwrap()
    };
    let (uid, cases) = (good.job.uid.clone(), [good.clone(), good.clone(), good.clone(), good.clone()]);
    let [mut session, mut job, mut attempt, mut prefix] = cases;
    session.session = "f".repeat(32).parse().unwrap();
    job.job = other_job("ffff", 1);
    attempt.job = other_job(&uid, 2);
    prefix.prefix = "clusters/prod-1/shop/other/00112233445566778899aabbccddeeff/".parse().unwrap();
    let mut client_key = good.clone();
    client_key.client_key = "SHA256:another".to_owned();
    let mut bucket = good.clone();
    bucket.bucket = "elsewhere".to_owned();
    let cases = [
        (session, "session"),
        (job, "job"),
        (attempt, "job"),
        (prefix, "object prefix"),
        (client_key, "client key"),
        (bucket, "bucket"),
    ];
    for (certified, what) in cases {
        let refused = sealed.verify(sealed.kms.certify(&certified));
        assert!(
            matches!(&refused, Err(CertificateError::Other { what: found, .. }) if *found == what),
            "{what}: {refused:?}"
        );
    }
    assert!(sealed.verify(sealed.kms.certify(&good)).is_ok());
}

#[test]
fn a_manifest_of_another_machine_or_program_is_refused() {
    let sealed = Sealed::new();
    let mut instance = sealed.certified();
    instance.instance = "i-other".to_owned();
    let mut program = sealed.certified();
    program.program = Sha256::of(b"another program");
    for (certified, what) in [(instance, "instance"), (program, "program")] {
        let envelope = sealed.manifest(sealed.kms.certify(&certified));
        let refused = Manifest::verify_certified(&envelope, &sealed.kms.public());
        assert!(
            matches!(&refused, Err(CertificateError::Other { what: found, .. }) if *found == what),
            "{refused:?}"
        );
    }
}

#[test]
fn what_was_sealed_after_the_end_of_its_certificate_is_refused() {
    let sealed = Sealed::new();
    let sealed_at = samples::receipt().sealed_at;
    let until = |expires_at| CertifiedSession { expires_at, ..sealed.certified() };
    assert!(sealed.verify(sealed.kms.certify(&until(sealed_at))).is_ok());
    let early = sealed_at - jiff::SignedDuration::from_nanos(1);
    let refused = sealed.verify(sealed.kms.certify(&until(early)));
    assert_eq!(refused, Err(CertificateError::Expired { sealed_at, expires_at: early }));
}

#[test]
fn another_key_s_certificate_is_refused_whatever_its_hint_says() {
    let sealed = Sealed::new();
    let forged = Kms::new().certify(&sealed.certified());
    assert_eq!(sealed.verify(forged), Err(CertificateError::Signature));
    // A genuine certificate, and a receipt that another session key signed.
    let certificate = sealed.kms.certify(&sealed.certified());
    let thief = SessionSigner::generate().unwrap();
    let envelope = thief.sign(&samples::receipt().to_statement().unwrap()).unwrap();
    let envelope = envelope.certified_by(Some(certificate));
    let refused = Receipt::verify_certified(&envelope, &sealed.kms.public());
    let signature = ProtocolError::Signature { what: "receipt" };
    assert_eq!(refused, Err(CertificateError::Document(signature)));
}

#[test]
fn a_receipt_without_a_certificate_is_refused_and_still_parses() {
    let sealed = Sealed::new();
    let envelope = sealed.signer.sign(&samples::receipt().to_statement().unwrap()).unwrap();
    let refused = Receipt::verify_certified(&envelope, &sealed.kms.public());
    assert_eq!(refused, Err(CertificateError::Missing));
    assert!(Receipt::verify(&envelope, &sealed.signer.public().unwrap()).is_ok());
    let text = serde_json::to_string(&envelope).unwrap();
    assert!(!text.contains("certificate"), "{text}");
}

#[test]
fn every_change_of_a_certificate_breaks_it() {
    let sealed = Sealed::new();
    let good = sealed.kms.certify(&sealed.certified());
    let payload = BASE64.decode(&good.payload).unwrap();
    let later = String::from_utf8(payload.clone()).unwrap().replacen("10:59", "11:59", 1);
    assert_ne!(later.as_bytes(), payload, "the change must change something");
    let signature = BASE64.decode(&good.signatures[0].sig).unwrap();
    let with = |change: &dyn Fn(&mut Certificate)| {
        let mut other = good.clone();
        change(&mut other);
        other
    };
    let with_signature = |bytes: &[u8]| with(&|other| other.signatures[0].sig = BASE64.encode(bytes));
    let broken = [
        ("a later end", with(&|other| other.payload = BASE64.encode(&later))),
        ("a statement's type", with(&|other| other.payload_type = "application/vnd.in-toto+json".to_owned())),
        ("no signature", with(&|other| other.signatures.clear())),
        ("two signatures", with(&|other| other.signatures.push(other.signatures[0].clone()))),
        ("DER that is cut short", with_signature(&signature[..signature.len() - 1])),
        ("DER of which only the head is left", with_signature(&signature[..2])),
        ("DER with something after it", with_signature(&[&signature[..], &[0]].concat())),
        ("an empty signature", with_signature(&[])),
        ("a signature of the wrong form", with_signature(&[0; 64])),
        ("a signature that is far too long", with_signature(&[0x30; 4_096])),
        ("no base64", with(&|other| other.payload = "not base64".to_owned())),
        ("a payload without an end", with(&|other| other.payload = "A".repeat(1 << 20))),
        ("a key id without an end", with(&|other| other.signatures[0].keyid = "k".repeat(4_096))),
    ];
    for (what, certificate) in broken {
        assert!(certificate.verify(&sealed.kms.public()).is_err(), "{what}");
    }
    assert_eq!(good.verify(&sealed.kms.public()).unwrap(), sealed.certified());
}

#[test]
fn what_the_right_key_signed_must_still_be_a_certificate() {
    let sealed = Sealed::new();
    let mut extra = serde_json::to_value(sealed.certified()).unwrap();
    extra["surprise"] = 1.into();
    let mut version = serde_json::to_value(sealed.certified()).unwrap();
    version["version"] = 2.into();
    for payload in [extra, version, serde_json::Value::Null] {
        let certificate = sealed.kms.sign(&serde_json::to_vec(&payload).unwrap());
        let refused = certificate.verify(&sealed.kms.public());
        assert!(matches!(refused, Err(CertificateError::Unreadable(_))), "{payload}: {refused:?}");
    }
}

#[test]
fn the_longest_names_fit_into_one_message_for_kms() {
    let mut longest = samples::certified_session();
    let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    longest.job = JobRef::new("n".repeat(63), name, "f".repeat(64), u32::MAX).unwrap();
    longest.bucket = "b".repeat(63);
    longest.prefix = drawbridge_protocol::ObjectPrefix::of_session(
        &"c".repeat(63).parse().unwrap(),
        &longest.job,
        &longest.session,
    )
    .unwrap();
    let payload = longest.to_payload().unwrap();
    assert!(Certificate::message(&payload).len() <= 4_096, "{}", payload.len());
}

#[test]
fn the_key_is_taken_as_kms_gives_it_and_in_no_other_form() {
    let kms = Kms::new();
    let (der, text) = (kms.der(), pem(&kms.der()));
    assert_eq!(text.parse::<ReceiptKey>().unwrap(), kms.public());
    assert_eq!(ReceiptKey::from_file(&der).unwrap(), kms.public());
    assert_eq!(ReceiptKey::from_file(text.as_bytes()).unwrap(), kms.public());
    assert_eq!(kms.public().fingerprint(), Sha256::of(&der));
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let p384: PublicKeyX509Der<'_> = p384.public_key().as_der().unwrap();
    let ed25519 = SessionSigner::generate().unwrap().public().unwrap().raw();
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let mut not_a_point = der.clone();
    not_a_point[26] = 2;
    for wrong in [p384.as_ref(), &[&head[..], &ed25519].concat(), &der[..90], &not_a_point, b"", &der[26..]] {
        assert!(ReceiptKey::from_der(wrong).is_err(), "{wrong:02x?}");
    }
    let two = format!("{text}{text}");
    for wrong in ["", "-----BEGIN PUBLIC KEY-----", &two, &text.replace("PUBLIC", "PRIVATE"), &text.repeat(9)]
    {
        assert!(wrong.parse::<ReceiptKey>().is_err(), "{wrong}");
    }
}

/// A directory of its own, gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("drawbridge-certificate-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    /// Runs openssl; `%name` stands for a file of this directory.
    fn openssl(&self, arguments: &str) -> bool {
        let arguments = arguments.split(' ').map(|word| match word.strip_prefix('%') {
            Some(name) => self.0.join(name).display().to_string(),
            None => word.to_owned(),
        });
        Command::new("openssl").args(arguments).output().unwrap().status.success()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn openssl_takes_our_signatures_and_we_take_openssl_s() {
    let (sealed, scratch) = (Sealed::new(), Scratch::new());
    let payload = sealed.certified().to_payload().unwrap();
    let certificate = sealed.kms.sign(&payload);
    scratch.write("key.pem", pem(&sealed.kms.der()).as_bytes());
    scratch.write("message", &Certificate::message(&payload));
    scratch.write("signature", &BASE64.decode(&certificate.signatures[0].sig).unwrap());
    assert!(scratch.openssl("dgst -sha256 -verify %key.pem -signature %signature %message"));
    scratch.write("message", b"another");
    assert!(!scratch.openssl("dgst -sha256 -verify %key.pem -signature %signature %message"));

    assert!(scratch.openssl("ecparam -name prime256v1 -genkey -noout -out %other.key"));
    assert!(scratch.openssl("ec -in %other.key -pubout -out %other.pem"));
    scratch.write("message", &Certificate::message(&payload));
    assert!(scratch.openssl("dgst -sha256 -sign %other.key -out %other.sig %message"));
    let key: ReceiptKey = fs::read_to_string(scratch.0.join("other.pem")).unwrap().parse().unwrap();
    let signature = fs::read(scratch.0.join("other.sig")).unwrap();
    let certificate = Certificate::new(&payload, "openssl", &signature);
    assert_eq!(certificate.verify(&key).unwrap(), sealed.certified());
}
