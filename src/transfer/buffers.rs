//! The memory that compressed pieces lie in. A connection takes all that it may hold when its first artifact begins, and uses
//! it again for every piece after: a large artifact takes what a small one takes.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use drawbridge_protocol::upload::MAX_DATA;

/// Buffers of [`MAX_DATA`] bytes.
#[derive(Clone, Debug)]
pub(super) struct Buffers {
    /// What is kept for later; more than that goes back to the system.
    count: usize,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// One of them; back with the others when the last [`Bytes`] made of it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    home: Buffers,
}

impl Buffers {
    pub(super) fn new(count: usize) -> Self {
        let spare = (0..count).map(|_| touched()).collect();
        Self { count, spare: Arc::new(Mutex::new(spare)) }
    }

    /// A spare one; if there is none, one more.
    pub(super) fn take(&self) -> Buffer {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = spare.unwrap_or_else(|| Vec::with_capacity(MAX_DATA));
        Buffer { bytes, home: self.clone() }
    }
}

/// Memory that is there: pages that are never written to are only promised.
fn touched() -> Vec<u8> {
    let mut memory = vec![1; MAX_DATA];
    memory.clear();
    memory
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes of `bytes` what it has room for, and says how much.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let take = bytes.len().min(MAX_DATA - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..take]);
        take
    }

    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut spare = self.home.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < self.home.count {
            spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare(buffers: &Buffers) -> usize {
        buffers.spare.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    #[test]
    fn a_buffer_comes_back_with_the_last_of_its_bytes_and_empty() {
        let buffers = Buffers::new(1);
        let mut buffer = buffers.take();
        assert_eq!(buffer.fill(b"twelve bytes"), 12);
        let bytes = buffer.freeze();
        let part = bytes.slice(7..);
        drop(bytes);
        assert_eq!((spare(&buffers), &part[..]), (0, &b"bytes"[..]));
        drop(part);
        assert_eq!((spare(&buffers), buffers.take().len()), (1, 0));
    }

    #[test]
    fn there_is_always_one_more_but_no_more_are_kept_than_there_were() {
        let buffers = Buffers::new(2);
        let taken = [buffers.take(), buffers.take(), buffers.take()];
        assert_eq!(spare(&buffers), 0);
        drop(taken);
        assert_eq!(spare(&buffers), 2);
    }

    #[test]
    fn a_full_buffer_takes_nothing() {
        let mut buffer = Buffers::new(1).take();
        assert_eq!(buffer.fill(&vec![7; MAX_DATA + 5]), MAX_DATA);
        assert_eq!((buffer.fill(b"more"), buffer.len()), (0, MAX_DATA));
    }
}
