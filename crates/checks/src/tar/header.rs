//! One header block of a tar archive: v7, ustar, pax and GNU tar write the same 512 bytes with small differences.

use super::sparse::SparseMap;

/// What one header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) flag: u8,
    pub(super) mode: u32,
    pub(super) size: u64,
    /// Of an old sparse file.
    pub(super) map: Option<SparseMap>,
    /// Something stands where POSIX has the beginning of the name, and it is not POSIX's form.
    pub(super) unread_prefix: bool,
    /// An old sparse file that some tars read differently: its map is odd, or the header is of POSIX's form, which has none.
    pub(super) unread_map: bool,
}

impl Header {
    /// Reads a block; nothing if it is no header, or a damaged one.
    pub(super) fn parse(block: &[u8; 512]) -> Option<Self> {
        if !checksum_holds(block) {
            return None;
        }
        let flag = block[156];
        let name = text(&block[..100]);
        // Only POSIX has a prefix here; GNU tar keeps times and sparse maps in its place.
        let field = text(&block[345..500]);
        let posix = &block[257..263] == b"ustar\0";
        let prefix = if posix { field } else { b"" };
        let name = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
        let sparse = flag == b'S';
        let map = if sparse && !posix { SparseMap::begin(block) } else { None };
        Some(Self {
            name,
            link: text(&block[157..257]).to_vec(),
            flag,
            mode: u32::try_from(number(&block[100..108])? & 0o7777).ok()?,
            size: number(&block[124..136])?,
            map,
            unread_prefix: !posix && !sparse && !field.is_empty(),
            unread_map: sparse && map.is_none(),
        })
    }
}

/// A field up to its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The sum of the header's bytes with the field itself read as spaces. Some old tars add signed bytes.
fn checksum_holds(block: &[u8; 512]) -> bool {
    let Some(expected) = number(&block[148..156]) else { return false };
    let bytes = || block.iter().enumerate().filter(|(at, _)| !(148..156).contains(at)).map(|(_, byte)| *byte);
    let unsigned = bytes().map(u64::from).sum::<u64>() + 8 * u64::from(b' ');
    let signed = bytes().map(|byte| i64::from(byte.cast_signed())).sum::<i64>() + 8 * i64::from(b' ');
    expected == unsigned || i64::try_from(expected) == Ok(signed)
}

/// A numeric field: octal digits between spaces and NULs, or base 256 where the first bit is set.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    let (&first, rest) = field.split_first()?;
    if first == 0x80 {
        return rest.iter().try_fold(0_u64, |sum, &byte| sum.checked_mul(256)?.checked_add(u64::from(byte)));
    }
    let digits = text(field).trim_ascii();
    if digits.is_empty() {
        return Some(0);
    }
    digits.iter().try_fold(0_u64, |sum, &byte| match byte {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_read_in_both_forms() {
        assert_eq!(number(b"77777777777\0"), Some((8 << 30) - 1));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(8 << 30));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
    }

    #[test]
    fn what_is_no_number_is_none() {
        // Negative, not octal, too large.
        for field in
            [&[0xff; 12][..], b"12x4\0", b"8888\0", b"-1\0", &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
        {
            assert_eq!(number(field), None, "{field:?}");
        }
    }

    #[test]
    fn zeros_and_words_are_no_header() {
        assert_eq!(Header::parse(&[0; 512]), None);
        assert_eq!(Header::parse(&[b'x'; 512]), None);
    }
}
