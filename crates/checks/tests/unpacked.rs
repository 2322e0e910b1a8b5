//! Archives made by hand, unpacked by Python's `tarfile` without its filters: what comes to be outside of the directory
//! is rejected by the checks' defaults, and archives that look like it and are honest are not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use drawbridge_checks::{Checker, NoInspectors, Shared};
use drawbridge_protocol::{Sha256, checks::ChecksConfig};

/// A line a case: what it is, the check that rejects it, whether something outside changed, and the archive.
const CASES: &str = r#"
import io, json, os, tarfile, tempfile
FILE, LINK, HARD, DIRECTORY = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
AWAY = ("a", LINK, "../outside")
NEW = ("a", LINK, "../outside/new")
DEEP = ("a", LINK, "../outside/deep")
CASES = [
    ("behind a link", "tar_through_link", AWAY, ("a/new", FILE, "")),
    ("behind a link's second name", "tar_through_link", AWAY, ("b", HARD, "a"), ("b/new", FILE, "")),
    ("behind its third name", "tar_through_link", AWAY, ("b", HARD, "a"), ("c", HARD, "./b"), ("c/new", FILE, "")),
    ("far behind a link", "tar_through_link", AWAY, ("a/" + "d" * 200 + ("/" + "e" * 200) * 19 + "/" + "f" * 74, FILE, "")),
    ("over a link's second name", "tar_through_link", NEW, ("b", HARD, "a"), ("b", FILE, "")),
    ("a file's second name over a link", "tar_through_link", NEW, ("f", FILE, ""), ("a", HARD, "f")),
    ("through a link and up", "tar_hardlink_leaves", DEEP, ("b", HARD, "a/../kept"), ("b", FILE, "")),
    ("a sparse file's name", "tar_damaged", AWAY, ("f", FILE, "", ("GNU.sparse.name", "a/new"))),
    ("a link by two names", None, AWAY, ("b", HARD, "a"), ("d", DIRECTORY, ""), ("d/b", HARD, "a"), ("d/f", FILE, "")),
    ("names of a link, gathered twice", None, AWAY, ("b", HARD, "a"), ("b", HARD, "a"), ("a", HARD, "a")),
    ("a record that is no name", None, AWAY, ("f", FILE, "", ("comment", "a/new"))),
]
def archive(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link, *records in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.pax_headers = kind, link, dict(records)
            body = b"new" if kind == FILE else b""
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()
def leaves(data):
    with tempfile.TemporaryDirectory() as root:
        outside = os.path.join(root, "outside")
        kept = os.path.join(outside, "kept")
        os.makedirs(os.path.join(outside, "deep"))
        with open(kept, "w") as file: file.write("as it was")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extraction_filter = lambda member, path: member
            try: tar.extractall(os.path.join(root, "inside"))
            except (OSError, KeyError, tarfile.TarError): pass
        with open(kept) as file: return file.read() != "as it was" or set(os.listdir(outside)) != {"deep", "kept"}
for what, check, *members in CASES:
    data = archive(members)
    print(json.dumps([what, check, leaves(data), data.hex()]))
"#;

/// The check that rejects an archive where the stack says nothing.
fn rejecting(tar: &[u8]) -> Option<String> {
    let shared = Shared::new(u64::MAX);
    let config = ChecksConfig::default();
    let mut checker =
        Checker::new(&"a.tar.zst".parse().unwrap(), &config, &shared, &NoInspectors).unwrap().unwrap();
    let outcome = checker.feed(&zstd::stream::encode_all(tar, 1).unwrap());
    let outcome = outcome.and_then(|()| checker.finish((tar.len() as u64, &Sha256::of(tar))));
    outcome.err().map(|rejection| rejection.check.to_string())
}

#[test]
fn what_python_unpacks_outside_is_rejected_and_its_honest_twins_are_not() {
    let output = Command::new("python3").args(["-c", CASES]).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut left, mut stayed) = (0, 0);
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (what, check, leaves, hex): (String, Option<String>, bool, String) =
            serde_json::from_str(line).unwrap();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let tar: Vec<u8> = hex.as_bytes().chunks(2).map(byte).collect();
        assert_eq!(rejecting(&tar), check, "{what}");
        assert!(check.is_some() || !leaves, "{what}: python unpacks it outside");
        if leaves {
            left += 1;
        } else {
            stayed += 1;
        }
    }
    // A later Python may refuse one or another by itself.
    assert!(left >= 3 && stayed >= 3, "{left} left, {stayed} stayed: the cases show nothing");
}
