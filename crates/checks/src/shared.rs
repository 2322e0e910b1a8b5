//! What the artifacts of one session share: how much may come out of all of them, and the memory for names.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use crate::unpack::Spare;

/// Digests of names that a session keeps at once, 8 bytes each: 4 MiB.
const NAMES: usize = 1 << 19;
/// Digests of symbolic links: 2 MiB. Apart from the names, which may all be taken by one large artifact.
const LINKS: usize = 1 << 18;

/// One session's allowance; a clone is the same one.
#[derive(Clone, Debug)]
pub struct Shared {
    max_original: u64,
    original: Arc<AtomicU64>,
    pub(crate) names: Slots,
    pub(crate) links: Slots,
    pub(crate) spare: Spare,
}

impl Shared {
    /// An allowance of so many bytes out of all artifacts that are stored or under way.
    pub fn new(max_original: u64) -> Self {
        let (original, names, links) = (Arc::default(), Slots::new(NAMES), Slots::new(LINKS));
        Self { max_original, original, names, links, spare: Spare::default() }
    }

    /// Counts bytes that came out, and says whether they are within the allowance.
    pub(crate) fn count(&self, bytes: u64) -> bool {
        self.original.fetch_add(bytes, Relaxed).saturating_add(bytes) <= self.max_original
    }

    /// Takes back what an artifact counted that is not stored.
    pub(crate) fn uncount(&self, bytes: u64) {
        self.original.fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn max_original(&self) -> u64 {
        self.max_original
    }
}

/// Memory for digests.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Arc<AtomicUsize>);

impl Slots {
    pub(crate) fn new(slots: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(slots)))
    }

    pub(crate) fn take(&self, slots: usize) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(slots)).is_ok()
    }

    pub(crate) fn give(&self, slots: usize) {
        self.0.fetch_add(slots, Relaxed);
    }
}
