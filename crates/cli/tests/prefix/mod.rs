//! A session's objects in a directory, as a box writes them, and ways to spoil them.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use drawbridge_protocol::{
    Certificate, CertifiedSession, Envelope, Manifest, ReceiptKey, RejectionRecord, SessionSigner, Sha256,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The protocol's own sample: one artifact of four bytes, `data`.
const SAMPLE: &str = include_str!("../../../protocol/golden/manifest.json");
const CERTIFIED: &str = include_str!("../../../protocol/golden/certified_session.json");
const REJECTION: &str = include_str!("../../../protocol/golden/rejection_record.json");
const OBJECT: &str = "config-web-0.tar.zst";
/// The record of an artifact that is not stored.
pub(crate) const REJECTED: &str = "logs-web-0.log.zst.rejected.dsse.json";

/// A directory with one session's objects, and beside it the pinned key.
pub(crate) struct Prefix {
    root: TempDir,
    objects_directory: PathBuf,
    kms: EcdsaKeyPair,
    pub(crate) signer: SessionSigner,
    manifest: Value,
    certified: Value,
}

impl Prefix {
    pub(crate) fn new() -> Self {
        let prefix = Self::of(serde_json::from_str(SAMPLE).unwrap());
        prefix.write(OBJECT, b"data");
        prefix
    }

    fn of(manifest: Value) -> Self {
        let signer = SessionSigner::generate().unwrap();
        let mut certified: Value = serde_json::from_str(CERTIFIED).unwrap();
        certified["session_key"] = json!(signer.public().unwrap().as_str());
        let root = tempfile::tempdir().unwrap();
        let objects_directory = root.path().join("objects");
        fs::create_dir(&objects_directory).unwrap();
        let prefix = Self { root, objects_directory, kms: new_key(), signer, manifest, certified };
        let bytes = prefix.read_manifest().to_statement().unwrap();
        prefix.write("manifest.json", &bytes);
        prefix.sign(&prefix.signer, Some(prefix.certify(&prefix.kms)));
        let mut sums = String::new();
        for object in &prefix.objects() {
            let name = object["key"].as_str().unwrap().rsplit('/').next().unwrap();
            writeln!(sums, "{}  {name}", object["sha256"].as_str().unwrap()).unwrap();
        }
        prefix.write("SHA256SUMS", sums.as_bytes());
        fs::write(prefix.pem_file(), pem(&prefix.kms)).unwrap();
        prefix
    }

    /// One artifact that went on in a second object.
    pub(crate) fn of_two_objects() -> Self {
        Self::two("data", "more", "datamore")
    }

    pub(crate) fn of_two_objects_that_do_not_join() -> Self {
        Self::two("data", "more", "moredata")
    }

    fn two(first: &str, second: &str, joined: &str) -> Self {
        let mut manifest: Value = serde_json::from_str(SAMPLE).unwrap();
        let observed = &mut manifest["artifacts"][0]["observed"];
        let mut more = observed["objects"][0].clone();
        more["key"] = json!(format!("{}.0001", more["key"].as_str().unwrap()));
        more["sha256"] = json!(Sha256::of(second.as_bytes()).as_str());
        observed["objects"].as_array_mut().unwrap().push(more);
        observed["bytes"] = json!(joined.len());
        observed["sha256"] = json!(Sha256::of(joined.as_bytes()).as_str());
        let prefix = Self::of(manifest);
        prefix.write(OBJECT, first.as_bytes());
        prefix.write(&format!("{OBJECT}.0001"), second.as_bytes());
        prefix
    }

    /// A signed manifest that names an object of another session.
    pub(crate) fn with_an_object_elsewhere() -> Self {
        let mut manifest: Value = serde_json::from_str(SAMPLE).unwrap();
        manifest["artifacts"][0]["observed"]["objects"][0]["key"] =
            json!(format!("clusters/elsewhere/{OBJECT}"));
        let prefix = Self::of(manifest);
        prefix.write(OBJECT, b"data");
        prefix
    }

    pub(crate) fn path(&self) -> &Path {
        self.objects_directory.as_path()
    }

    /// The pinned key; it lies beside the objects, not among them.
    pub(crate) fn pem_file(&self) -> PathBuf {
        self.root.path().join("receipt-key.pem")
    }

    pub(crate) fn receipt_key(&self) -> ReceiptKey {
        pem(&self.kms).parse().unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path().join(from), self.path().join(to)).unwrap();
    }

    pub(crate) fn edit_text(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path().join(name)).unwrap();
        assert!(text.contains(from), "{name} has no '{from}'");
        self.write(name, text.replacen(from, to, 1).as_bytes());
    }

    pub(crate) fn sign_with_another_key(&mut self) {
        let certificate = self.certify(&self.kms);
        self.sign(&SessionSigner::generate().unwrap(), Some(certificate));
    }

    pub(crate) fn certify_with_another_key(&mut self) {
        self.sign(&self.signer, Some(self.certify(&new_key())));
    }

    pub(crate) fn strip_certificate(&mut self) {
        self.sign(&self.signer, None);
    }

    /// A genuine certificate that says something else.
    pub(crate) fn recertify(&mut self, field: &str, value: Value) {
        self.certified[field] = value;
        self.sign(&self.signer, Some(self.certify(&self.kms)));
    }

    pub(crate) fn recertify_job(&mut self, field: &str, value: Value) {
        self.certified["job"][field] = value;
        self.sign(&self.signer, Some(self.certify(&self.kms)));
    }

    pub(crate) fn tamper_with_the_certificate(&mut self) {
        let mut certificate = self.certify(&self.kms);
        let text = String::from_utf8(BASE64.decode(&certificate.payload).unwrap()).unwrap();
        assert!(text.contains("10:59"));
        certificate.payload = BASE64.encode(text.replacen("10:59", "11:59", 1));
        self.sign(&self.signer, Some(certificate));
    }

    pub(crate) fn cut_the_certificate_s_signature(&mut self) {
        let mut certificate = self.certify(&self.kms);
        let signature = BASE64.decode(&certificate.signatures[0].sig).unwrap();
        certificate.signatures[0].sig = BASE64.encode(&signature[..signature.len() - 1]);
        self.sign(&self.signer, Some(certificate));
    }

    /// Writes the record of a rejected artifact, with `fields` that say something else, signed by `signer`.
    pub(crate) fn reject(&self, signer: &SessionSigner, fields: &[(&str, Value)]) {
        let mut record: Value = serde_json::from_str(REJECTION).unwrap();
        record["artifact"] = json!("logs-web-0.log.zst");
        for (field, value) in fields {
            record[*field] = value.clone();
        }
        let record: RejectionRecord = serde_json::from_value(record).unwrap();
        let envelope = signer.sign(&record.to_statement().unwrap()).unwrap();
        self.write(REJECTED, &serde_json::to_vec(&envelope).unwrap());
    }

    /// As a session leaves it that was never sealed.
    pub(crate) fn unseal(&self) {
        for name in ["manifest.json", "manifest.dsse.json", "SHA256SUMS"] {
            self.remove(name);
        }
    }

    fn objects(&self) -> Vec<Value> {
        let artifacts = self.manifest["artifacts"].as_array().unwrap();
        artifacts.iter().flat_map(|one| one["observed"]["objects"].as_array().unwrap().clone()).collect()
    }

    fn read_manifest(&self) -> Manifest {
        serde_json::from_value(self.manifest.clone()).unwrap()
    }

    fn certify(&self, kms: &EcdsaKeyPair) -> Certificate {
        let session: CertifiedSession = serde_json::from_value(self.certified.clone()).unwrap();
        let payload = session.to_payload().unwrap();
        let signature = kms.sign(&SystemRandom::new(), &Certificate::message(&payload)).unwrap();
        Certificate::new(&payload, "key", signature.as_ref())
    }

    fn sign(&self, signer: &SessionSigner, certificate: Option<Certificate>) {
        let envelope: Envelope = signer.sign(&self.read_manifest().to_statement().unwrap()).unwrap();
        let envelope = envelope.certified_by(certificate);
        self.write("manifest.dsse.json", &serde_json::to_vec(&envelope).unwrap());
    }
}

fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
}

fn pem(kms: &EcdsaKeyPair) -> String {
    let der: PublicKeyX509Der<'_> = kms.public_key().as_der().unwrap();
    let encoded = BASE64.encode(der.as_ref());
    let (first, second) = encoded.split_at(64);
    format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
}
