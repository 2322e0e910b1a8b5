//! The map of a sparse file in GNU tar's old form: four pieces in the header, 21 in each block that follows it.
//!
//! Tars unpack such a file by its map and find the next header by its size or by the map again; some stop at the first
//! piece that is empty. So a map must be as GNU tar writes it: pieces one after the other, nothing behind the last, and
//! together as many bytes as are stored. What is stored is then the file without its holes, for every tar.

use super::header::number;

/// Where a piece lies in the file, and how long it is: twelve bytes each.
const PIECE: usize = 24;

/// A map as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SparseMap {
    /// Bytes of the file with its holes.
    whole: u64,
    /// Where the last piece ends in the file.
    end: u64,
    /// Bytes of all pieces.
    stored: u64,
    /// Its last piece has come.
    over: bool,
    /// Another block of it follows.
    goes_on: bool,
}

impl SparseMap {
    /// The map in a header; nothing where tars would read it differently.
    pub(super) fn begin(header: &[u8; 512]) -> Option<Self> {
        let whole = number(&header[483..495])?;
        Self { whole, end: 0, stored: 0, over: false, goes_on: true }.read(&header[386..482], header[482])
    }

    /// With the pieces of a block that follows.
    pub(super) fn follow(self, block: &[u8; 512]) -> Option<Self> {
        self.read(&block[..504], block[504])
    }

    pub(super) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Bytes of all pieces.
    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    fn read(mut self, pieces: &[u8], more: u8) -> Option<Self> {
        for piece in pieces.chunks_exact(PIECE) {
            let (offset, bytes) = piece.split_at(PIECE / 2);
            // GNU tar reads no further than this.
            self.over |= bytes[0] == 0;
            if self.over {
                if piece.iter().any(|&byte| byte != 0) {
                    return None;
                }
                continue;
            }
            let (offset, bytes) = (number(offset)?, number(bytes)?);
            if offset < self.end {
                return None;
            }
            self.end = offset.checked_add(bytes).filter(|end| *end <= self.whole)?;
            self.stored += bytes;
        }
        self.goes_on = more != 0;
        (!(self.over && self.goes_on)).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A header's map of these pieces.
    fn map(whole: u64, pieces: &[(u64, u64)], more: u8) -> [u8; 512] {
        let mut header = [0; 512];
        for (place, (offset, bytes)) in header[386..482].chunks_exact_mut(PIECE).zip(pieces) {
            place.copy_from_slice(format!("{offset:011o}\0{bytes:011o}\0").as_bytes());
        }
        header[482] = more;
        header[483..495].copy_from_slice(format!("{whole:011o}\0").as_bytes());
        header
    }

    #[test]
    fn pieces_one_after_the_other_are_a_map() {
        for (whole, pieces, stored) in [
            // A hole at the end is a piece without bytes.
            (4096, &[(4096, 0)][..], 0),
            (0, &[], 0),
            (9000, &[(0, 10), (10, 20), (8000, 1000)], 1030),
            (9000, &[(1, 1), (2, 1), (3, 1), (9000, 0)], 3),
        ] {
            let read = SparseMap::begin(&map(whole, pieces, 0)).unwrap();
            assert_eq!((read.stored(), read.goes_on()), (stored, false), "{pieces:?}");
        }
        let first = SparseMap::begin(&map(9000, &[(0, 1), (2, 1), (4, 1), (6, 1)], 1)).unwrap();
        assert!(first.goes_on());
        let mut block = [0; 512];
        block[..PIECE].copy_from_slice(b"00000000010\x0000000000002\0");
        let second = first.follow(&block).unwrap();
        assert_eq!((second.stored(), second.goes_on()), (6, false));
    }

    #[test]
    fn what_tars_would_read_differently_is_none() {
        let mut behind = map(9000, &[(0, 1), (2, 1)], 0);
        behind[386 + PIECE..386 + 2 * PIECE].fill(0);
        behind[386 + 2 * PIECE..386 + 3 * PIECE].copy_from_slice(b"00000000010\x0000000000002\0");
        for (what, header) in [
            ("out of order", map(9000, &[(35, 35), (0, 35)], 0)),
            ("one over the other", map(9000, &[(0, 10), (9, 1)], 0)),
            ("longer than the file", map(10, &[(0, 11)], 0)),
            ("something behind the last", behind),
            ("a block behind the last", map(9000, &[(0, 1)], 1)),
        ] {
            assert_eq!(SparseMap::begin(&header), None, "{what}");
        }
        let first = SparseMap::begin(&map(9000, &[(0, 1), (2, 1), (4, 1), (6, 1)], 1)).unwrap();
        assert_eq!(first.follow(&[b'x'; 512]), None);
    }
}
