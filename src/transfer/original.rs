//! What an artifact was before someone else compressed it.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use drawbridge_protocol::Sha256;

/// Counted by whoever looks into a compressed source as it passes; read by whoever sends it.
#[derive(Debug, Default)]
pub struct Original {
    so_far: AtomicU64,
    settled: OnceLock<(u64, Sha256)>,
}

impl Original {
    /// So many bytes more were found in it.
    pub fn read(&self, bytes: u64) {
        self.so_far.fetch_add(bytes, Relaxed);
    }

    /// The source is whole: its bytes and their digest. To be said before the source ends.
    pub fn settle(&self, bytes: u64, sha256: Sha256) {
        // Said twice, the first counts; there is one writer.
        let _ = self.settled.set((bytes, sha256));
    }

    /// Bytes that were found so far.
    pub fn so_far(&self) -> u64 {
        self.so_far.load(Relaxed)
    }

    /// Bytes and digest, once the source was found whole.
    pub fn settled(&self) -> Option<&(u64, Sha256)> {
        self.settled.get()
    }
}
