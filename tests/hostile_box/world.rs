//! One session with everything that a box, honest or not, could have: its keys, its stack's receipt key, its answer to
//! `create`.

use std::net::SocketAddr;

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use drawbridge::transfer::{ClientKey, Target};
use drawbridge_protocol::{
    Certificate, CertifiedSession, Envelope, JobRef, Receipt, ReceiptKey, Revision, SessionId, SessionSigner,
    Sha256, Sources, Version,
    session::ReadyBox,
    upload::{Commit, Entry},
};
use jiff::{SignedDuration, Timestamp};
use russh::keys::{
    PrivateKey,
    ssh_key::private::{Ed25519Keypair, KeypairData},
};

pub(crate) struct World {
    /// The stack's receipt key, as KMS has it.
    pub(crate) kms: EcdsaKeyPair,
    pub(crate) signer: SessionSigner,
    pub(crate) host: PrivateKey,
    /// What the host key was made of.
    pub(crate) host_seed: [u8; 32],
    pub(crate) key: ClientKey,
    pub(crate) session: SessionId,
    pub(crate) job: JobRef,
    ready: ReadyBox,
    /// Whether the vault pins the receipt key.
    pinned: bool,
}

pub(crate) fn kms_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
}

/// A host key, and what it was made of.
pub(crate) fn ssh_key() -> (PrivateKey, [u8; 32]) {
    let mut seed = [0; 32];
    rand::fill(&mut seed);
    (PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)), "").unwrap(), seed)
}

impl World {
    /// A session of a vault that pins its stack's receipt key.
    pub(crate) fn pinned() -> Self {
        Self::of(true)
    }

    /// A session of a vault that pins none.
    pub(crate) fn unpinned() -> Self {
        Self::of(false)
    }

    fn of(pinned: bool) -> Self {
        let (signer, (host, host_seed)) = (SessionSigner::generate().unwrap(), ssh_key());
        let session = SessionId::random().unwrap();
        let ready = ReadyBox {
            address: "127.0.0.1".parse().unwrap(),
            port: 22,
            host_key: host.public_key().to_openssh().unwrap().trim().parse().unwrap(),
            session_key: signer.public().unwrap(),
            instance: "i-0123456789abcdef0".to_owned(),
            deadline: Timestamp::now() + SignedDuration::from_hours(1),
            bucket: "backups".to_owned(),
            prefix: format!("clusters/c/shop/nightly/{session}/").parse().unwrap(),
            certificate: None,
            revision: Revision::CERTIFIED,
        };
        let job = JobRef::new("shop".to_owned(), "nightly".to_owned(), "6a1e-42".to_owned(), 1).unwrap();
        let key = ClientKey::generate().unwrap();
        let mut world = Self { kms: kms_key(), signer, host, host_seed, key, session, job, ready, pinned };
        world.ready.certificate = pinned.then(|| world.certify(&world.certified()));
        world
    }

    /// What the controller knows of the box.
    pub(crate) fn target(&self, address: SocketAddr) -> Target {
        let der: PublicKeyX509Der<'_> = self.kms.public_key().as_der().unwrap();
        let receipt_key = self.pinned.then(|| ReceiptKey::from_der(der.as_ref()).unwrap());
        let target = Target::new(&self.ready, self.session.clone(), self.job.clone()).pinned(receipt_key);
        Target { address, ..target }
    }

    /// What `create` certifies of this session.
    pub(crate) fn certified(&self) -> CertifiedSession {
        CertifiedSession {
            version: Version,
            session: self.session.clone(),
            job: self.job.clone(),
            client_key: self.key.public().fingerprint(),
            instance: self.ready.instance.clone(),
            program: Sha256::of(b"program"),
            session_key: self.ready.session_key.clone(),
            bucket: self.ready.bucket.clone(),
            prefix: self.ready.prefix.clone(),
            issued_at: Timestamp::now(),
            expires_at: self.ready.deadline,
        }
    }

    pub(crate) fn certify(&self, session: &CertifiedSession) -> Certificate {
        certificate(&self.kms, session)
    }

    /// The receipt that is due for a commit.
    pub(crate) fn receipt(&self, entries: &[Entry]) -> Receipt {
        Receipt {
            version: Version,
            session: self.session.clone(),
            job: self.job.clone(),
            client_key: self.key.public().fingerprint(),
            bucket: self.ready.bucket.clone(),
            manifest: self.ready.prefix.manifest(),
            manifest_sha256: Sha256::of(b"manifest"),
            artifacts: u32::try_from(entries.len()).unwrap(),
            bytes: entries.iter().map(|entry| entry.bytes).sum(),
            sealed_at: Timestamp::now(),
            sources: Sources::default(),
        }
    }

    /// The same as an honest box signs it.
    pub(crate) fn seal(&self, Commit { entries, certificate }: &Commit) -> Envelope {
        let statement = self.receipt(entries).to_statement().unwrap();
        self.signer.sign(&statement).unwrap().certified_by(certificate.clone())
    }
}

pub(crate) fn certificate(kms: &EcdsaKeyPair, session: &CertifiedSession) -> Certificate {
    let payload = session.to_payload().unwrap();
    let signature = kms.sign(&SystemRandom::new(), &Certificate::message(&payload)).unwrap();
    Certificate::new(&payload, "key", signature.as_ref())
}
