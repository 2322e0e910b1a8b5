//! One message of each kind, always the same.

#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "each test file uses some of them")]

use std::num::NonZeroU16;

use drawbridge_protocol::{
    Baseline, Certificate, CertifiedSession, CleanupAnswer, CleanupRequest, ClusterName, CreateAnswer,
    CreateRequest, Envelope, JobRef, Manifest, ObjectKey, ObjectPrefix, Orders, ReadyReport, Receipt,
    RejectionRecord, Revision, Revisions, SessionId, SessionPublicKey, Sha256, Sources, SshPublicKey,
    Version,
    checks::{Effect, Finding, Measures},
    dsse::{PAYLOAD_TYPE, Signature},
    manifest::{ArtifactRecord, Claimed, GapReason, LogGap, LogRange, Observed, StoredObject, Verdict},
    measures::{Sample, SampledFile, SourceMeasures},
    orders::{Limits, RulesFile},
    posture::{Guarantee, GuaranteeState, Name, Posture, PostureAnswer, PostureOutcome, PostureRequest},
    session::{CleanupOutcome, CreateOutcome, ReadyBox, Refusal, Waiting},
    upload::{
        Accepted, Begin, Begun, Commit, End, Entry, Failure, FailureCode, Hello, Rejected, Sealed, Welcome,
    },
};
use jiff::Timestamp;

const SSH_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

pub(crate) fn session() -> SessionId {
    "00112233445566778899aabbccddeeff".parse().unwrap()
}

pub(crate) fn ssh_key() -> SshPublicKey {
    SSH_KEY.parse().unwrap()
}

pub(crate) fn session_key() -> SessionPublicKey {
    SessionPublicKey::from_raw(&[9; 32]).unwrap()
}

pub(crate) fn cluster() -> ClusterName {
    "prod-1".parse().unwrap()
}

pub(crate) fn job() -> JobRef {
    let uid = "3f2b6c1e-9a54-4c8e-8d2a-1b7d5e9c0a42";
    JobRef::new("shop".to_owned(), "nightly".to_owned(), uid.to_owned(), 1).unwrap()
}

pub(crate) fn prefix() -> ObjectPrefix {
    ObjectPrefix::of_session(&cluster(), &job(), &session()).unwrap()
}

pub(crate) fn at(minute: u8) -> Timestamp {
    format!("2026-11-21T10:{minute:02}:00Z").parse().unwrap()
}

pub(crate) fn create_request() -> CreateRequest {
    CreateRequest {
        version: Version,
        session: session(),
        client_key: ssh_key(),
        job: job(),
        series: None,
        speaks: None,
    }
}

fn create(outcome: CreateOutcome) -> CreateAnswer {
    CreateAnswer { version: Version, session: session(), outcome }
}

pub(crate) fn create_pending() -> CreateAnswer {
    create(CreateOutcome::Pending { retry_after_seconds: 2, waiting_for: Waiting::Instance })
}

pub(crate) fn create_ready() -> CreateAnswer {
    create(CreateOutcome::Ready(Box::new(ReadyBox {
        address: "198.51.100.20".parse().unwrap(),
        port: 22,
        host_key: ssh_key(),
        session_key: session_key(),
        instance: "i-0123456789abcdef0".to_owned(),
        deadline: at(59),
        bucket: "backups".to_owned(),
        prefix: prefix(),
        certificate: None,
        revision: Revision::FIRST,
    })))
}

pub(crate) fn create_ready_certified() -> CreateAnswer {
    let mut answer = create_ready();
    if let CreateOutcome::Ready(ready) = &mut answer.outcome {
        ready.certificate = Some(certificate());
        ready.revision = Revision::CERTIFIED;
    }
    answer
}

pub(crate) fn create_refused() -> CreateAnswer {
    let message = "all 4 boxes are in use".to_owned();
    create(CreateOutcome::Refused { reason: Refusal::Quota, message })
}

pub(crate) fn cleanup_request(receipt: Option<Envelope>) -> CleanupRequest {
    CleanupRequest { version: Version, session: session(), receipt }
}

fn cleanup(outcome: CleanupOutcome) -> CleanupAnswer {
    CleanupAnswer { version: Version, session: session(), outcome }
}

pub(crate) fn cleanup_destroying() -> CleanupAnswer {
    let remaining = vec!["instance i-0123456789abcdef0 (shutting-down)".to_owned()];
    cleanup(CleanupOutcome::Destroying { retry_after_seconds: 2, remaining })
}

pub(crate) fn cleanup_destroyed() -> CleanupAnswer {
    cleanup(CleanupOutcome::Destroyed)
}

pub(crate) fn cleanup_refused() -> CleanupAnswer {
    cleanup(CleanupOutcome::Refused { message: "the request cannot be read".to_owned() })
}

pub(crate) fn orders() -> Orders {
    Orders {
        version: Version,
        session: session(),
        job: job(),
        cluster: cluster(),
        client_key: ssh_key(),
        bucket: "backups".to_owned(),
        region: "eu-central-1".to_owned(),
        s3_endpoint: Some("https://198.51.100.3".to_owned()),
        extra_ca: Some(include_str!("../certificates/ca.pem").parse().unwrap()),
        prefix: prefix(),
        ended_key: ObjectKey::ended(&cluster(), &session()),
        ready_url: "https://state.s3.eu-central-1.amazonaws.com/ready/x.json?X-Amz-Signature=0".to_owned(),
        deadline: at(59),
        limits: Limits::default(),
        checks: "tar_setuid=reject,yara=off,max_entries=100000".parse().unwrap(),
        rules: Vec::new(),
        baseline: None,
        revision: Revision::FIRST,
    }
}

/// The orders of a stack with rules of its own, for the second run of a series.
pub(crate) fn orders_with_rules_and_baseline() -> Orders {
    let text = "rule x { condition: false }".to_owned();
    let checks = "yara.x=reject,secret.jwt=off".parse().unwrap();
    let rules = vec![RulesFile { name: "house.yar".to_owned(), text }];
    let (baseline, revision) = (Some(Box::new(baseline())), Revision::CERTIFIED);
    Orders { checks, rules, baseline, revision, ..orders() }
}

pub(crate) fn baseline() -> Baseline {
    Baseline { version: Version, session: session(), sealed_at: at(3), sources: sources() }
}

fn sources() -> Sources {
    let mut sample = Sample::default();
    sample.add(SampledFile { path: 0x0102_0304, content: 0x0506 });
    sample.add(SampledFile { path: 0xffff_0000, content: 0xff00 });
    let config = SourceMeasures {
        artifacts: 1,
        files: 3,
        measured: 2,
        dense: 1,
        bytes: 4_096,
        sample,
        alarmed: false,
    };
    let logs = SourceMeasures { artifacts: 1, alarmed: true, ..SourceMeasures::default() };
    Sources::from([("config".to_owned(), config), ("logs".to_owned(), logs)])
}

pub(crate) fn create_request_in_a_series() -> CreateRequest {
    CreateRequest { series: Some("nightly".to_owned().try_into().unwrap()), ..create_request() }
}

/// Of a controller that says what it speaks, which the first revision does not.
pub(crate) fn create_request_that_speaks() -> CreateRequest {
    CreateRequest { speaks: Some(Revisions::OURS), ..create_request() }
}

pub(crate) fn receipt_with_sources() -> Receipt {
    Receipt { sources: sources(), ..receipt() }
}

pub(crate) fn ready_report() -> ReadyReport {
    ReadyReport {
        version: Version,
        session: session(),
        instance: "i-0123456789abcdef0".to_owned(),
        host_key: ssh_key(),
        session_key: session_key(),
        program: Sha256::of(b"program"),
        at: at(1),
    }
}

pub(crate) fn hello() -> Hello {
    Hello { version: Version, session: session() }
}

pub(crate) fn welcome() -> Welcome {
    Welcome { version: Version, window_bytes: 4 << 20 }
}

pub(crate) fn begin() -> Begin {
    Begin { name: "config-web-0.tar.zst".parse().unwrap() }
}

pub(crate) fn begun() -> Begun {
    Begun { offset: 1 << 20 }
}

pub(crate) fn claimed() -> Claimed {
    Claimed {
        source: "config".to_owned(),
        namespace: "shop".to_owned(),
        pod: "web-0".to_owned(),
        pod_uid: "77c0ffee-0000-4000-8000-000000000000".to_owned(),
        container: "web".to_owned(),
        image: "sha256:11".to_owned(),
        paths: vec!["/etc/web".to_owned()],
        original_bytes: 8,
        original_sha256: Sha256::of(b"original"),
        log: None,
    }
}

/// Of a log, with everything that a log's claim can say.
pub(crate) fn claimed_log() -> Claimed {
    let gap = LogGap { from: at(1), to: at(2), why: GapReason::Rotated };
    let log = LogRange {
        lines: 2,
        first: Some(at(2)),
        last: Some(at(3)),
        continues: Some(session()),
        gaps: vec![gap],
    };
    Claimed { paths: vec![], log: Some(log), ..claimed() }
}

pub(crate) fn end() -> End {
    End { bytes: 4, sha256: Sha256::of(b"data"), claimed: claimed() }
}

pub(crate) fn object() -> StoredObject {
    StoredObject {
        key: prefix().artifact(&begin().name, 0),
        bytes: 4,
        sha256: Sha256::of(b"data"),
        version: None,
    }
}

/// As a locked bucket keeps it.
pub(crate) fn locked_object() -> StoredObject {
    StoredObject { version: Some("3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY".to_owned()), ..object() }
}

pub(crate) fn locked_limits() -> Limits {
    Limits { lock_days: NonZeroU16::new(30), ..Limits::default() }
}

pub(crate) fn accepted() -> Accepted {
    Accepted {
        name: begin().name,
        objects: vec![object()],
        bytes: 4,
        sha256: Sha256::of(b"data"),
        verdict: Verdict::Flagged,
        findings: vec![finding()],
    }
}

pub(crate) fn finding() -> Finding {
    Finding {
        check: "tar_setuid".to_owned(),
        effect: Effect::Flag,
        count: 2,
        example: "'bin/su', mode 4755".to_owned(),
    }
}

pub(crate) fn rejected() -> Rejected {
    Rejected { name: begin().name, check: "digest".to_owned(), reason: "another one arrived".to_owned() }
}

pub(crate) fn rejection_record() -> RejectionRecord {
    let Rejected { name, check, reason } = rejected();
    RejectionRecord {
        version: Version,
        session: session(),
        job: job(),
        client_key: ssh_key().fingerprint(),
        instance: "i-0123456789abcdef0".to_owned(),
        program: Sha256::of(b"program"),
        bucket: "backups".to_owned(),
        prefix: prefix(),
        rejected_at: at(2),
        artifact: name,
        check,
        reason,
    }
}

pub(crate) fn commit() -> Commit {
    let entries = vec![Entry { name: begin().name, bytes: 4, sha256: Sha256::of(b"data") }];
    Commit { entries, certificate: None }
}

pub(crate) fn commit_certified() -> Commit {
    Commit { certificate: Some(certificate()), ..commit() }
}

pub(crate) fn sealed() -> Sealed {
    Sealed { receipt: envelope() }
}

pub(crate) fn failure() -> Failure {
    Failure { code: FailureCode::Limit, message: "the session's bytes are used up".to_owned() }
}

pub(crate) fn failure_codes() -> Vec<FailureCode> {
    vec![
        FailureCode::Protocol,
        FailureCode::Limit,
        FailureCode::Storage,
        FailureCode::StorageDenied,
        FailureCode::StorageThrottled,
        FailureCode::StorageTimedOut,
        FailureCode::StorageTaken,
        FailureCode::Clock,
        FailureCode::State,
        FailureCode::Ending,
    ]
}

pub(crate) fn manifest() -> Manifest {
    let observed = Observed {
        objects: vec![object()],
        bytes: 4,
        sha256: Sha256::of(b"data"),
        accepted_at: at(2),
        verdict: Verdict::Flagged,
        original_bytes: Some(8),
        original_sha256: Some(Sha256::of(b"original")),
        findings: vec![finding()],
        measures: Some(Measures { entries: 3, original_bytes: 8, stored_bytes: 4, ..Measures::default() }),
    };
    Manifest {
        version: Version,
        session: session(),
        job: job(),
        client_key: ssh_key().fingerprint(),
        instance: "i-0123456789abcdef0".to_owned(),
        program: Sha256::of(b"program"),
        bucket: "backups".to_owned(),
        prefix: prefix(),
        sealed_at: at(3),
        checks: [("tar_setuid".to_owned(), Effect::Flag)].into(),
        artifacts: vec![ArtifactRecord { observed, claimed: claimed() }],
    }
}

pub(crate) fn receipt() -> Receipt {
    Receipt {
        version: Version,
        session: session(),
        job: job(),
        client_key: ssh_key().fingerprint(),
        bucket: "backups".to_owned(),
        manifest: prefix().manifest(),
        manifest_sha256: Sha256::of(b"manifest"),
        artifacts: 1,
        bytes: 4,
        sealed_at: at(3),
        sources: Sources::new(),
    }
}

/// Of the right shape; the signature is none.
pub(crate) fn envelope() -> Envelope {
    let (keyid, sig) = (session_key().as_str().to_owned(), "c2lnbmF0dXJl".to_owned());
    let signature = Signature { keyid, sig, certificate: None };
    Envelope {
        payload_type: PAYLOAD_TYPE.to_owned(),
        payload: "e30=".to_owned(),
        signatures: vec![signature],
    }
}

pub(crate) fn envelope_certified() -> Envelope {
    envelope().certified_by(Some(certificate()))
}

/// What `create` would certify of the sample manifest's session.
pub(crate) fn certified_session() -> CertifiedSession {
    CertifiedSession {
        version: Version,
        session: session(),
        job: job(),
        client_key: ssh_key().fingerprint(),
        instance: "i-0123456789abcdef0".to_owned(),
        program: Sha256::of(b"program"),
        session_key: session_key(),
        bucket: "backups".to_owned(),
        prefix: prefix(),
        issued_at: at(1),
        expires_at: at(59),
    }
}

pub(crate) const RECEIPT_KEY_ID: &str = "arn:aws:kms:eu-central-1:111122223333:key/0000";

/// Of the right shape; the signature is none.
pub(crate) fn certificate() -> Certificate {
    Certificate::new(&certified_session().to_payload().unwrap(), RECEIPT_KEY_ID, b"signature")
}

pub(crate) fn posture_request() -> PostureRequest {
    PostureRequest { version: Version }
}

pub(crate) fn posture_checked() -> PostureAnswer {
    let broken = "expected BlockPublicPolicy true, found false: put the public access block back";
    let guarantees = vec![
        Guarantee::new(Name::BackupPolicy, GuaranteeState::Holds, "as shipped, 5 statements"),
        Guarantee::new(Name::BackupPublicAccess, GuaranteeState::Broken, broken),
        Guarantee::new(Name::Key, GuaranteeState::Unknown, "kms:DescribeKey was denied"),
    ];
    let posture = Posture::new(at(30), guarantees).unwrap();
    PostureAnswer { version: Version, outcome: PostureOutcome::Checked(posture) }
}

pub(crate) fn posture_refused() -> PostureAnswer {
    let message = "posture request is not valid: unknown field `x`".to_owned();
    PostureAnswer { version: Version, outcome: PostureOutcome::Refused { message } }
}
