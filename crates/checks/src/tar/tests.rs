#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use super::*;

/// A header of ustar's form; the checksum is right whatever stands in it.
pub(crate) fn block(
    name: &[u8],
    flag: u8,
    size: u64,
    link: &[u8],
    change: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = flag;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    change(&mut block);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

/// The header of a sparse file of 512 bytes in GNU tar's old form, with these pieces, at most four.
fn sparse(size: u64, pieces: &[(u64, u64)], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    block(b"sparse", b'S', size, b"", |block| {
        block[257..265].copy_from_slice(b"ustar  \0");
        for (place, (offset, bytes)) in block[386..482].chunks_exact_mut(24).zip(pieces) {
            place.copy_from_slice(format!("{offset:011o}\0{bytes:011o}\0").as_bytes());
        }
        block[483..495].copy_from_slice(b"00000001000\0");
        change(block);
    })
}

/// A member with its body.
pub(crate) fn member(name: &[u8], flag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = block(name, flag, body.len() as u64, b"", |_| {});
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    out
}

pub(crate) fn link(name: &[u8], flag: u8, target: &[u8]) -> Vec<u8> {
    block(name, flag, 0, target, |_| {})
}

pub(crate) fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut out = members.concat();
    out.extend_from_slice(&[0; 2 * BLOCK]);
    out
}

/// What was told of an archive: a line a member.
#[derive(Default)]
struct Told {
    lines: Vec<String>,
    body: Vec<u8>,
}

impl Members for Told {
    fn member(&mut self, head: &EntryHead<'_>) {
        let link = head.link.map(|link| format!(" -> {}", link.escape_ascii())).unwrap_or_default();
        self.lines.push(format!("{:?} {}{link}", head.kind, head.path.escape_ascii()));
    }
    fn data(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }
    fn member_end(&mut self) {
        let body = std::mem::take(&mut self.body);
        let line = self.lines.last_mut().unwrap();
        write!(line, " [{}]", body.escape_ascii()).unwrap();
    }
}

fn read(bytes: &[u8], step: usize) -> Result<Vec<String>, TarFault> {
    let (mut reader, mut told) = (TarReader::new(1 << 16), Told::default());
    for chunk in bytes.chunks(step) {
        reader.feed(chunk, &mut told)?;
    }
    reader.finish().map(|()| told.lines)
}

/// The same whatever the chunks.
fn told(bytes: &[u8]) -> Result<Vec<String>, TarFault> {
    let whole = read(bytes, bytes.len().max(1));
    for step in [1, 7, 511, 512, 513] {
        assert_eq!(read(bytes, step), whole, "chunks of {step}");
    }
    whole
}

#[test]
fn members_are_told_with_their_names_links_and_bodies() {
    let bytes = archive(&[
        member(b"d/", b'5', b""),
        member(b"d/a", b'0', b"body"),
        member(b"old", 0, &[b'x'; 512]),
        member(b"olddir/", 0, b""),
        link(b"s", b'2', b"d/a"),
        link(b"h", b'1', b"d/a"),
        link(b"c", b'3', b""),
        link(b"p", b'6', b""),
        member(b"?", b'Z', b"odd"),
    ]);
    let expected = [
        "Directory d/ []".to_owned(),
        "File d/a [body]".to_owned(),
        format!("File old [{}]", "x".repeat(512)),
        "Directory olddir/ []".to_owned(),
        "SymbolicLink s -> d/a []".to_owned(),
        "HardLink h -> d/a []".to_owned(),
        "CharacterDevice c []".to_owned(),
        "Fifo p []".to_owned(),
        "Other(90) ? [odd]".to_owned(),
    ];
    assert_eq!(told(&bytes).unwrap(), expected);
}

#[test]
fn long_names_of_gnu_and_of_pax_are_joined_to_their_member() {
    let long = [b'n'; 300];
    let target = [b't'; 200];
    let pax = |key: &[u8], value: &[u8]| {
        let length = key.len() + value.len() + 6;
        [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
    };
    let records = [pax(b"path", &long), pax(b"linkpath", &target)].concat();
    for names in [
        [
            member(b"././@LongLink", b'L', &[&long[..], b"\0"].concat()),
            member(b"././@LongLink", b'K', &target),
        ]
        .concat(),
        member(b"PaxHeaders/x", b'x', &records),
    ] {
        let bytes = archive(&[names, link(b"short", b'2', b"short"), member(b"next", b'0', b"")]);
        let (n, t) = ("n".repeat(300), "t".repeat(200));
        assert_eq!(told(&bytes).unwrap(), [format!("SymbolicLink {n} -> {t} []"), "File next []".to_owned()]);
    }
    let prefixed = block(b"name", b'0', 0, b"", |block| block[345..348].copy_from_slice(b"a/b"));
    assert_eq!(told(&archive(&[prefixed])).unwrap(), ["File a/b/name []"]);
}

#[test]
fn an_old_sparse_file_s_map_is_not_taken_for_a_header() {
    let mut head = sparse(5, &[(0, 1), (2, 1), (4, 1), (6, 1)], |block| block[482] = 1);
    let mut map = b"00000000010\x0000000000000\0".repeat(21);
    map.resize(BLOCK, 0);
    map[504] = 1;
    head.extend_from_slice(&map);
    map[..504].fill(0);
    map[..24].copy_from_slice(b"00000000020\x0000000000001\0");
    map[504] = 0;
    head.extend_from_slice(&map);
    head.extend_from_slice(b"body!");
    head.resize(head.len().next_multiple_of(BLOCK), 0);
    assert_eq!(
        told(&archive(&[head, member(b"next", b'0', b"")])).unwrap(),
        ["Other(83) sparse [body!]", "File next []"]
    );
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let pax = |records: &[u8]| member(b"x", b'x', records);
    let file = || member(b"f", b'0', b"body");
    // Names of a size, and what stands behind them in their block.
    let padded = |flag: u8, names: &[u8], padding: &[u8]| {
        let mut bytes = member(b"x", flag, names);
        bytes[BLOCK + names.len()..][..padding.len()].copy_from_slice(padding);
        bytes
    };
    let cases = [
        ("a link with a body", archive(&[block(b"l", b'2', 4, b"t", |_| {}), file()])),
        ("a hard link with a body", archive(&[block(b"l", b'1', 4, b"t", |_| {}), file()])),
        ("a pipe with a body", archive(&[member(b"p", b'6', b"body")])),
        ("a directory with a body", archive(&[member(b"d/", b'0', b"body")])),
        ("two sizes", archive(&[pax(b"8 size=9\n"), file()])),
        ("two pax headers", archive(&[pax(b"8 path=a\n"), pax(b"8 path=b\n"), file()])),
        ("one name twice", archive(&[pax(b"9 path=a\n9 path=b\n"), file()])),
        ("pax and gnu", archive(&[pax(b"9 path=a\n"), member(b"l", b'L', b"b"), file()])),
        ("two gnu names", archive(&[member(b"l", b'L', b"a"), member(b"l", b'L', b"b"), file()])),
        ("a name for all", archive(&[member(b"g", b'g', b"9 path=a\n"), file()])),
        ("a malformed record", archive(&[pax(b"9 path=ab\n"), file()])),
        ("a NUL in a name", archive(&[pax(b"11 path=a\0b\n"), file()])),
        ("a size that is none", archive(&[pax(b"9 size=+4\n"), file()])),
        ("names for nobody", archive(&[file(), pax(b"9 path=a\n")])),
        ("a directory by its name alone", archive(&[member(b"d/", b'0', b"")])),
        ("a name that turns a file into one", archive(&[pax(b"10 path=a/\n"), member(b"a", 0, b"")])),
        ("a gnu name that goes on in its padding", archive(&[padded(b'L', b"a", b"b"), file()])),
        ("a gnu link that goes on in its padding", archive(&[padded(b'K', b"a", b"b"), file()])),
        (
            "records that go on in their padding",
            archive(&[padded(b'x', b"9 path=a\n", b"9 size=4\n"), file()]),
        ),
        (
            "a sparse file of POSIX's form",
            archive(&[sparse(0, &[], |block| block[257..265].copy_from_slice(b"ustar\x0000"))]),
        ),
        (
            "a sparse file without a size",
            archive(&[sparse(0, &[], |block| block[483..487].copy_from_slice(b"size"))]),
        ),
        (
            "a sparse file whose map goes on without numbers",
            archive(&[
                sparse(4, &[(0, 1), (1, 1), (2, 1), (3, 1)], |block| block[482] = 1),
                vec![b'x'; BLOCK],
            ]),
        ),
        ("a sparse file of more than its map", archive(&[sparse(4, &[(0, 3)], |_| {}), vec![0; BLOCK]])),
        ("a sparse file of less than its map", archive(&[sparse(4, &[(0, 5)], |_| {}), vec![0; BLOCK]])),
        (
            "a sparse file with a size in pax",
            archive(&[pax(b"9 size=4\n"), sparse(4, &[(0, 4)], |_| {}), vec![0; BLOCK]]),
        ),
        ("a sparse file of pax's form", archive(&[pax(b"22 GNU.sparse.major=1\n"), file()])),
        ("a name that only some read", archive(&[pax(b"23 GNU.sparse.name=a/b\n"), file()])),
        ("a size that only GNU tar reads", archive(&[pax(b"21 GNU.sparse.size=0\n"), file()])),
        ("sparse files for all", archive(&[member(b"g", b'g', b"22 GNU.sparse.major=1\n"), file()])),
        (
            "capabilities for all",
            archive(&[member(b"g", b'g', b"38 SCHILY.xattr.security.capability=x\n"), file()]),
        ),
        ("names for Solaris", archive(&[member(b"x", b'X', b"9 path=a\n"), file()])),
        (
            "a prefix that only some read",
            archive(&[block(b"f", b'0', 0, b"", |block| {
                block[257..265].copy_from_slice(b"ustar  \0");
                block[345..347].copy_from_slice(b"..");
            })]),
        ),
        ("a lone zero block", archive(&[file(), vec![0; BLOCK], file()])),
    ];
    for (what, bytes) in cases {
        assert!(matches!(told(&bytes), Err(TarFault::Ambiguous { .. })), "{what}: {:?}", told(&bytes));
    }
    // The twins that are as they should be.
    for names in [
        pax(b"9 path=a\n"),
        pax(b"9 size=4\n"),
        pax(b""),
        member(b"g", b'g', b"13 comment=x\n"),
        padded(b'L', b"a\0", b"b"),
        padded(b'x', b"9 path=a\n", b"\0b"),
        [sparse(4, &[(0, 3), (9, 1)], |_| {}), vec![b'x'; BLOCK]].concat(),
    ] {
        assert!(told(&archive(&[names, file()])).is_ok());
    }
}

#[test]
fn names_are_not_collected_without_end() {
    let bytes = archive(&[member(b"x", b'x', &vec![b'1'; (1 << 16) + 1]), member(b"f", b'0', b"")]);
    assert!(matches!(told(&bytes), Err(TarFault::HeaderSize { at: 0, size: 65_537, max: 65_536 })));
}

#[test]
fn an_archive_ends_at_its_marker_and_nowhere_else() {
    let bytes = archive(&[member(b"a", b'0', b"body"), member(b"b", b'0', b"")]);
    for end in 0..bytes.len() {
        let expected = TarFault::NoEnd { bytes: end as u64 };
        assert_eq!(read(&bytes[..end], 100), Err(expected), "cut at {end}");
    }
    assert_eq!(told(&[0; 10_240]), Err(TarFault::Empty));
    assert!(told(&[&bytes[..], &[0; 10 * BLOCK]].concat()).is_ok());
    let at = bytes.len() as u64 + 3;
    assert_eq!(told(&[&bytes[..], b"\0\0\0x"].concat()), Err(TarFault::Trailing { at }));
    assert_eq!(told(&b"sh: tar: not found\n".repeat(64)), Err(TarFault::NotTar { at: 0 }));
}
