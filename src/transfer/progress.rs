//! How far a session's transfer is; written by all of its uploads, read by whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters that only grow, a retransmission not counted twice.
#[derive(Debug, Default)]
pub struct Progress {
    original: AtomicU64,
    sent: AtomicU64,
    artifacts: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Bytes read from sources.
    pub original_bytes: u64,
    /// Compressed bytes that the box answers for.
    pub sent_bytes: u64,
    /// Artifacts that are stored.
    pub artifacts: u64,
}

impl Progress {
    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            original_bytes: self.original.load(Relaxed),
            sent_bytes: self.sent.load(Relaxed),
            artifacts: self.artifacts.load(Relaxed),
        }
    }

    /// So many bytes came from a source.
    pub fn read(&self, bytes: u64) {
        self.original.fetch_add(bytes, Relaxed);
    }

    /// The box answers for so many bytes more.
    pub fn acknowledged(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// One artifact more is stored.
    pub fn stored(&self) {
        self.artifacts.fetch_add(1, Relaxed);
    }
}
