//! What is in an artifact: the zstd frame, the tar archive, lines, and the checks of all of them.

use drawbridge_checks::{Checker, EntryHead, EntryKind, Members, NoInspectors, Report, Shared, TarReader};
use drawbridge_protocol::{
    ArtifactName, Sha256,
    checks::{CheckId, ChecksConfig},
};

/// What comes out of one input at the most: a bomb is found by its ratio or here, and costs a fuzzer little.
const MAX_ORIGINAL: u64 = 4 << 20;

/// The tar reader says the same of an archive however it is cut, and its members are within the bytes that came.
pub(crate) fn archive(data: &[u8]) {
    let whole = members(std::iter::once(data));
    assert_eq!(whole, members(crate::pieces(data)), "an archive depends on how it is cut");
    let bodies: u64 = whole.0.iter().map(|member| member.bytes).sum();
    assert!(
        bodies <= data.len() as u64,
        "{bytes} bytes of bodies in {} of archive",
        data.len(),
        bytes = bodies
    );
    assert!(whole.0.len() <= data.len() / 512, "members without a header");
    checked(data, "a.tar.zst");
}

/// An artifact as stored, whatever it holds; the first byte says what it is called.
pub(crate) fn artifact(data: &[u8]) {
    let Some((kind, stored)) = data.split_first() else { return };
    let name = ["a.tar.zst", "a.log.zst", "a.jsonl.zst"][usize::from(kind % 3)];
    // By half of the inputs what is in the frame is made up, by the other half the frame.
    if kind & 0x80 == 0 {
        agrees(stored, name, None);
    } else {
        checked(stored, name);
    }
}

/// The checks of a whole frame of these bytes.
fn checked(original: &[u8], name: &str) {
    let stored = zstd::stream::encode_all(original, 1).unwrap();
    let Some(report) = agrees(&stored, name, Some(original)) else { return };
    assert_eq!(report.original, Some((original.len() as u64, Sha256::of(original))));
    if name.ends_with(".tar.zst") && report.findings.is_empty() {
        for member in members(std::iter::once(original)).0 {
            assert!(
                !member.leaves,
                "an archive passed whose member leaves: {:?}",
                String::from_utf8_lossy(&member.path)
            );
        }
    }
}

/// What the checks say, once of the whole and once of pieces: the same.
fn agrees(stored: &[u8], name: &str, original: Option<&[u8]>) -> Option<Report> {
    let whole = check(std::iter::once(stored), name, original);
    let cut = check(crate::pieces(stored), name, original);
    assert_eq!(whole.is_ok(), cut.is_ok(), "{whole:?} of the whole, {cut:?} of pieces");
    let (Ok(whole), Ok(cut)) = (whole, cut) else { return None };
    assert_eq!(whole, cut, "a report depends on how an artifact is cut");
    assert!(whole.measures.original_bytes <= MAX_ORIGINAL);
    Some(whole)
}

fn check<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    name: &str,
    original: Option<&[u8]>,
) -> Result<Report, CheckId> {
    let mut config = ChecksConfig::default();
    config.limits.max_artifact_bytes = MAX_ORIGINAL;
    if original.is_none() {
        // Nobody knows what is in a frame that a fuzzer made.
        config.effects.insert(CheckId::OriginalMismatch, drawbridge_protocol::checks::Effect::Off);
    }
    let name: ArtifactName = name.parse().unwrap();
    let shared = Shared::new(MAX_ORIGINAL);
    let mut checker = Checker::new(&name, &config, &shared, &NoInspectors).unwrap().expect("checks are on");
    for piece in pieces {
        checker.feed(piece).map_err(|rejection| rejection.check)?;
    }
    let original = original.unwrap_or_default();
    checker.finish((original.len() as u64, &Sha256::of(original))).map_err(|rejection| rejection.check)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Member {
    path: Vec<u8>,
    link: Option<Vec<u8>>,
    bytes: u64,
    leaves: bool,
    ended: bool,
}

/// Takes down what it is told of an archive.
#[derive(Default)]
struct Record(Vec<Member>);

impl Members for Record {
    fn member(&mut self, head: &EntryHead<'_>) {
        assert!(self.0.last().is_none_or(|last| last.ended), "a member begins within another");
        let device = matches!(head.kind, EntryKind::CharacterDevice | EntryKind::BlockDevice);
        let leaves =
            head.path.starts_with(b"/") || head.path.split(|&byte| byte == b'/').any(|step| step == b"..");
        self.0.push(Member {
            path: head.path.to_vec(),
            link: head.link.map(<[u8]>::to_vec),
            leaves: leaves || device,
            ..Member::default()
        });
    }

    fn data(&mut self, bytes: &[u8]) {
        let last = self.0.last_mut().expect("data belongs to a member");
        assert!(!last.ended, "data after a member's end");
        last.bytes += bytes.len() as u64;
    }

    fn member_end(&mut self) {
        let last = self.0.last_mut().expect("an end belongs to a member");
        assert!(!std::mem::replace(&mut last.ended, true), "a member ends twice");
    }
}

/// Every member, and what ended the reading.
fn members<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Member>, Option<String>) {
    let (mut reader, mut record) =
        (TarReader::new(ChecksConfig::default().limits.max_header), Record::default());
    for piece in pieces {
        if let Err(fault) = reader.feed(piece, &mut record) {
            return (record.0, Some(fault.to_string()));
        }
    }
    (record.0, reader.finish().err().map(|fault| fault.to_string()))
}
