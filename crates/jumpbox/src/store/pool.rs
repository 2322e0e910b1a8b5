//! The memory that parts lie in. A session has so many parts and not one more, whether they are being filled or under
//! way. All of it is taken when the box starts: a machine that is too small fails before the first byte, and a large
//! session takes what a small one takes.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All parts of a session.
#[derive(Clone, Debug)]
pub(crate) struct PartPool {
    parts: usize,
    part_bytes: usize,
    slots: Arc<Semaphore>,
    spare: Spare,
}

type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

/// One part's memory; back in the pool when the last [`Bytes`] made of it is dropped.
#[derive(Debug)]
pub(crate) struct PartBuffer {
    bytes: Vec<u8>,
    pool: PartPool,
    slot: Slot,
}

/// The right to one part. It ends with the part's upload: a connection that died may keep the bytes for longer, and nobody
/// waits for that.
#[derive(Debug, Default)]
pub(crate) struct Slot(#[allow(dead_code)] Option<OwnedSemaphorePermit>);

impl PartPool {
    pub(crate) fn new(parts: usize, part_bytes: usize) -> Self {
        let spare = (0..parts).map(|_| touched(part_bytes)).collect();
        Self { parts, part_bytes, slots: Arc::new(Semaphore::new(parts)), spare: Arc::new(Mutex::new(spare)) }
    }

    /// Gives the memory back that no part lies in: the session has no use for it any more.
    pub(crate) fn release(&self) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits until one more part may begin.
    pub(crate) fn take(&self) -> impl Future<Output = PartBuffer> + Send + use<> {
        let pool = self.clone();
        async move {
            // The semaphore is never closed, so there is always a permit at last.
            let slot = Slot(Arc::clone(&pool.slots).acquire_owned().await.ok());
            let bytes = pool.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
            // None is spare while a dead connection keeps one.
            let bytes = bytes.unwrap_or_else(|| touched(pool.part_bytes));
            PartBuffer { bytes, pool, slot }
        }
    }
}

/// Memory that is there: pages that are never written to are only promised.
fn touched(bytes: usize) -> Vec<u8> {
    let mut memory = vec![1; bytes];
    memory.clear();
    memory
}

impl PartBuffer {
    /// Bytes that it has room for.
    pub(crate) fn room(&self) -> usize {
        self.pool.part_bytes - self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds at most [`PartBuffer::room`] bytes.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.room(), "a part never grows past its memory");
        self.bytes.extend_from_slice(bytes);
    }

    /// As what is sent, and the right to send it.
    pub(crate) fn freeze(mut self) -> (Bytes, Slot) {
        let slot = std::mem::take(&mut self.slot);
        (Bytes::from_owner(self), slot)
    }
}

impl AsRef<[u8]> for PartBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PartBuffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut spare = self.pool.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < self.pool.parts {
            spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_part_begins_only_when_another_is_done_and_takes_its_memory() {
        let pool = PartPool::new(1, 8);
        let mut part = pool.take().await;
        part.extend(b"12345678");
        assert_eq!(part.room(), 0);
        let place = part.as_ref().as_ptr();
        let (body, slot) = part.freeze();
        assert_eq!(body, &b"12345678"[..]);
        drop(body);
        assert!(pool.take().now_or_never().is_none(), "the upload is still under way");
        drop(slot);
        let again = pool.take().now_or_never().unwrap();
        assert!(again.is_empty() && again.room() == 8);
        assert_eq!(again.as_ref().as_ptr(), place);
    }

    #[tokio::test]
    async fn what_a_dead_connection_keeps_holds_nobody_up() {
        let pool = PartPool::new(1, 8);
        let (kept, slot) = pool.take().await.freeze();
        drop(slot);
        let other = pool.take().now_or_never().unwrap();
        drop((kept, other));
        assert_eq!(pool.spare.lock().unwrap().len(), 1);
    }
}
