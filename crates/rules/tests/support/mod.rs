//! Artifacts made by hand, and what the box's own checks say of them.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::io::Write as _;

use drawbridge_checks::{
    Checker, EntryHead, EntryKind, Findings, Inspectors as _, Rejection, Report, Shared,
};
use drawbridge_protocol::{
    ArtifactName, Baseline, Sha256,
    checks::{CheckId, ChecksConfig, Finding},
};
use drawbridge_rules::{Rules, YARA_BLOCK, YARA_OVERLAP};

pub(crate) fn name(text: &str) -> ArtifactName {
    text.parse().unwrap()
}

/// Every check but ours off, unless `more` says otherwise: a test of rules is not one of archives.
pub(crate) fn config(more: &str) -> ChecksConfig {
    let ours = "all=off,yara=flag,secret=flag,baseline_entropy=flag,baseline_size=flag,yara_unfinished=reject,\
                yara.eicar_test_file=reject,file_type.executable=flag,file_type.disk_image=flag";
    format!("{ours},{more}").trim_end_matches(',').parse().unwrap()
}

pub(crate) fn rules(more: &str) -> Rules {
    Rules::new(config(more), &[], None).unwrap()
}

pub(crate) fn rules_after(more: &str, baseline: Baseline) -> Rules {
    Rules::new(config(more), &[], Some(baseline)).unwrap()
}

/// A tar archive as GNU tar writes plain files of short names.
pub(crate) fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    tar_of_kind(b'0', files)
}

/// The same with this type flag in each header. A sparse file (`S`) is one piece without a hole.
pub(crate) fn tar_of_kind(flag: u8, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, body) in files {
        let mut header = [0_u8; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[108..124].copy_from_slice(b"0000000\x000000000\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", body.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[148..156].fill(b' ');
        header[156] = flag;
        header[257..265].copy_from_slice(b"ustar\x0000");
        if flag == b'S' {
            header[257..265].copy_from_slice(b"ustar  \0");
            header[386..398].copy_from_slice(b"00000000000\0");
            header.copy_within(124..136, 398);
            header.copy_within(124..136, 483);
        }
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(body);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive.resize(archive.len().next_multiple_of(10_240), 0);
    archive
}

pub(crate) fn file(path: &str, body: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    (path.to_owned(), body.into())
}

pub(crate) fn compress(original: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(original).unwrap();
    encoder.finish().unwrap()
}

/// What the box says of `original` under `artifact`'s name, fed as connections do.
pub(crate) fn check(rules: &Rules, more: &str, artifact: &str, original: &[u8]) -> Result<Report, Rejection> {
    let artifact = name(artifact);
    let shared = Shared::new(u64::MAX);
    let checker = Checker::new(&artifact, &config(more), &shared, rules).unwrap();
    let mut checker = checker.expect("some check is on");
    for piece in compress(original).chunks(60_000) {
        checker.feed(piece)?;
    }
    checker.finish((original.len() as u64, &Sha256::of(original)))
}

/// What the rules alone say of an artifact of one entry, in these pieces. `config` says what each finding is worth.
pub(crate) fn inspect<'a>(
    rules: &Rules,
    artifact: &str,
    config: ChecksConfig,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Findings {
    let (artifact, mut found) = (name(artifact), Findings::new(config));
    let mut inspectors = rules.of(&artifact);
    let (path, kind) = (b"x", EntryKind::File);
    let head = EntryHead { path, kind, size: None, mode: 0o644, link: None, capability: false, index: 0 };
    for inspector in &mut inspectors {
        inspector.entry(&head, &mut found);
    }
    for piece in pieces {
        for inspector in &mut inspectors {
            inspector.data(piece, &mut found);
        }
    }
    for inspector in &mut inspectors {
        inspector.entry_end(&mut found);
    }
    for inspector in &mut inspectors {
        inspector.finish(&mut found);
    }
    found
}

/// What was found, as `check: example`.
pub(crate) fn found(report: &Report) -> Vec<String> {
    let line = |finding: &Finding| format!("{}: {}", finding.check, finding.example);
    report.findings.iter().map(line).collect()
}

pub(crate) fn example(report: &Report, check: CheckId) -> String {
    let of_check = report.findings.iter().find(|finding| finding.check == check.as_str());
    of_check.map(|finding| finding.example.clone()).unwrap_or_default()
}

/// Where the YARA rules' blocks of a long entry end, counted from 0: each begins with the end of the one before.
pub(crate) fn block_end(block: usize) -> usize {
    YARA_BLOCK + block * (YARA_BLOCK - YARA_OVERLAP)
}

/// The EICAR test file, put together so that this file is not found itself.
pub(crate) fn eicar() -> Vec<u8> {
    let (one, two) = ("X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*");
    [one, two].concat().into_bytes()
}
