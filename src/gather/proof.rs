//! Proves that a compressed archive is a whole one, beside its stream.
//!
//! The compressed bytes pass through as they are; a thread of its own decompresses a second view of the same memory,
//! follows the archive's structure, and counts and hashes what was in it. Nothing of it is kept.

use std::{
    io::{self, Write},
    sync::Arc,
};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use drawbridge_protocol::{Sha256, checks::WINDOW_LOG};
use tokio::{sync::mpsc, task::JoinHandle};

use super::tar::TarScan;
use crate::transfer::Original;

/// Chunks that may wait for the thread; the stream waits when it falls behind.
const DEPTH: usize = 4;

/// A thread that looks into an archive as it passes.
pub(super) struct Proof {
    feed: mpsc::Sender<Bytes>,
    result: JoinHandle<Result<(), String>>,
    pub(super) original: Arc<Original>,
}

impl Proof {
    pub(super) fn start() -> Self {
        let (feed, chunks) = mpsc::channel(DEPTH);
        let original = Arc::new(Original::default());
        let counted = Arc::clone(&original);
        let result = tokio::task::spawn_blocking(move || prove(chunks, &counted));
        Self { feed, result, original }
    }

    /// Shows the next bytes. What is wrong with them is said at the end.
    pub(super) async fn show(&self, bytes: Bytes) {
        // The thread is gone when it has seen enough; its result says what.
        let _ = self.feed.send(bytes).await;
    }

    /// Whether what was shown was one whole archive; then [`Proof::original`] is settled.
    pub(super) async fn finish(self) -> Result<(), String> {
        drop(self.feed);
        self.result.await.map_err(|error| format!("the archive could not be checked: {error}"))?
    }
}

fn prove(mut chunks: mpsc::Receiver<Bytes>, original: &Original) -> Result<(), String> {
    let look = Look { scan: TarScan::default(), digest: Context::new(&SHA256), bytes: 0, original };
    let damaged = |error: io::Error| format!("the compressed archive is damaged: {error}");
    let mut decoder = zstd::stream::write::Decoder::new(look).map_err(damaged)?;
    decoder.window_log_max(WINDOW_LOG).map_err(damaged)?;
    while let Some(chunk) = chunks.blocking_recv() {
        decoder.write_all(&chunk).map_err(damaged)?;
    }
    decoder.flush().map_err(damaged)?;
    let Look { scan, digest, bytes, .. } = decoder.into_inner();
    scan.finish().map_err(|error| error.to_string())?;
    original.settle(bytes, Sha256::from_digest(&digest.finish()));
    Ok(())
}

/// Takes decompressed bytes.
struct Look<'a> {
    scan: TarScan,
    digest: Context,
    bytes: u64,
    original: &'a Original,
}

impl Write for Look<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.scan
            .feed(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.original.read(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// An archive of one file, and its compressed form.
    fn archive() -> (Vec<u8>, Vec<u8>) {
        let output = std::process::Command::new("tar")
            .args(["-c", "-f", "-", "-C", env!("CARGO_MANIFEST_DIR"), "Cargo.toml"])
            .output()
            .unwrap();
        assert!(output.status.success());
        // With a checksum, as the program `zstd` writes it.
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(&output.stdout).unwrap();
        (output.stdout, encoder.finish().unwrap())
    }

    async fn proved(bytes: &[u8], chunk: usize) -> (Result<(), String>, Option<(u64, Sha256)>) {
        let proof = Proof::start();
        let original = Arc::clone(&proof.original);
        for part in bytes.chunks(chunk) {
            proof.show(Bytes::copy_from_slice(part)).await;
        }
        (proof.finish().await, original.settled().cloned())
    }

    #[tokio::test]
    async fn a_whole_archive_is_counted_and_hashed_as_it_was() {
        let (tar, packed) = archive();
        let (result, settled) = proved(&packed, 1_000).await;
        result.unwrap();
        assert_eq!(settled, Some((tar.len() as u64, Sha256::of(&tar))));
    }

    #[tokio::test]
    async fn half_an_archive_and_something_else_prove_nothing() {
        let (tar, packed) = archive();
        let half = zstd::stream::encode_all(&tar[..1_024], 3).unwrap();
        let words = zstd::stream::encode_all(&b"tar: not found\n".repeat(100)[..], 3).unwrap();
        let mut flipped = packed.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0xff;
        for bytes in [&packed[..packed.len() / 2], &half[..], &words[..], &flipped[..]] {
            let (result, settled) = proved(bytes, 512).await;
            assert!(result.is_err());
            assert_eq!(settled, None);
        }
    }
}
