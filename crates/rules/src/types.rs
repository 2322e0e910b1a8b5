//! What a file is by its first bytes. The types part all files between them, so that a stack can refuse some, or all but
//! some.

use drawbridge_checks::{EntryHead, Findings, Inspector};
use drawbridge_protocol::checks::{CheckId, ChecksConfig, Effect};

use crate::tally::Tally;

/// Bytes of a file that are looked at: an ISO image says what it is at 32 KiB.
const HEAD: usize = 0x8006;
/// Bytes by which text is told from the rest.
const TEXT: usize = 4 << 10;

/// What a file is. An empty file is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// ELF, PE, Mach-O, WebAssembly.
    Executable,
    /// Text that begins with `#!`.
    Script,
    /// An archive or compressed data: what is inside is not looked at.
    Archive,
    /// A disk image or an encrypted volume.
    DiskImage,
    Text,
    /// Anything else.
    Binary,
}

impl FileType {
    /// Every type.
    pub const ALL: [Self; 6] =
        [Self::Executable, Self::Script, Self::Archive, Self::DiskImage, Self::Text, Self::Binary];

    /// As in `file_type.executable`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Executable => "executable",
            Self::Script => "script",
            Self::Archive => "archive",
            Self::DiskImage => "disk_image",
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }

    /// What follows where the stack does not say: neither programs nor disks are configuration or logs.
    pub const fn usual_effect(self) -> Effect {
        match self {
            Self::Executable | Self::DiskImage => Effect::Flag,
            Self::Script | Self::Archive | Self::Text | Self::Binary => Effect::Off,
        }
    }

    /// By the file's first bytes; nothing for none.
    pub fn of(head: &[u8]) -> Option<Self> {
        if head.is_empty() {
            None
        } else if is_executable(head) {
            Some(Self::Executable)
        } else if is_disk_image(head) {
            Some(Self::DiskImage)
        } else if is_archive(head) {
            Some(Self::Archive)
        } else if is_script(head) {
            Some(Self::Script)
        } else if is_text(head) {
            Some(Self::Text)
        } else {
            Some(Self::Binary)
        }
    }
}

/// Whether `bytes` stand at `offset`.
fn at(head: &[u8], offset: usize, bytes: &[u8]) -> bool {
    head.get(offset..).is_some_and(|rest| rest.starts_with(bytes))
}

fn is_executable(head: &[u8]) -> bool {
    let word = |offset: usize| head.get(offset..offset + 4).and_then(|word| <[u8; 4]>::try_from(word).ok());
    let portable = || {
        let offset = word(0x3c).map(u32::from_le_bytes).and_then(|offset| usize::try_from(offset).ok());
        at(head, 0, b"MZ") && offset.is_some_and(|offset| at(head, offset, b"PE\0\0"))
    };
    let mach = || {
        let thin: [&[u8]; 4] = [
            &[0xfe, 0xed, 0xfa, 0xce],
            &[0xfe, 0xed, 0xfa, 0xcf],
            &[0xce, 0xfa, 0xed, 0xfe],
            &[0xcf, 0xfa, 0xed, 0xfe],
        ];
        // A Java class begins alike; its version, where a fat binary counts its parts, is 45 or more.
        let fat = at(head, 0, &[0xca, 0xfe, 0xba, 0xbe])
            && word(4).map(u32::from_be_bytes).is_some_and(|parts| (1..45).contains(&parts));
        fat || thin.iter().any(|magic| at(head, 0, magic))
    };
    at(head, 0, b"\x7fELF") || at(head, 0, b"\0asm\x01\0\0\0") || portable() || mach()
}

fn is_disk_image(head: &[u8]) -> bool {
    let magics: [(usize, &[u8]); 10] = [
        (0, b"QFI\xfb"),
        (0, b"KDMV"),
        (0, b"COWD"),
        (0, b"conectix"),
        (0, b"vhdxfile"),
        (0, b"LUKS\xba\xbe"),
        (0, b"hsqs"),
        (64, b"\x7f\x10\xda\xbe"),
        (512, b"EFI PART"),
        (0x8001, b"CD001"),
    ];
    // A partition table has its signature and a partition that is active or not, nothing else.
    let partitioned = at(head, 510, b"\x55\xaa") && matches!(head.get(446), Some(0 | 0x80)) && !is_text(head);
    let linux = at(head, 1080, b"\x53\xef") && at(head, 0, &[0; 64]);
    partitioned || linux || magics.iter().any(|(offset, magic)| at(head, *offset, magic))
}

fn is_archive(head: &[u8]) -> bool {
    let magics: [(usize, &[u8]); 17] = [
        (0, b"PK\x03\x04"),
        (0, b"PK\x05\x06"),
        (0, b"\x1f\x8b\x08"),
        (0, b"\xfd7zXZ\0"),
        (0, b"\x28\xb5\x2f\xfd"),
        (0, b"7z\xbc\xaf\x27\x1c"),
        (0, b"Rar!\x1a\x07"),
        (0, b"\x04\x22\x4d\x18"),
        (0, b"LZIP\x01"),
        (0, b"MSCF\0\0\0\0"),
        (0, b"\xed\xab\xee\xdb"),
        (0, b"!<arch>\n"),
        (0, b"070701"),
        (0, b"070702"),
        (0, b"xar!"),
        (257, b"ustar\0"),
        (257, b"ustar  \0"),
    ];
    let bzip2 = at(head, 0, b"BZh") && at(head, 4, b"1AY&SY");
    bzip2 || magics.iter().any(|(offset, magic)| at(head, *offset, magic))
}

fn is_script(head: &[u8]) -> bool {
    let Some(line) = head.strip_prefix(b"#!") else { return false };
    let program = line.iter().find(|byte| **byte != b' ' && **byte != b'\t');
    program == Some(&b'/')
}

/// UTF-8 or some eight-bit text without control bytes, or UTF-16 by its mark.
fn is_text(head: &[u8]) -> bool {
    if at(head, 0, b"\xff\xfe") || at(head, 0, b"\xfe\xff") {
        return true;
    }
    let head = &head[..head.len().min(TEXT)];
    let odd = |byte: &&u8| matches!(**byte, 0..=6 | 14..=26 | 28..=31 | 127);
    let others = head.iter().filter(|byte| !byte.is_ascii()).count();
    // The last character may be cut.
    let utf8 = std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true);
    head.iter().filter(odd).count() == 0 && (utf8 || others * 10 <= head.len() * 3)
}

/// Tells the types of one archive's files.
pub(crate) struct TypeInspector {
    tally: Tally,
    path: Vec<u8>,
    looking: bool,
    head: Vec<u8>,
}

impl TypeInspector {
    pub(crate) fn new(config: &ChecksConfig) -> Self {
        let tally = Tally::new(CheckId::FileType, config);
        Self { tally, path: Vec::new(), looking: false, head: Vec::new() }
    }

    fn decide(&mut self, found: &mut Findings) {
        self.looking = false;
        if let Some(file_type) = FileType::of(&self.head) {
            self.tally.hit(file_type.as_str(), file_type.usual_effect(), &self.path, found);
        }
    }
}

impl Inspector for TypeInspector {
    fn entry(&mut self, head: &EntryHead<'_>, _: &mut Findings) {
        self.looking = head.kind.has_content();
        self.path.clear();
        self.path.extend_from_slice(head.path);
        self.head.clear();
    }

    fn data(&mut self, bytes: &[u8], found: &mut Findings) {
        if !self.looking {
            return;
        }
        let room = HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.head.len() == HEAD {
            self.decide(found);
        }
    }

    fn entry_end(&mut self, found: &mut Findings) {
        if self.looking {
            self.decide(found);
        }
    }

    fn finish(&mut self, found: &mut Findings) {
        self.tally.tell(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(offset: usize, magic: &[u8]) -> Vec<u8> {
        let mut head = vec![0; offset];
        head.extend_from_slice(magic);
        head.extend_from_slice(&[0; 64]);
        head
    }

    #[test]
    fn each_type_is_told_by_its_first_bytes() {
        let mut portable = b"MZ".to_vec();
        portable.resize(0x3c, 0);
        portable.extend_from_slice(&0x80_u32.to_le_bytes());
        portable.resize(0x80, 0);
        portable.extend_from_slice(b"PE\0\0");
        let mut table = vec![0; 512];
        table[446] = 0x80;
        table[510..].copy_from_slice(b"\x55\xaa");
        let cases: Vec<(Vec<u8>, FileType)> = vec![
            (placed(0, b"\x7fELF\x02\x01\x01"), FileType::Executable),
            (portable, FileType::Executable),
            (placed(0, &[0xcf, 0xfa, 0xed, 0xfe]), FileType::Executable),
            (placed(0, &[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2]), FileType::Executable),
            (placed(0, &[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 61]), FileType::Binary),
            (placed(0, b"MZ and nothing else\0"), FileType::Binary),
            (b"#!/bin/sh\necho\n".to_vec(), FileType::Script),
            (b"#! /usr/bin/env python3\n".to_vec(), FileType::Script),
            (b"#!important: colour\n".to_vec(), FileType::Text),
            (placed(0, b"PK\x03\x04"), FileType::Archive),
            (placed(0, b"\x1f\x8b\x08"), FileType::Archive),
            (placed(257, b"ustar\0"), FileType::Archive),
            (placed(0, b"\x28\xb5\x2f\xfd"), FileType::Archive),
            (placed(0, b"QFI\xfb"), FileType::DiskImage),
            (placed(0x8001, b"CD001"), FileType::DiskImage),
            (placed(512, b"EFI PART"), FileType::DiskImage),
            (table, FileType::DiskImage),
            (placed(0, b"LUKS\xba\xbe"), FileType::DiskImage),
            (b"key: value\n".to_vec(), FileType::Text),
            ("Gr\u{fc}\u{df}e\n".as_bytes().to_vec(), FileType::Text),
            (b"Gr\xfc\xdfe, eight-bit text of old\n".to_vec(), FileType::Text),
            (b"\xff\xfea\0b\0".to_vec(), FileType::Text),
            (b"\x1b[31mred\x1b[0m\n".to_vec(), FileType::Text),
            (b"\0\x01\x02\x03".to_vec(), FileType::Binary),
        ];
        for (head, expected) in cases {
            assert_eq!(FileType::of(&head), Some(expected), "{:?}", &head[..head.len().min(24)]);
        }
        assert_eq!(FileType::of(b""), None);
    }

    #[test]
    fn a_character_that_is_cut_at_the_end_of_what_is_looked_at_is_text_all_the_same() {
        let mut head = vec![b'a'; TEXT - 1];
        head.extend_from_slice("\u{20ac}\u{20ac}".as_bytes());
        assert_eq!(FileType::of(&head), Some(FileType::Text));
    }
}
