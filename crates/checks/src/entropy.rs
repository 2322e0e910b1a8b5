//! Counts what looks encrypted: bytes so evenly spread that only encryption or compression makes them, in entries that
//! do not begin as a compressed file does.
//!
//! Chi-square against an even spread, rather than Shannon entropy: its value for random bytes, 255 give or take 23, is the
//! same for 1 KiB and 64 KiB, so one threshold serves small files and large ones. Of a large entry one page in four is
//! counted: that is enough to tell, and counting costs as much as hashing.

/// Bytes that are judged together.
const WINDOW: usize = 64 << 10;
/// Fewer bytes than this say nothing.
const LEAST: usize = 1 << 10;
/// Bytes that are counted or left out together.
const PAGE: usize = 4 << 10;
/// Pages at an entry's beginning that are all counted.
const FIRST: u64 = 4;
/// Six standard deviations above what random bytes have. Text lies in the thousands, base64 at three a byte.
const EVEN: u64 = 400;
/// As many first bytes as any compressed format needs to be told.
const HEAD: usize = 12;

/// What one entry came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) bytes: u64,
    /// Of them, those in windows that are spread evenly.
    pub(crate) even: u64,
    /// It begins as a compressed file does.
    pub(crate) packed: bool,
}

/// Counts the bytes of one entry at a time.
pub(crate) struct Meter {
    /// Four tables, so that runs of one byte do not wait for each other.
    counts: Box<[[u32; 256]; 4]>,
    counted: usize,
    /// Bytes of the window at hand, counted or not.
    window: usize,
    /// What the window before was.
    was_even: bool,
    head: [u8; HEAD],
    spread: Spread,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            counts: Box::new([[0; 256]; 4]),
            counted: 0,
            window: 0,
            was_even: false,
            head: [0; HEAD],
            spread: Spread::default(),
        }
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        if self.spread.bytes < HEAD as u64 {
            let known = usize::try_from(self.spread.bytes).unwrap_or(HEAD);
            for (place, byte) in self.head[known..].iter_mut().zip(bytes) {
                *place = *byte;
            }
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PAGE - self.window % PAGE));
            if is_counted(self.spread.bytes / PAGE as u64) {
                self.count(now);
            }
            self.window += now.len();
            self.spread.bytes += now.len() as u64;
            bytes = later;
            if self.window == WINDOW {
                self.judge();
            }
        }
    }

    /// What the entry came to; the next one begins.
    pub(crate) fn end(&mut self) -> Spread {
        self.judge();
        self.was_even = false;
        let mut spread = std::mem::take(&mut self.spread);
        spread.packed = is_packed(&self.head);
        self.head = [0; HEAD];
        spread
    }

    fn count(&mut self, bytes: &[u8]) {
        let [a, b, c, d] = &mut *self.counts;
        let mut fours = bytes.chunks_exact(4);
        for four in &mut fours {
            a[usize::from(four[0])] += 1;
            b[usize::from(four[1])] += 1;
            c[usize::from(four[2])] += 1;
            d[usize::from(four[3])] += 1;
        }
        for byte in fours.remainder() {
            a[usize::from(*byte)] += 1;
        }
        self.counted += bytes.len();
    }

    fn judge(&mut self) {
        let window = std::mem::take(&mut self.window) as u64;
        let total = std::mem::take(&mut self.counted) as u64;
        let [a, b, c, d] = &mut *self.counts;
        let mut squares = 0_u64;
        for (((a, b), c), d) in a.iter_mut().zip(b.iter_mut()).zip(c.iter_mut()).zip(d.iter_mut()) {
            let count =
                u64::from(std::mem::take(a) + std::mem::take(b) + std::mem::take(c) + std::mem::take(d));
            squares += count * count;
        }
        // A short end is as what came before it.
        if total >= LEAST as u64 {
            self.was_even = (256 * squares / total).saturating_sub(total) < EVEN;
        }
        if self.was_even {
            self.spread.even += window;
        }
    }
}

/// Whether an entry's page is counted: one of each four, in no order that a block size would fall in step with.
fn is_counted(page: u64) -> bool {
    page < FIRST || page % 4 == (page / 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62
}

/// Whether a file that begins so is compressed by its format. Encrypted containers are not among them.
fn is_packed(head: &[u8; HEAD]) -> bool {
    const BEGINNINGS: &[&[u8]] = &[
        b"\x1f\x8b",           // gzip
        b"\x1f\x9d",           // compress
        b"\x28\xb5\x2f\xfd",   // zstd
        b"\xfd7zXZ\0",         // xz
        b"BZh",                // bzip2
        b"\x04\x22\x4d\x18",   // lz4
        b"PK\x03\x04",         // zip and what is one: jar, docx, apk
        b"7z\xbc\xaf\x27\x1c", // 7z
        b"Rar!\x1a\x07",       // rar
        b"\x89PNG",            // png
        b"\xff\xd8\xff",       // jpeg
        b"GIF8",               // gif
        b"OggS",               // ogg
        b"fLaC",               // flac
        b"ID3",                // mp3
        b"\x1a\x45\xdf\xa3",   // matroska
        b"wOFF",               // web fonts
        b"wOF2",               //
        b"%PDF",               // pdf
        b"PAR1",               // parquet
        b"\xed\xab\xee\xdb",   // rpm
        b"LPKSHHRH",           // systemd's journal, whose fields are compressed
    ];
    let boxed = &head[4..8] == b"ftyp" || (head.starts_with(b"RIFF") && &head[8..12] == b"WEBP");
    boxed || BEGINNINGS.iter().any(|beginning| head.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as a good cipher makes them.
    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut out = Vec::with_capacity(len + 8);
        while out.len() < len {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            out.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
        }
        out.truncate(len);
        out
    }

    fn spread(bytes: &[u8], step: usize) -> Spread {
        let mut meter = Meter::new();
        meter.feed(b"an entry before");
        meter.end();
        for chunk in bytes.chunks(step) {
            meter.feed(chunk);
        }
        meter.end()
    }

    #[test]
    fn random_bytes_are_even_in_small_files_and_in_large_ones() {
        for size in [1_024, 5_000, WINDOW, 3 * WINDOW + 2_000] {
            for seed in 0..200 {
                let got = spread(&noise(size, seed), 4_096);
                assert_eq!((got.even, got.bytes), (size as u64, size as u64), "size {size}, seed {seed}");
            }
        }
    }

    #[test]
    fn text_numbers_and_base64_are_not() {
        let text = b"2026-01-01T00:00:00Z GET /index.html 200 some words\n".repeat(100);
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let base64: Vec<u8> = noise(5_000, 1).iter().map(|byte| letters[usize::from(byte % 64)]).collect();
        let counters: Vec<u8> = (0..2_000_u32).flat_map(u32::to_le_bytes).collect();
        for bytes in [text, base64, counters, vec![0; 5_000], noise(LEAST - 1, 1)] {
            assert_eq!(spread(&bytes, 1_000).even, 0, "{:?}", &bytes[..8]);
        }
    }

    #[test]
    fn a_compressed_file_is_told_by_its_beginning_whatever_the_chunks() {
        let gzip = [&b"\x1f\x8b\x08"[..], &noise(9_000, 2)].concat();
        let mp4 = [&b"\0\0\0\x20ftypisom"[..], &noise(9_000, 2)].concat();
        for step in [1, 5, 9_000] {
            assert!(spread(&gzip, step).packed && spread(&mp4, step).packed, "chunks of {step}");
            assert!(!spread(&noise(9_000, 3), step).packed);
            assert!(!spread(&[&b"Salted__"[..], &noise(9_000, 3)].concat(), step).packed);
        }
    }
}
