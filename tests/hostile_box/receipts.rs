//! Forged receipts, and genuine ones of something else. Under a pinned key and without one.

use std::collections::BTreeMap;

use aws_lc_rs::signature::EcdsaKeyPair;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use drawbridge::fault::Reason;
use drawbridge_protocol::{
    CertifiedSession, Envelope, JobRef, Manifest, Receipt, SessionId, SessionSigner, Version,
    upload::{BoxFrame, ClientFrame, Commit, Sealed},
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    dialogue::Say,
    meeting::{assert_named, meet_in, succeeds, twisted},
    server::Manners,
    world::{World, certificate, kms_key},
};

/// Makes of the honest receipt and of what it was asked another.
type Forge = fn(&World, &Commit, Envelope) -> Envelope;

fn seals(forge: Forge) -> Manners {
    twisted(move |heard, says| match (heard.frame, says.into_iter().next().unwrap()) {
        (ClientFrame::Commit(commit), Say::Frame(BoxFrame::Sealed(sealed))) => {
            let receipt = forge(heard.world, commit, sealed.receipt);
            vec![Say::Frame(BoxFrame::Sealed(Box::new(Sealed { receipt })))]
        }
        (_, say) => vec![say],
    })
}

/// Genuine in every other way: signed with the session key, under the session's certificate.
fn signed(world: &World, commit: &Commit, statement: &Value) -> Envelope {
    let payload = serde_json::to_vec(statement).unwrap();
    world.signer.sign(&payload).unwrap().certified_by(commit.certificate.clone())
}

fn statement(world: &World, commit: &Commit) -> Value {
    serde_json::from_slice(&world.receipt(&commit.entries).to_statement().unwrap()).unwrap()
}

fn changed(world: &World, commit: &Commit, change: impl FnOnce(&mut Receipt)) -> Envelope {
    let mut receipt = world.receipt(&commit.entries);
    change(&mut receipt);
    signed(world, commit, &serde_json::from_slice(&receipt.to_statement().unwrap()).unwrap())
}

fn recertified(world: &World, receipt: Envelope, change: impl FnOnce(&mut CertifiedSession)) -> Envelope {
    let mut certified = world.certified();
    change(&mut certified);
    receipt.certified_by(Some(world.certify(&certified)))
}

fn forged(world: &World, receipt: Envelope, kms: &EcdsaKeyPair) -> Envelope {
    receipt.certified_by(Some(certificate(kms, &world.certified())))
}

/// Own keys, with whatever certificate can be had, or none.
const UNVOUCHED: [(&str, Forge, &str); 9] = [
    (
        "own key, no certificate",
        |world, commit, _| {
            let statement = world.receipt(&commit.entries).to_statement().unwrap();
            SessionSigner::generate().unwrap().sign(&statement).unwrap()
        },
        "there is no certificate",
    ),
    (
        "the session's key, no certificate",
        |_, _, receipt| receipt.certified_by(None),
        "there is no certificate",
    ),
    (
        "a certificate that another KMS key signed",
        |world, _, receipt| forged(world, receipt, &kms_key()),
        "not signed with the pinned receipt key",
    ),
    (
        "a certificate of another session",
        |world, _, receipt| recertified(world, receipt, |c| c.session = SessionId::random().unwrap()),
        "for another session",
    ),
    (
        "a certificate of another attempt",
        |world, _, receipt| recertified(world, receipt, |c| c.job.attempt = 2),
        "for another job",
    ),
    (
        "a certificate of another box's key",
        |world, _, receipt| {
            recertified(world, receipt, |c| {
                c.session_key = SessionSigner::generate().unwrap().public().unwrap();
            })
        },
        "for another session key",
    ),
    (
        "a certificate of another client",
        |world, _, receipt| recertified(world, receipt, |c| "SHA256:other".clone_into(&mut c.client_key)),
        "for another client key",
    ),
    (
        "sealed after the certificate's end",
        |world, commit, _| {
            let late = world.certified().expires_at + SignedDuration::from_secs(1);
            changed(world, commit, |receipt| receipt.sealed_at = late)
        },
        "after the certificate's end",
    ),
    (
        "a certificate whose payload was changed",
        |world, commit, mut receipt| {
            let mut certificate = commit.certificate.clone().unwrap();
            let longer = world.certified().expires_at + SignedDuration::from_hours(24);
            let altered = CertifiedSession { expires_at: longer, ..world.certified() };
            certificate.payload = BASE64.encode(altered.to_payload().unwrap());
            receipt = receipt.certified_by(Some(certificate));
            receipt
        },
        "not signed with the pinned receipt key",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_nobody_vouches_for_is_unverified() {
    for (what, forge, said) in UNVOUCHED {
        let (error, _) = meet_in(what, World::pinned(), seals(forge)).await;
        assert_named(what, &error, Reason::ReceiptUnverified, said);
    }
}

/// The envelope is not what the session key signed, or not a receipt.
const BROKEN: [(&str, Forge, &str); 8] = [
    (
        "own key under the genuine certificate",
        |world, commit, _| {
            let statement = world.receipt(&commit.entries).to_statement().unwrap();
            SessionSigner::generate()
                .unwrap()
                .sign(&statement)
                .unwrap()
                .certified_by(commit.certificate.clone())
        },
        "signature of the receipt",
    ),
    (
        "an altered predicate",
        |world, commit, mut receipt| {
            let mut statement = statement(world, commit);
            statement["predicate"]["artifacts"] = json!(3);
            receipt.payload = BASE64.encode(serde_json::to_vec(&statement).unwrap());
            receipt
        },
        "signature of the receipt",
    ),
    (
        "an unknown field",
        |world, commit, _| {
            let mut statement = statement(world, commit);
            statement["predicate"]["surprise"] = json!(1);
            signed(world, commit, &statement)
        },
        "unknown field",
    ),
    (
        "an unknown field of the statement",
        |world, commit, _| {
            let mut statement = statement(world, commit);
            statement["surprise"] = json!(1);
            signed(world, commit, &statement)
        },
        "unknown field",
    ),
    (
        "another payload type",
        |_, _, mut receipt| {
            "application/json".clone_into(&mut receipt.payload_type);
            receipt
        },
        "payload type 'application/json'",
    ),
    (
        "another predicate type",
        |world, commit, _| {
            let mut statement = statement(world, commit);
            statement["predicateType"] = json!("https://drawbridge.dev/manifest/v1");
            signed(world, commit, &statement)
        },
        "expected a https://drawbridge.dev/receipt/v1",
    ),
    (
        "another version",
        |world, commit, _| {
            let mut statement = statement(world, commit);
            statement["predicate"]["version"] = json!(2);
            signed(world, commit, &statement)
        },
        "version 2 is not supported",
    ),
    (
        "a manifest in its place",
        |world, commit, _| {
            let c = world.certified();
            let manifest = Manifest {
                version: Version,
                session: c.session,
                job: c.job,
                client_key: c.client_key,
                instance: c.instance,
                program: c.program,
                bucket: c.bucket,
                prefix: c.prefix,
                sealed_at: c.issued_at,
                checks: BTreeMap::new(),
                artifacts: Vec::new(),
            };
            world
                .signer
                .sign(&manifest.to_statement().unwrap())
                .unwrap()
                .certified_by(commit.certificate.clone())
        },
        "receipt is not valid",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_that_the_session_key_did_not_sign_as_a_receipt_is_none() {
    for (what, forge, said) in BROKEN {
        let (error, _) = meet_in(what, World::pinned(), seals(forge)).await;
        assert_named(what, &error, Reason::ProtocolBroken, said);
    }
}

/// Genuine receipts of something else.
const OTHERS: [(&str, Forge); 9] = [
    ("session", |world, commit, _| changed(world, commit, |r| r.session = SessionId::random().unwrap())),
    ("job", |world, commit, _| {
        changed(world, commit, |r| {
            r.job = JobRef::new("shop".into(), "other".into(), "6a1e-42".into(), 1).unwrap();
        })
    }),
    ("job", |world, commit, _| changed(world, commit, |r| "6a1e-43".clone_into(&mut r.job.uid))),
    ("job", |world, commit, _| changed(world, commit, |r| r.job.attempt = 2)),
    ("client key", |world, commit, _| {
        changed(world, commit, |r| "SHA256:other".clone_into(&mut r.client_key))
    }),
    ("bucket", |world, commit, _| changed(world, commit, |r| "elsewhere".clone_into(&mut r.bucket))),
    ("manifest key", |world, commit, _| {
        changed(world, commit, |r| r.manifest = "clusters/c/o/j/s/manifest.json".parse().unwrap())
    }),
    ("number of artifacts", |world, commit, _| changed(world, commit, |r| r.artifacts -= 1)),
    ("number of bytes", |world, commit, _| changed(world, commit, |r| r.bytes -= 1)),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_genuine_receipt_of_something_else_is_refused_by_what_it_names() {
    for (what, forge) in OTHERS {
        let (error, _) = meet_in(what, World::unpinned(), seals(forge)).await;
        assert_named(
            what,
            &error,
            Reason::ProtocolBroken,
            &format!("the receipt's {what} is not this session's"),
        );
        // Where the certificate names the same thing, it says so first.
        let (error, _) = meet_in(what, World::pinned(), seals(forge)).await;
        let reason = drawbridge::fault::Fault::from(&error).reason;
        assert!(matches!(reason, Reason::ReceiptUnverified | Reason::ProtocolBroken), "{what}: {error}");
    }
    succeeds("no key pinned", World::unpinned()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_a_box_whose_answer_of_create_is_not_vouched_for() {
    let world = World::pinned();
    let hostile = crate::server::listen(world, Manners::default()).await;
    let mut target = hostile.server.world.target(hostile.address);
    let other = certificate(&kms_key(), &hostile.server.world.certified());
    target.certificate = Some(other);
    let refused = target.believes(target.certificate.as_ref(), hostile.server.world.key.public());
    assert!(refused.is_err());
    assert_eq!((hostile.server.connections(), hostile.server.taken.bytes()), (0, 0));
    succeeds("vouched for", World::pinned()).await;
}
