//! Measures one artifact: how many of its files look encrypted, and a sample by which two runs are compared.

use aws_lc_rs::digest::{Context, SHA256, digest};
use drawbridge_protocol::{SourceMeasures, measures::SampledFile};

/// Of so many bytes ...
const STRIDE: u64 = 64 << 10;
/// ... so many from the first on are looked at. That is enough for what is compressed or encrypted, and leaves the box time.
const LOOK: usize = 4 << 10;
/// With fewer bytes nothing can be said.
const LEAST: usize = 256;

/// Measures one artifact.
#[derive(Default)]
pub(super) struct Gauge {
    measures: SourceMeasures,
    file: Option<File>,
}

/// The file at hand.
struct File {
    path: u32,
    bytes: u64,
    content: Context,
    counts: Box<[u32; 256]>,
    /// Bytes in `counts`.
    looked: usize,
    windows: u64,
    dense: u64,
    head_dense: bool,
}

impl Gauge {
    pub(super) fn begin(&mut self, path: &[u8]) {
        let [p0, p1, p2, p3, ..] = *digest(&SHA256, path).as_ref() else { return };
        self.file = Some(File {
            path: u32::from_be_bytes([p0, p1, p2, p3]),
            bytes: 0,
            content: Context::new(&SHA256),
            counts: Box::new([0; 256]),
            looked: 0,
            windows: 0,
            dense: 0,
            head_dense: false,
        });
    }

    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        while !bytes.is_empty() {
            let place = usize::try_from(file.bytes % STRIDE).unwrap_or(0);
            let piece;
            if place < LOOK {
                (piece, bytes) = bytes.split_at(bytes.len().min(LOOK - place));
                file.look(piece);
            } else {
                let skip = usize::try_from(STRIDE).unwrap_or(usize::MAX) - place;
                (piece, bytes) = bytes.split_at(bytes.len().min(skip));
            }
            file.bytes += piece.len() as u64;
        }
    }

    pub(super) fn end(&mut self) {
        let Some(mut file) = self.file.take() else { return };
        if file.bytes == 0 {
            return;
        }
        file.close_window();
        self.measures.files += 1;
        self.measures.bytes += file.bytes;
        if file.windows == 0 {
            return;
        }
        self.measures.measured += 1;
        // Some ransomware encrypts a file's beginning alone, or every other piece: both spoil the file.
        self.measures.dense += u64::from(file.head_dense || file.dense * 2 >= file.windows);
        file.content.update(&file.bytes.to_be_bytes());
        if let [c0, c1, ..] = *file.content.finish().as_ref() {
            self.measures.sample.add(SampledFile { path: file.path, content: u16::from_be_bytes([c0, c1]) });
        }
    }

    /// What the artifact came to.
    pub(super) fn measures(&mut self) -> SourceMeasures {
        let measures = std::mem::take(&mut self.measures);
        SourceMeasures { artifacts: 1, ..measures }
    }
}

impl File {
    fn look(&mut self, piece: &[u8]) {
        self.content.update(piece);
        for byte in piece {
            self.counts[usize::from(*byte)] += 1;
        }
        self.looked += piece.len();
        if self.looked == LOOK {
            self.close_window();
        }
    }

    fn close_window(&mut self) {
        if self.looked >= LEAST {
            let dense = is_dense(&self.counts, self.looked as u64);
            self.head_dense |= dense && self.windows == 0;
            self.windows += 1;
            self.dense += u64::from(dense);
        }
        self.counts.fill(0);
        self.looked = 0;
    }
}

/// Whether bytes are as even as random ones: the chance that two of them are equal is 1/256 for random bytes, four times
/// that for base64, a dozen times for text. Half as much again is let pass, since few bytes scatter.
fn is_dense(counts: &[u32; 256], total: u64) -> bool {
    let equal: u64 =
        counts.iter().map(|count| u64::from(*count)).map(|count| count * count.saturating_sub(1)).sum();
    equal * 256 * 2 <= total * (total - 1) * 3
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    fn random(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        bytes
    }

    fn measure(files: &[(&str, &[u8])], step: usize) -> SourceMeasures {
        let mut gauge = Gauge::default();
        for (path, bytes) in files {
            gauge.begin(path.as_bytes());
            bytes.chunks(step).for_each(|piece| gauge.take(piece));
            gauge.end();
        }
        gauge.measures()
    }

    fn dense(bytes: &[u8]) -> bool {
        measure(&[("x", bytes)], 1 << 20).dense == 1
    }

    #[test]
    fn random_bytes_are_dense_at_any_length_that_is_measured() {
        for seed in 0..400 {
            for length in [256, 300, 1000, 4096, 70_000] {
                assert!(dense(&random(seed, length)), "seed {seed}, {length} bytes");
            }
        }
    }

    #[test]
    fn text_base64_and_programs_are_not_dense() {
        let text = "key: value\nother: 17\n".repeat(300);
        assert!(!dense(text.as_bytes()));
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for length in [256, 4096] {
            let base64: Vec<u8> =
                random(1, length).iter().map(|byte| alphabet[usize::from(byte % 64)]).collect();
            assert!(!dense(&base64), "{length}");
        }
        let program = std::fs::read("/proc/self/exe").unwrap();
        assert!(!dense(&program));
    }

    #[test]
    fn a_file_whose_beginning_or_every_other_piece_is_encrypted_is_dense() {
        let text = "plain text all the way, line after line\n".repeat(20_000).into_bytes();
        assert!(!dense(&text));
        let mut head = text.clone();
        head[..4096].copy_from_slice(&random(7, 4096));
        assert!(dense(&head));
        let mut pieces = text[..12 * (64 << 10)].to_vec();
        for (index, piece) in pieces.chunks_mut(64 << 10).enumerate() {
            if index % 2 == 1 {
                let length = piece.len();
                piece.copy_from_slice(&random(index as u64, length));
            }
        }
        assert!(dense(&pieces));
    }

    #[test]
    fn what_is_measured_does_not_depend_on_the_chunks() {
        let (one, two) = (random(3, 200_000), "a: b\n".repeat(40_000).into_bytes());
        let files: [(&str, &[u8]); 4] = [("one", &one), ("two", &two), ("small", b"tiny"), ("empty", b"")];
        let whole = measure(&files, 1 << 20);
        assert_eq!((whole.files, whole.measured, whole.dense), (3, 2, 1));
        assert_eq!(whole.bytes, 400_004);
        assert_eq!(whole.sample.files().len(), 2);
        for step in [1, 7, 4096, 4097, 65_536] {
            assert_eq!(measure(&files, step), whole, "{step}");
        }
    }
}
