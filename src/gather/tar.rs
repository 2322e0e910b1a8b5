//! Follows the structure of a tar stream, without keeping it, to know whether it came to its end.
//!
//! Looking for zero bytes at the end is not enough: a stream cut inside a file of zeros ends in zeros too. So every
//! header is read, by the reader that the box has, so that both mean the same by a whole archive.

use drawbridge_checks::{TarFault, TarReader};

/// The longest header of long names that is looked into.
const MAX_HEADER: u64 = 64 << 10;

/// Where the stream is.
#[derive(Debug)]
pub(super) struct TarScan(TarReader);

impl Default for TarScan {
    fn default() -> Self {
        Self(TarReader::new(MAX_HEADER))
    }
}

impl TarScan {
    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), TarFault> {
        self.0.feed(chunk, &mut ())
    }

    /// Whether the end marker has come.
    pub(super) fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    /// Whether the stream may end here.
    pub(super) fn finish(&self) -> Result<(), TarFault> {
        self.0.finish()
    }
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

    const BLOCK: usize = 512;

    fn scan(bytes: &[u8], chunk: usize) -> Result<u64, TarFault> {
        let mut scan = TarScan::default();
        for part in bytes.chunks(chunk) {
            scan.feed(part)?;
        }
        scan.finish().map(|()| scan.0.members())
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
        assert!(matches!(scan(&bytes[..cut], 512), Err(TarFault::NoEnd { .. })));
    }

    #[test]
    fn words_on_standard_output_are_not_an_archive() {
        let words = b"sh: tar: not found\n".repeat(64);
        assert_eq!(scan(&words, 100), Err(TarFault::NotTar { at: 0 }));
    }

    #[test]
    fn an_archive_of_nothing_is_not_a_success() {
        assert_eq!(scan(&[0; 10_240], 512), Err(TarFault::Empty));
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let mut bytes = archive("gnu");
        bytes.extend_from_slice(&[b'x'; 512]);
        assert_eq!(scan(&bytes, 4_096), Err(TarFault::Trailing { at: bytes.len() as u64 - 512 }));
    }
}
