//! What the box makes of what is in an artifact. The checks themselves are tested where they are.

use drawbridge::transfer::TransferError;
use drawbridge_protocol::{
    Envelope, Manifest, Sha256,
    checks::{ChecksConfig, Effect},
    manifest::Verdict,
    upload::BoxFrame,
};

use crate::{
    raw::{self, Raw},
    support::{Plan, Rig, artifact, claim, eventually, noise, source},
};

fn checking(checks: &str) -> Plan {
    Plan { checks: checks.parse().unwrap(), ..Plan::default() }
}

/// A tar archive of these files.
pub(crate) fn archive(files: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, mode, body) in files {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(mode.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", body.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1_024, 0);
    out
}

fn rejecting<T: std::fmt::Debug>(result: Result<T, TransferError>) -> String {
    match result {
        Err(TransferError::Rejected { check, .. }) => check,
        other => panic!("a check was to reject it, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_check_rejects_never_becomes_an_object_and_its_twin_does() {
    let rig = Rig::with(checking("")).await;
    // Small ones would be one PutObject; of large ones parts are in S3 when the bad member comes.
    for size in [1_000, 12 << 20] {
        let large = noise(size);
        let bad = archive(&[("data", "0000644", &large), ("/etc/passwd", "0000644", b"root")]);
        let good = archive(&[("data", "0000644", &large), ("etc/passwd", "0000644", b"root")]);
        assert_eq!(rejecting(rig.upload("bad.tar.zst", &bad).await), "tar_absolute_path");
        // It stays so, whatever comes.
        assert_eq!(rejecting(rig.upload("bad.tar.zst", &good).await), "tar_absolute_path");
        rig.upload(&format!("good-{size}.tar.zst"), &good).await.unwrap();
    }
    let names: Vec<_> = rig.objects().await.into_keys().collect();
    assert_eq!(names, ["bad.tar.zst.rejected.dsse.json", "good-1000.tar.zst", "good-12582912.tar.zst"]);
    eventually("the uploads are aborted", || async { rig.unfinished().await == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_check_flags_is_stored_and_the_manifest_says_why() {
    let rig = Rig::with(checking("tar_setuid=flag")).await;
    let flagged = archive(&[("bin/su", "0004755", b"#!"), ("etc/a", "0000644", b"a = 1\n")]);
    let clean = archive(&[("etc/a", "0000644", b"a = 1\n")]);
    let first = rig.upload("flagged.tar.zst", &flagged).await.unwrap();
    assert_eq!(first.accepted.verdict, Verdict::Flagged);
    let second = rig.upload("clean.tar.zst", &clean).await.unwrap();
    assert_eq!((second.accepted.verdict, second.accepted.findings.len()), (Verdict::Accepted, 0));
    rig.uploader().await.commit(&[first.entry(), second.entry()]).await.unwrap();

    let envelope: Envelope = serde_json::from_slice(&rig.objects().await["manifest.dsse.json"]).unwrap();
    let manifest = Manifest::verify(&envelope, &rig.report.session_key).unwrap();
    assert_eq!(manifest.checks["tar_setuid"], Effect::Flag);
    assert!(!manifest.checks.contains_key("tar_symlink_absolute"), "what is off is not made");
    let [clean_record, flagged_record] = &manifest.artifacts[..] else { panic!("{:?}", manifest.artifacts) };
    assert_eq!(clean_record.observed.findings, []);
    let finding = &flagged_record.observed.findings[0];
    assert_eq!((finding.check.as_str(), finding.count), ("tar_setuid", 1));
    assert!(finding.example.contains("bin/su"), "{}", finding.example);
    for (record, original) in [(clean_record, &clean), (flagged_record, &flagged)] {
        assert_eq!(record.observed.original_bytes, Some(original.len() as u64));
        assert_eq!(record.observed.original_sha256, Some(Sha256::of(original)));
    }
    assert_eq!(flagged_record.observed.measures.unwrap().entries, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_checks_nothing_is_observed_of_the_original() {
    let rig = Rig::with(checking("all=off")).await;
    let uploaded = rig.upload("a.tar.zst", b"no archive").await.unwrap();
    rig.uploader().await.commit(&[uploaded.entry()]).await.unwrap();
    let envelope: Envelope = serde_json::from_slice(&rig.objects().await["manifest.dsse.json"]).unwrap();
    let manifest = Manifest::verify(&envelope, &rig.report.session_key).unwrap();
    assert!(manifest.checks.is_empty());
    let observed = &manifest.artifacts[0].observed;
    assert_eq!((observed.original_bytes, observed.measures), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_a_rejected_artifact_carries_the_next_one() {
    let rig = raw::rig(40, checking("")).await;
    let mut raw = Raw::greeted(&rig, 40).await;
    raw.begin("bad.log.zst").await;
    raw.data(0, b"no zstd at all").await;
    // What was under way when the box said no is nobody's fault.
    raw.data(14, &noise(100_000)).await;
    match raw.end(100_014, Sha256::of(b"whatever")).await {
        Some(BoxFrame::Rejected(rejected)) => assert_eq!(rejected.check, "zstd_damaged"),
        other => panic!("it was to be rejected, got {other:?}"),
    }
    let stored = zstd::stream::encode_all(&b"a line\n"[..], 3).unwrap();
    assert!(matches!(raw.begin("good.log.zst").await, Some(BoxFrame::Begun(_))));
    raw.data(0, &stored).await;
    // This client claims that the stored bytes are the original ones.
    match raw.end(stored.len() as u64, Sha256::of(&stored)).await {
        Some(BoxFrame::Rejected(rejected)) => assert_eq!(rejected.check, "original_mismatch"),
        other => panic!("it was to be rejected, got {other:?}"),
    }
    let names: Vec<_> = rig.objects().await.into_keys().collect();
    assert_eq!(names, ["bad.log.zst.rejected.dsse.json", "good.log.zst.rejected.dsse.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_on_sending_after_a_rejection_is_refused() {
    let rig = raw::rig(41, checking("")).await;
    let mut raw = Raw::greeted(&rig, 41).await;
    raw.begin("bad.log.zst").await;
    raw.data(0, b"no zstd at all").await;
    match raw.receive().await {
        Some(BoxFrame::Rejected(rejected)) => assert_eq!(rejected.check, "zstd_damaged"),
        other => panic!("it was to be rejected, got {other:?}"),
    }
    let chunk = noise(256 << 10);
    for index in 0..20 {
        raw.data(14 + index * chunk.len() as u64, &chunk).await;
    }
    let failure = raw.failure().await;
    assert!(failure.message.contains("was rejected"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_is_rejected_before_it_is_unpacked() {
    let rig = raw::rig(42, checking("")).await;
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..4_096 {
        std::io::Write::write_all(&mut encoder, &vec![0; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let mut raw = Raw::greeted(&rig, 42).await;
    raw.begin("bomb.log.zst").await;
    let begun = std::time::Instant::now();
    raw.data(0, &bomb[..bomb.len().min(200_000)]).await;
    match raw.receive().await {
        Some(BoxFrame::Rejected(rejected)) => assert_eq!(rejected.check, "zstd_ratio"),
        other => panic!("it was to be rejected, got {other:?}"),
    }
    assert!(begun.elapsed().as_secs() < 5, "4 GiB were unpacked");
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_of_ours_pass_the_default_checks() {
    let rig = Rig::with(Plan { checks: ChecksConfig::default(), ..Plan::default() }).await;
    let output = std::process::Command::new("tar")
        .args(["-c", "-f", "-", "-C", env!("CARGO_MANIFEST_DIR"), "src", "Cargo.toml"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let mut uploader = rig.uploader().await;
    for (name, data) in [
        ("src.tar.zst", &output.stdout[..]),
        ("app.log.zst", b"2026-01-01T00:00:00Z started\n"),
        ("silent.log.zst", b""),
        ("objects.jsonl.zst", b"{\"kind\": \"Pod\"}\n"),
    ] {
        let stored = uploader.upload(&artifact(name), claim(), source(data)).await.unwrap();
        assert_eq!(stored.accepted.verdict, Verdict::Accepted, "{:?}", stored.accepted.findings);
    }
}
