//! Our reader beside Python's `tarfile`: whatever archive both take, they read alike. Archives are made by `tarfile` in
//! its three formats, and then changed: a check that saw something else than what is unpacked would be none.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use drawbridge_checks::{Checker, EntryHead, EntryKind, Findings, Inspector, Inspectors, Shared};
use drawbridge_protocol::{ArtifactName, Sha256, checks::ChecksConfig};

/// Lengths before bytes on standard input, a listing a line on standard output.
const READER: &str = r#"
import hashlib, io, json, struct, sys, tarfile
KINDS = {tarfile.LNKTYPE: "HardLink", tarfile.SYMTYPE: "SymbolicLink", tarfile.CHRTYPE: "CharacterDevice",
         tarfile.BLKTYPE: "BlockDevice", tarfile.DIRTYPE: "Directory", tarfile.FIFOTYPE: "Fifo"}
def raw(text): return text.encode("utf-8", "surrogateescape").hex()
def listing(data):
    found = []
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", errorlevel=2, encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            kind = KINDS.get(member.type, "File")
            if member.issparse():
                found.append([raw(member.name.rstrip("/")), "sparse", "", ""])
                continue
            body = tar.fileobj.getbuffer()[member.offset_data:member.offset_data + member.size].tobytes() if kind == "File" else b""
            link = raw(member.linkname) if kind in ("HardLink", "SymbolicLink") else ""
            found.append([raw(member.name.rstrip("/")), kind, link, hashlib.sha256(body).hexdigest()])
    return found
while head := sys.stdin.buffer.read(4):
    data = sys.stdin.buffer.read(struct.unpack(">I", head)[0])
    try: print(json.dumps(listing(data)))
    except Exception as error: print(json.dumps(str(error)))
"#;

/// One archive of each format, as hexadecimal lines.
const WRITER: &str = r#"
import io, tarfile
for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=format, encoding="utf-8", errors="surrogateescape") as tar:
        def add(name, type=tarfile.REGTYPE, body=b"", link="", **more):
            info = tarfile.TarInfo(name); info.type = type; info.size = len(body); info.linkname = link
            for key, value in more.items(): setattr(info, key, value)
            tar.addfile(info, io.BytesIO(body))
        add("etc", tarfile.DIRTYPE)
        add("etc/a.conf", body=b"key = value\n" * 100)
        add("etc/empty")
        add("etc/block", body=b"b" * 512)
        add("etc/" + "d" * 90 + "/" + "n" * 95, body=b"prefix")
        add("etc/odd \udcff\n", body=b"odd", mtime=1.5)
        add("link", tarfile.SYMTYPE, link="etc/a.conf")
        add("hard", tarfile.LNKTYPE, link="etc/a.conf")
        add("null", tarfile.CHRTYPE, devmajor=1, devminor=3)
        add("pipe", tarfile.FIFOTYPE)
        if format != tarfile.USTAR_FORMAT:
            add("etc/" + "n" * 240, body=b"long name")
            add("long link", tarfile.SYMTYPE, link="t" * 200)
            add("big ids", body=b"x", uid=2**24, uname="\u00fc")
    print(out.getvalue().hex())
"#;

fn python(program: &str, input: Vec<u8>) -> String {
    let mut python = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut stdin = python.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

type Listing = Vec<[String; 4]>;

/// Writes down what is shown to it.
#[derive(Clone, Default)]
struct Scribe {
    listing: Arc<Mutex<Listing>>,
    body: Vec<u8>,
}

impl Inspector for Scribe {
    fn entry(&mut self, head: &EntryHead<'_>, _: &mut Findings) {
        let mut path = head.path;
        while let [rest @ .., b'/'] = path {
            path = rest;
        }
        let kind = match format!("{:?}", head.kind) {
            other if other.starts_with("Other") => "File".to_owned(),
            kind => kind,
        };
        let link = head.link.map(hex).unwrap_or_default();
        let kind = if head.kind == EntryKind::Other(b'S') { "sparse".to_owned() } else { kind };
        self.listing.lock().unwrap().push([hex(path), kind, link, String::new()]);
    }
    fn data(&mut self, bytes: &[u8], _: &mut Findings) {
        self.body.extend_from_slice(bytes);
    }
    fn entry_end(&mut self, _: &mut Findings) {
        let body = std::mem::take(&mut self.body);
        let mut listing = self.listing.lock().unwrap();
        let entry = listing.last_mut().unwrap();
        if entry[1] != "sparse" {
            entry[3] = Sha256::of(&body).to_string();
        }
    }
    fn finish(&mut self, _: &mut Findings) {}
}

impl Inspectors for Scribe {
    fn of(&self, _: &ArtifactName) -> Vec<Box<dyn Inspector>> {
        vec![Box::new(self.clone())]
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// What our reader says of an archive, if it takes it.
fn ours(tar: &[u8], step: usize) -> Option<Listing> {
    let config: ChecksConfig = "all=off,tar_damaged=reject,tar_trailing=reject".parse().unwrap();
    let (scribe, shared) = (Scribe::default(), Shared::new(u64::MAX));
    let mut checker =
        Checker::new(&"a.tar.zst".parse().unwrap(), &config, &shared, &scribe).unwrap().unwrap();
    let stored = zstd::stream::encode_all(tar, 1).unwrap();
    let fed = stored.chunks(step).try_for_each(|chunk| checker.feed(chunk));
    fed.and_then(|()| checker.finish((0, &Sha256::of(b"")))).ok()?;
    let listing = scribe.listing.lock().unwrap().clone();
    Some(listing)
}

fn theirs(archives: &[Vec<u8>]) -> Vec<Option<Listing>> {
    let mut input = Vec::new();
    for archive in archives {
        input.extend_from_slice(&u32::try_from(archive.len()).unwrap().to_be_bytes());
        input.extend_from_slice(archive);
    }
    let lines = python(READER, input);
    lines.lines().map(|line| serde_json::from_str(line).ok()).collect()
}

fn samples() -> Vec<Vec<u8>> {
    let made = python(WRITER, Vec::new());
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    made.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// Changes a field of one header, and mends its checksum so that it is read.
fn changed(tar: &[u8], random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    const FIELDS: [std::ops::Range<usize>; 7] =
        [0..100, 124..136, 156..157, 157..257, 257..265, 345..500, 482..483];
    const BYTES: &[u8] = b"\x00\x80\xff/.0123567xgLKSV =\n";
    let mut tar = tar.to_vec();
    let blocks = tar.len() / 512;
    let at = random(blocks) * 512;
    let block = &mut tar[at..at + 512];
    for _ in 0..=random(3) {
        let field = FIELDS[random(FIELDS.len())].clone();
        let place = field.start + random(field.len());
        block[place] = BYTES[random(BYTES.len())];
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar
}

#[test]
fn archives_of_every_format_are_read_as_python_reads_them() {
    let samples = samples();
    assert_eq!(samples.len(), 3);
    for (tar, theirs) in samples.iter().zip(theirs(&samples)) {
        let theirs = theirs.unwrap();
        assert!(theirs.len() >= 10);
        for step in [1, 77, 1 << 20] {
            assert_eq!(ours(tar, step).unwrap(), theirs);
        }
    }
}

#[test]
fn a_changed_archive_is_refused_or_read_as_python_reads_it() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let samples = samples();
    let archives: Vec<_> = (0..6_000).map(|n| changed(&samples[n % 3], &mut random)).collect();
    let (mut both, mut refused) = (0, 0);
    for (number, (tar, theirs)) in archives.iter().zip(theirs(&archives)).enumerate() {
        match (ours(tar, 1 << 20), theirs) {
            (Some(ours), Some(theirs)) => {
                assert_eq!(ours, theirs, "archive {number}");
                both += 1;
            }
            (None, _) => refused += 1,
            // Python is the stricter one here; nothing is unpacked unseen.
            (Some(_), None) => {}
        }
    }
    assert!(both > 500 && refused > 500, "{both} taken by both, {refused} refused: the changes show nothing");
}
