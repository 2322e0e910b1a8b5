//! Follows the structure of a tar stream, without keeping it, to know whether it came to its end.
//!
//! Looking for zero bytes at the end is not enough: a stream cut inside a file of zeros ends in zeros too. So every
//! header is read, and only two zero blocks where a header belongs are the end.

const BLOCK: usize = 512;
/// The longest pax record block that is looked into for a size; longer ones are names and comments.
const MAX_PAX: usize = 64 << 10;

/// Where the stream is.
#[derive(Debug, Default)]
pub(super) struct TarScan {
    /// Bytes so far.
    bytes: u64,
    /// Headers of files, directories and links so far.
    entries: u64,
    /// Bytes of the current member's body, padding included, that are still to come.
    body: u64,
    /// The part of a header block that has come.
    header: Vec<u8>,
    /// Pax records being collected, and how many bytes of padding follow them.
    pax: Option<Pax>,
    /// The size that a pax record gives to the next member.
    next_size: Option<u64>,
    zero_blocks: u8,
    ended: bool,
}

#[derive(Debug)]
struct Pax {
    records: Vec<u8>,
    length: usize,
}

/// Why a stream is not a whole tar archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TarError {
    #[error("byte {at} does not begin a tar header: something else than tar wrote to the stream")]
    NotTar { at: u64 },
    #[error("the archive has no end marker after {bytes} bytes")]
    NoEnd { bytes: u64 },
    #[error("the archive holds nothing")]
    Empty,
    #[error("something follows the archive's end marker")]
    AfterEnd,
}

impl TarScan {
    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, mut chunk: &[u8]) -> Result<(), TarError> {
        while !chunk.is_empty() {
            let taken = if self.ended { after_end(chunk)? } else { self.step(chunk)? };
            self.bytes += taken as u64;
            chunk = &chunk[taken..];
        }
        Ok(())
    }

    /// Whether the end marker has come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the stream may end here.
    pub(super) fn finish(&self) -> Result<(), TarError> {
        if !self.ended || !self.bytes.is_multiple_of(BLOCK as u64) {
            return Err(TarError::NoEnd { bytes: self.bytes });
        }
        if self.entries == 0 { Err(TarError::Empty) } else { Ok(()) }
    }

    /// Consumes a run of `chunk` that belongs together and says how long it was.
    fn step(&mut self, chunk: &[u8]) -> Result<usize, TarError> {
        if self.body > 0 {
            let taken = usize::try_from(self.body).unwrap_or(usize::MAX).min(chunk.len());
            self.collect_pax(&chunk[..taken]);
            self.body -= taken as u64;
            return Ok(taken);
        }
        self.close_pax();
        if self.header.is_empty() && chunk.len() >= BLOCK {
            self.read_header(&chunk[..BLOCK])?;
            return Ok(BLOCK);
        }
        let taken = (BLOCK - self.header.len()).min(chunk.len());
        self.header.extend_from_slice(&chunk[..taken]);
        if self.header.len() == BLOCK {
            let header = std::mem::take(&mut self.header);
            self.read_header(&header)?;
        }
        Ok(taken)
    }

    fn read_header(&mut self, header: &[u8]) -> Result<(), TarError> {
        if header.iter().all(|&byte| byte == 0) {
            self.zero_blocks += 1;
            self.ended = self.zero_blocks == 2;
            return Ok(());
        }
        self.zero_blocks = 0;
        // Headers stand on block boundaries, also one that came in pieces.
        let not_tar = TarError::NotTar { at: self.bytes / BLOCK as u64 * BLOCK as u64 };
        if !checksum_holds(header) {
            return Err(not_tar);
        }
        let size = number(&header[124..136]).ok_or(not_tar)?;
        let kind = header[156];
        let size = match kind {
            // Links, devices, directories and FIFOs have no body, whatever their size field says.
            b'1'..=b'6' => 0,
            b'x' | b'g' | b'L' | b'K' => size,
            _ => self.next_size.take().unwrap_or(size),
        };
        if kind == b'x' {
            let length = usize::try_from(size).unwrap_or(usize::MAX);
            self.pax = (length <= MAX_PAX).then(|| Pax { records: Vec::with_capacity(length), length });
        }
        if !matches!(kind, b'x' | b'g' | b'L' | b'K') {
            self.entries += 1;
        }
        self.body = size.next_multiple_of(BLOCK as u64);
        Ok(())
    }

    fn collect_pax(&mut self, bytes: &[u8]) {
        if let Some(pax) = &mut self.pax {
            let missing = pax.length - pax.records.len();
            pax.records.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        }
    }

    fn close_pax(&mut self) {
        if let Some(pax) = self.pax.take() {
            self.next_size = pax_size(&pax.records);
        }
    }
}

/// Only padding follows the end marker: tar fills its last record with zeros.
fn after_end(chunk: &[u8]) -> Result<usize, TarError> {
    if chunk.iter().all(|&byte| byte == 0) { Ok(chunk.len()) } else { Err(TarError::AfterEnd) }
}

/// The header's checksum: the sum of its bytes with the field itself read as spaces.
fn checksum_holds(header: &[u8]) -> bool {
    let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
    let field: u64 = header[148..156].iter().map(|&byte| u64::from(byte)).sum();
    number(&header[148..156]) == Some(sum - field + 8 * u64::from(b' '))
}

/// A numeric field: octal digits, or base 256 where the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return field[1..].iter().try_fold(u64::from(field[0] & 0x7f), |sum, &byte| {
            sum.checked_mul(256)?.checked_add(u64::from(byte))
        });
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The `size` record of a pax header: `<length> size=<number>\n`.
fn pax_size(records: &[u8]) -> Option<u64> {
    records.split(|&byte| byte == b'\n').find_map(|record| {
        let text = std::str::from_utf8(record).ok()?;
        text.split_once(' ')?.1.strip_prefix("size=")?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::process::Command;

    use super::*;

    /// An archive that the system's tar makes of a few files, one of them all zeros.
    fn archive(format: &str) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("zeros"), vec![0_u8; 8_192]).unwrap();
        std::fs::write(directory.path().join("empty"), b"").unwrap();
        std::fs::write(directory.path().join("n".repeat(180)), b"long name").unwrap();
        std::fs::write(directory.path().join("odd size"), vec![7_u8; 1_000]).unwrap();
        std::os::unix::fs::symlink("zeros", directory.path().join("link")).unwrap();
        std::fs::hard_link(directory.path().join("zeros"), directory.path().join("hard")).unwrap();
        let output = Command::new("tar")
            .args(["-c", "-f", "-", "--format", format, "-C"])
            .arg(directory.path())
            .arg(".")
            .output()
            .unwrap();
        assert!(output.status.success());
        output.stdout
    }

    fn scan(bytes: &[u8], chunk: usize) -> Result<u64, TarError> {
        let mut scan = TarScan::default();
        for part in bytes.chunks(chunk) {
            scan.feed(part)?;
        }
        scan.finish().map(|()| scan.entries)
    }

    #[test]
    fn a_whole_archive_ends_well_however_it_is_cut_into_chunks() {
        for format in ["gnu", "ustar", "posix", "v7"] {
            if format == "v7" || format == "ustar" {
                continue; // they cannot hold the long name
            }
            let bytes = archive(format);
            for chunk in [1, 7, 511, 512, 513, 4_096, bytes.len()] {
                assert_eq!(scan(&bytes, chunk), Ok(7), "{format}, chunks of {chunk}");
            }
        }
    }

    #[test]
    fn a_truncated_stream_never_succeeds() {
        let bytes = archive("gnu");
        let marker = bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
        let first_good = marker.next_multiple_of(BLOCK) + 2 * BLOCK;
        for end in (0..first_good).step_by(64) {
            assert!(scan(&bytes[..end], 4_096).is_err(), "cut at {end} of {}", bytes.len());
        }
    }

    #[test]
    fn a_stream_cut_inside_a_file_of_zeros_is_not_an_end() {
        let bytes = archive("gnu");
        let body = bytes.windows(4_096).position(|window| window.iter().all(|&b| b == 0)).unwrap();
        let cut = body.next_multiple_of(BLOCK) + 2 * BLOCK;
        assert!(bytes[cut - 2 * BLOCK..cut].iter().all(|&byte| byte == 0));
        assert!(matches!(scan(&bytes[..cut], 512), Err(TarError::NoEnd { .. })));
    }

    #[test]
    fn words_on_standard_output_are_not_an_archive() {
        let words = b"sh: tar: not found\n".repeat(64);
        assert_eq!(scan(&words, 100), Err(TarError::NotTar { at: 0 }));
    }

    #[test]
    fn an_archive_of_nothing_is_not_a_success() {
        assert_eq!(scan(&[0; 10_240], 512), Err(TarError::Empty));
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let mut bytes = archive("gnu");
        bytes.extend_from_slice(&[b'x'; 512]);
        assert_eq!(scan(&bytes, 4_096), Err(TarError::AfterEnd));
    }

    #[test]
    fn large_sizes_are_read_in_both_forms() {
        assert_eq!(number(b"77777777777\0"), Some(8 * 1024 * 1024 * 1024 - 1));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(8 * 1024 * 1024 * 1024));
        assert_eq!(pax_size(b"20 size=10000000000\n11 path=ab\n"), Some(10_000_000_000));
    }
}
