#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::{
    NoInspectors,
    tar::tests::{archive, block, link, member},
};

fn packed(data: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(data, 3).unwrap()
}

/// Shows a stored artifact in steps; the end says what was really in it.
fn checked_as(
    name: &str,
    config: &str,
    stored: &[u8],
    claimed: (u64, &Sha256),
    step: usize,
) -> Result<Report, Rejection> {
    let config: ChecksConfig = config.parse().unwrap();
    let shared = Shared::new(config.limits.max_session_bytes);
    let mut checker =
        Checker::new(&name.parse().unwrap(), &config, &shared, &NoInspectors).unwrap().expect("checks");
    for chunk in stored.chunks(step) {
        checker.feed(chunk)?;
    }
    checker.finish(claimed)
}

/// The same whatever the chunks.
fn checked(name: &str, config: &str, original: &[u8], stored: &[u8]) -> Result<Report, Rejection> {
    let claimed = (original.len() as u64, &Sha256::of(original));
    let whole = checked_as(name, config, stored, claimed, stored.len().max(1));
    for step in [1, 1_000] {
        assert_eq!(checked_as(name, config, stored, claimed, step), whole, "chunks of {step}");
    }
    whole
}

fn tar(config: &str, original: &[u8]) -> Result<Report, Rejection> {
    checked("a.tar.zst", config, original, &packed(original))
}

fn rejecting(result: Result<Report, Rejection>) -> Option<CheckId> {
    result.err().map(|rejection| rejection.check)
}

fn flags(result: Result<Report, Rejection>) -> Vec<String> {
    result.unwrap().findings.into_iter().map(|finding| finding.check).collect()
}

#[test]
fn what_is_as_it_should_be_passes_with_its_digest_and_measures() {
    let original = archive(&[
        member(b"etc/", b'5', b""),
        member(b"etc/app.conf", b'0', &b"key = value\n".repeat(1_000)),
        link(b"etc/current", b'2', b"app.conf"),
        link(b"etc/same", b'1', b"etc/app.conf"),
    ]);
    let report = tar("", &original).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.original, Some((original.len() as u64, Sha256::of(&original))));
    let Measures { entries, content_bytes, original_bytes, high_entropy_bytes, .. } = report.measures;
    assert_eq!((entries, content_bytes, original_bytes), (4, 12_000, original.len() as u64));
    assert_eq!(high_entropy_bytes, 0);
    let log = b"2026-01-01T00:00:00Z started\n".repeat(100);
    for (name, original) in [("a.log.zst", &log[..]), ("a.log.zst", b""), ("a.jsonl.zst", b"{}\n")] {
        let report = checked(name, "", original, &packed(original)).unwrap();
        assert_eq!((report.findings, report.measures.entries), (Vec::new(), 1));
    }
}

/// A record by which a file has capabilities once it is unpacked.
const CAPABILITY: &[u8] = b"41 SCHILY.xattr.security.capability=\x01\0\0\x02\n";

#[test]
fn each_structure_that_harms_has_its_check() {
    use CheckId as C;
    let device = |flag| link(b"dev", flag, b"");
    let mode = |mode: &'static [u8; 7], flag| {
        block(b"f", flag, 0, b"", |block| block[100..107].copy_from_slice(mode))
    };
    let file = |name: &[u8]| member(name, b'0', b"");
    let symlink = |name: &[u8], to: &[u8]| link(name, b'2', to);
    let hard = |name: &[u8], to: &[u8]| link(name, b'1', to);
    let pax = |record: &[u8]| member(b"x", b'x', record);
    let cases = [
        (C::TarAbsolutePath, vec![file(b"/etc/passwd")]),
        (C::TarParentPath, vec![file(b"a/../../etc/passwd")]),
        (C::TarOddName, vec![file(b"..\\..\\x")]),
        (C::TarSymlinkAbsolute, vec![symlink(b"a", b"/etc/passwd")]),
        (C::TarSymlinkLeaves, vec![symlink(b"a/b", b"../../etc/passwd")]),
        (C::TarSymlinkLeaves, vec![symlink(b"d/a", b"../x"), hard(b"b", b"d/a")]),
        (C::TarHardlinkLeaves, vec![hard(b"a", b"/etc/passwd")]),
        (C::TarHardlinkLeaves, vec![hard(b"a", b"../etc/passwd")]),
        (C::TarHardlinkLeaves, vec![symlink(b"a", b"/etc/ssl"), hard(b"b", b"a/../passwd")]),
        (C::TarThroughLink, vec![symlink(b"a", b"b"), file(b"a/x")]),
        (C::TarThroughLink, vec![symlink(b"a/b", b"c"), file(b"./a//b/x/y")]),
        (C::TarThroughLink, vec![symlink(b"a", b"b"), file(b"a")]),
        (C::TarThroughLink, vec![symlink(b"a", b"b"), hard(b"h", b"a/x")]),
        (C::TarThroughLink, vec![symlink(b"a", b"/etc"), hard(b"b", b"a"), file(b"b/x")]),
        (C::TarThroughLink, vec![symlink(b"a", b"/etc"), hard(b"b", b"a"), hard(b"c", b"./b"), file(b"c/x")]),
        (C::TarThroughLink, vec![symlink(b"a", b"/etc/x"), hard(b"b", b"a"), file(b"b")]),
        (C::TarThroughLink, vec![symlink(b"a", b"/etc/x"), file(b"f"), hard(b"a", b"f")]),
        (C::TarDevice, vec![device(b'3')]),
        (C::TarDevice, vec![device(b'4')]),
        (C::TarFifo, vec![device(b'6')]),
        (C::TarSetuid, vec![mode(b"0004755", b'0')]),
        (C::TarSetuid, vec![mode(b"0002755", b'0')]),
        (C::TarSetuid, vec![mode(b"0004755", b'Z')]),
        (C::TarSetuid, vec![pax(CAPABILITY), file(b"f")]),
        (C::TarSetuid, vec![pax(CAPABILITY), hard(b"h", b"f")]),
        (C::TarSetuid, vec![pax(b"47 LIBARCHIVE.xattr.security.capability=AQAAAg\n"), file(b"f")]),
        (C::TarDuplicate, vec![file(b"a"), file(b"./a")]),
        (C::TarOddKind, vec![link(b"a", b'V', b"")]),
        (C::TarEntries, vec![file(b"a"), file(b"b"), file(b"c"), file(b"d")]),
    ];
    for (check, members) in cases {
        let original = archive(&members);
        let only = |effect: &str| tar(&format!("all=off,{check}={effect},max_entries=3"), &original);
        assert_eq!(rejecting(only("reject")), Some(check));
        assert_eq!(flags(only("flag")), [check.as_str()]);
        // Another check being made shows the twin: off is off.
        assert_eq!(flags(tar("all=off,high_entropy=flag", &original)), [""; 0]);
    }
}

#[test]
fn what_backups_are_full_of_passes_the_defaults() {
    let members = [
        member(b"etc/", b'5', b""),
        member(b"etc/", b'5', b""),
        link(b"etc/localtime", b'2', b"/usr/share/zoneinfo/UTC"),
        link(b"etc/..data", b'2', b"..2026"),
        link(b"etc/key", b'2', b"..data/key"),
        link(b"etc/up", b'2', b"../etc/key"),
        // One link by two names.
        link(b"etc/zone", b'1', b"etc/localtime"),
        link(b"etc/deep/zone", b'1', b"./etc/up"),
        member(b"x", b'x', b"28 SCHILY.xattr.user.mime=a\n"),
        member(b"etc/new\nline \xff", b'0', b"x"),
        block(b"var/log/journal/", b'5', 0, b"", |block| block[100..107].copy_from_slice(b"0002755")),
        member(b"x", b'x', CAPABILITY),
        member(b"var/empty/", b'5', b""),
    ];
    assert_eq!(flags(tar("", &archive(&members))), [""; 0]);
}

#[test]
fn what_is_not_whole_is_rejected_and_may_be_let_pass_unseen() {
    let original = archive(&[member(b"a", b'0', &b"some text ".repeat(500))]);
    let stored = packed(&original);
    let half = packed(&original[..2_048]);
    let claimed = (original.len() as u64, &Sha256::of(&original));
    let cases = [
        (CheckId::ZstdDamaged, stored[..stored.len() / 2].to_vec()),
        (CheckId::ZstdDamaged, original.clone()),
        (CheckId::ZstdTrailing, [&stored[..], b"stray"].concat()),
        (CheckId::TarDamaged, half),
        (CheckId::TarTrailing, packed(&[&original[..], b"stray"].concat())),
    ];
    for (check, bytes) in cases {
        for step in [1, 100_000] {
            let with = |effect: &str| {
                let config = format!("all=off,high_entropy=flag,{check}={effect}");
                checked_as("a.tar.zst", &config, &bytes, claimed, step)
            };
            assert_eq!(rejecting(with("reject")), Some(check));
            assert_eq!(flags(with("flag")), [check.as_str()]);
            assert_eq!(flags(with("off")), [""; 0]);
        }
    }
}

#[test]
fn a_client_that_lies_about_the_original_is_rejected() {
    let original = b"2026-01-01T00:00:00Z a line\n";
    let (stored, digest) = (packed(original), Sha256::of(original));
    let claimed = |bytes, digest: &Sha256| checked_as("a.log.zst", "", &stored, (bytes, digest), 10);
    assert!(claimed(original.len() as u64, &digest).is_ok());
    assert_eq!(rejecting(claimed(1, &digest)), Some(CheckId::OriginalMismatch));
    let other = Sha256::of(b"other");
    assert_eq!(rejecting(claimed(original.len() as u64, &other)), Some(CheckId::OriginalMismatch));
}

/// Stored bytes that unpack to so many MiB of zeros.
fn bomb(mebibytes: usize) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..mebibytes {
        std::io::Write::write_all(&mut encoder, &vec![0; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn a_bomb_is_given_up_long_before_it_is_unpacked() {
    let stored = bomb(2_048);
    let claimed = (2_048 << 20, &Sha256::of(b"who cares"));
    let config: ChecksConfig = "".parse().unwrap();
    let shared = Shared::new(u64::MAX);
    let mut checker =
        Checker::new(&"a.log.zst".parse().unwrap(), &config, &shared, &NoInspectors).unwrap().unwrap();
    let fed = stored.chunks(4_096).try_for_each(|chunk| checker.feed(chunk));
    assert_eq!(fed.unwrap_err().check, CheckId::ZstdRatio);
    assert!(checker.stream.original < 200 << 20, "{} bytes came out", checker.stream.original);
    // What it counted is free again, and the next artifact has its place.
    drop(checker);
    assert!(shared.count(u64::MAX));
    for check in [
        "all=off,zstd_ratio=flag",
        "all=off,zstd_ratio=flag,max_ratio=100000,artifact_bytes=flag,max_artifact_bytes=1000",
    ] {
        let report = checked_as("a.log.zst", check, &stored, claimed, 4_096).unwrap();
        assert_eq!((report.findings.len(), report.original), (1, None));
    }
}

#[test]
fn an_artifact_and_a_session_have_their_bytes() {
    let original = b"2026-01-01T00:00:00Z a line\n".repeat(10);
    let stored = packed(&original);
    let log = |config: &str| checked("a.log.zst", config, &original, &stored);
    assert!(log("max_artifact_bytes=280,max_session_bytes=280").is_ok());
    assert_eq!(rejecting(log("max_artifact_bytes=279")), Some(CheckId::ArtifactBytes));
    assert_eq!(rejecting(log("max_session_bytes=279")), Some(CheckId::SessionBytes));
    let config = ChecksConfig::default();
    let shared = Shared::new(600);
    let claimed = (original.len() as u64, &Sha256::of(&original));
    let one = || {
        let mut checker =
            Checker::new(&"a.log.zst".parse().unwrap(), &config, &shared, &NoInspectors).unwrap().unwrap();
        checker.feed(&stored)?;
        checker.finish(claimed)
    };
    assert!(one().is_ok() && one().is_ok());
    assert_eq!(rejecting(one()), Some(CheckId::SessionBytes));
}

#[test]
fn most_of_it_encrypted_is_flagged_and_a_key_store_is_not() {
    let mut state = 7_u64;
    let mut noise = |len: usize| -> Vec<u8> {
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        std::iter::repeat_with(next).flatten().take(len).collect()
    };
    let text = b"key = value\n".repeat(10_000);
    let encrypted =
        archive(&[member(b"a.conf", b'0', &noise(90_000)), member(b"b.conf", b'0', &noise(70_000))]);
    let report = tar("", &encrypted).unwrap();
    assert_eq!(report.findings[0].check, "high_entropy");
    assert!(report.findings[0].example.contains("in 2 of 2 entries"), "{}", report.findings[0].example);
    assert_eq!((report.measures.high_entropy_bytes, report.measures.high_entropy_entries), (160_000, 2));
    let mixed = archive(&[member(b"a", b'0', &text), member(b"store", b'0', &noise(20_000))]);
    let small = archive(&[member(b"store", b'0', &noise(20_000))]);
    let gzip = archive(&[member(b"a.gz", b'0', &[&b"\x1f\x8b"[..], &noise(200_000)].concat())]);
    for original in [mixed, small, gzip] {
        assert_eq!(flags(tar("", &original)), [""; 0]);
    }
}

#[test]
fn a_stack_that_wants_no_check_has_none() {
    let config: ChecksConfig = "all=off".parse().unwrap();
    let checker = Checker::new(&"a.log.zst".parse().unwrap(), &config, &Shared::new(1), &NoInspectors);
    assert!(checker.unwrap().is_none());
}
