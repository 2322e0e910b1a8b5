//! Follows the structure of a zstd frame (RFC 8878, 3.1.1), without decompressing it, to know when it is whole.
//!
//! It reads a few bytes of every block and nothing else, so it may run where the stream is read. What the frame holds
//! is looked at beside the stream, by [`super::proof`].

/// The longest frame header: descriptor, window, dictionary id, content size.
const LONGEST_HEADER: usize = 14;
/// What every frame begins with.
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why a stream is not one whole frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("it does not begin as a zstd frame")]
    NotZstd,
    #[error("the header of the zstd frame has its reserved bit set")]
    ReservedBit,
    #[error("block {number} of the zstd frame has a reserved type")]
    ReservedBlock { number: u64 },
    #[error("something follows the zstd frame")]
    AfterEnd,
}

/// What comes next.
#[derive(Debug)]
enum Next {
    Magic,
    Descriptor,
    /// The rest of the frame header, of which so many bytes are missing.
    Header(usize),
    BlockHeader,
    /// So many bytes of a block.
    Block {
        left: usize,
        last: bool,
    },
    /// So many bytes of the checksum.
    Checksum(usize),
    End,
}

/// Where the stream is.
#[derive(Debug)]
pub(super) struct FrameScan {
    next: Next,
    /// The part of a header that has come.
    held: Vec<u8>,
    checksum: bool,
    blocks: u64,
}

impl Default for FrameScan {
    fn default() -> Self {
        Self { next: Next::Magic, held: Vec::with_capacity(LONGEST_HEADER), checksum: false, blocks: 0 }
    }
}

impl FrameScan {
    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, mut chunk: &[u8]) -> Result<(), FrameError> {
        while !chunk.is_empty() {
            let taken = self.step(chunk)?;
            chunk = &chunk[taken..];
        }
        Ok(())
    }

    /// Whether the frame is whole.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.next, Next::End)
    }

    fn step(&mut self, chunk: &[u8]) -> Result<usize, FrameError> {
        match &mut self.next {
            Next::Magic => Ok(self.collect(chunk, MAGIC.len(), Self::magic)?),
            Next::Descriptor => Ok(self.collect(chunk, 1, Self::descriptor)?),
            Next::Header(left) | Next::Checksum(left) => {
                let taken = (*left).min(chunk.len());
                *left -= taken;
                if *left == 0 {
                    let was_checksum = matches!(self.next, Next::Checksum(_));
                    self.next = if was_checksum { Next::End } else { Next::BlockHeader };
                }
                Ok(taken)
            }
            Next::BlockHeader => Ok(self.collect(chunk, 3, Self::block_header)?),
            Next::Block { left, last } => {
                let taken = (*left).min(chunk.len());
                *left -= taken;
                if *left == 0 {
                    let last = *last;
                    self.block_is_over(last);
                }
                Ok(taken)
            }
            Next::End => Err(FrameError::AfterEnd),
        }
    }

    /// Waits for `wanted` bytes, which may come in pieces, and reads them.
    fn collect(
        &mut self,
        chunk: &[u8],
        wanted: usize,
        read: impl FnOnce(&mut Self, &[u8]) -> Result<(), FrameError>,
    ) -> Result<usize, FrameError> {
        let taken = (wanted - self.held.len()).min(chunk.len());
        self.held.extend_from_slice(&chunk[..taken]);
        if self.held.len() == wanted {
            let held = std::mem::take(&mut self.held);
            read(self, &held)?;
        }
        Ok(taken)
    }

    fn magic(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if bytes != MAGIC {
            return Err(FrameError::NotZstd);
        }
        self.next = Next::Descriptor;
        Ok(())
    }

    fn descriptor(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let descriptor = bytes[0];
        if descriptor & 0x08 != 0 {
            return Err(FrameError::ReservedBit);
        }
        let single_segment = descriptor & 0x20 != 0;
        self.checksum = descriptor & 0x04 != 0;
        let window = usize::from(!single_segment);
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 0x03)];
        let content_size = match descriptor >> 6 {
            0 => usize::from(single_segment),
            flag => 1 << flag,
        };
        self.next = match window + dictionary + content_size {
            0 => Next::BlockHeader,
            length => Next::Header(length),
        };
        Ok(())
    }

    fn block_header(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let header = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
        let (last, kind, size) = (header & 1 == 1, header >> 1 & 0x03, header >> 3);
        let left = match kind {
            0 | 2 => size as usize,
            1 => 1, // one byte, which stands for `size` of them
            _ => return Err(FrameError::ReservedBlock { number: self.blocks }),
        };
        self.blocks += 1;
        self.next = Next::Block { left, last };
        if left == 0 {
            self.block_is_over(last);
        }
        Ok(())
    }

    fn block_is_over(&mut self, last: bool) {
        self.next = match (last, self.checksum) {
            (false, _) => Next::BlockHeader,
            (true, true) => Next::Checksum(4),
            (true, false) => Next::End,
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn frame(length: u32, checksum: bool) -> Vec<u8> {
        let data: Vec<u8> = (0..length)
            .flat_map(|n| if n % 5 == 0 { [0; 4] } else { n.wrapping_mul(2_654_435_761).to_le_bytes() })
            .collect();
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(checksum).unwrap();
        std::io::copy(&mut &data[..], &mut encoder).unwrap();
        encoder.finish().unwrap()
    }

    fn ends(bytes: &[u8], chunk: usize) -> Result<bool, FrameError> {
        let mut scan = FrameScan::default();
        for part in bytes.chunks(chunk) {
            scan.feed(part)?;
        }
        Ok(scan.has_ended())
    }

    #[test]
    fn a_frame_ends_at_its_end_however_it_is_cut_and_nowhere_else() {
        for bytes in [frame(0, true), frame(1, false), frame(300_000, true), frame(300_000, false)] {
            for chunk in [1, 3, 4_096, bytes.len()] {
                assert_eq!(ends(&bytes, chunk), Ok(true));
            }
            let steps = bytes.len().div_ceil(97).max(1);
            for cut in (0..bytes.len()).step_by(steps) {
                assert_eq!(ends(&bytes[..cut], 1_000), Ok(false), "cut at {cut} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn a_bulk_frame_knows_its_size_and_is_followed_too() {
        let bytes = zstd::bulk::compress(&vec![7; 100_000], 3).unwrap();
        assert_eq!(ends(&bytes, 5), Ok(true));
    }

    #[test]
    fn what_is_no_frame_and_what_follows_one_are_refused() {
        assert_eq!(ends(b"etc/passwd\0\0\0", 2), Err(FrameError::NotZstd));
        let mut bytes = frame(100, true);
        bytes.push(0);
        assert_eq!(ends(&bytes, 64), Err(FrameError::AfterEnd));
    }
}
