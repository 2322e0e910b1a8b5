//! The bytes that were handed to the connection and are not acknowledged yet: what a resumed upload sends again.

use std::collections::VecDeque;

use bytes::Bytes;

use super::TransferError;

/// Contiguous bytes of one artifact, from the last acknowledged one to the newest.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Everything before it is the box's business.
    base: u64,
    /// Everything before it has been sent over the connection at hand.
    sent: u64,
    /// Everything before it is known here.
    end: u64,
    chunks: VecDeque<Bytes>,
}

impl Window {
    /// Takes new bytes.
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.end += chunk.len() as u64;
        self.chunks.push_back(chunk);
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> u64 {
        self.end - self.base
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// What to send next, and where it begins. It counts as sent.
    pub(super) fn next(&mut self) -> Option<(u64, Bytes)> {
        let mut start = self.base;
        for chunk in &self.chunks {
            let end = start + chunk.len() as u64;
            if end > self.sent {
                let (offset, skip) = (self.sent, usize::try_from(self.sent - start).unwrap_or(0));
                self.sent = end;
                return Some((offset, chunk.slice(skip..)));
            }
            start = end;
        }
        None
    }

    /// The box answers for everything before `offset`. Returns how many bytes that frees.
    pub(super) fn acknowledge(&mut self, offset: u64) -> Result<u64, TransferError> {
        if offset < self.base || offset > self.sent {
            let why =
                format!("it acknowledged byte {offset}, between {} and {} were sent", self.base, self.sent);
            return Err(TransferError::Protocol(why));
        }
        let freed = offset - self.base;
        while let Some(chunk) = self.chunks.front_mut() {
            let past = offset - self.base;
            let len = chunk.len() as u64;
            if past >= len {
                self.base += len;
                self.chunks.pop_front();
            } else {
                // Part of a chunk: what is left of it stays.
                let _ = chunk.split_to(usize::try_from(past).unwrap_or(0));
                self.base += past;
                break;
            }
        }
        Ok(freed)
    }

    /// A new connection goes on at `offset`. That acknowledges nothing: the box has what comes before, but may
    /// still be busy with it, and the window counts from what it is done with.
    pub(super) fn resume(&mut self, offset: u64) -> Result<(), TransferError> {
        if offset < self.base || offset > self.sent {
            let why =
                format!("it goes on at byte {offset}, between {} and {} were sent", self.base, self.sent);
            return Err(TransferError::Protocol(why));
        }
        self.sent = offset;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn window() -> Window {
        let mut window = Window::default();
        window.push(Bytes::from_static(b"01234"));
        window.push(Bytes::from_static(b"56789"));
        window
    }

    #[test]
    fn bytes_are_sent_once_and_in_order() {
        let mut window = window();
        assert_eq!(window.next(), Some((0, Bytes::from_static(b"01234"))));
        assert_eq!(window.next(), Some((5, Bytes::from_static(b"56789"))));
        assert_eq!(window.next(), None);
        assert_eq!(window.acknowledge(5).unwrap(), 5);
        assert_eq!(window.held(), 5);
    }

    #[test]
    fn a_resumed_upload_goes_on_in_the_middle_of_a_chunk() {
        let mut window = window();
        while window.next().is_some() {}
        assert_eq!(window.acknowledge(2).unwrap(), 2);
        window.resume(7).unwrap();
        assert_eq!(window.held(), 8);
        assert_eq!(window.next(), Some((7, Bytes::from_static(b"789"))));
        assert_eq!(window.next(), None);
        window.push(Bytes::from_static(b"abc"));
        assert_eq!(window.next(), Some((10, Bytes::from_static(b"abc"))));
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_is_refused() {
        let mut window = window();
        assert!(window.acknowledge(1).is_err());
        window.next();
        assert!(window.acknowledge(6).is_err());
        window.acknowledge(5).unwrap();
        assert!(window.acknowledge(4).is_err());
        assert!(window.resume(4).is_err());
    }
}
