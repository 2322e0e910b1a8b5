//! What a session may hold of bytes under way, shared by its connections.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use drawbridge_protocol::upload::MAX_DATA;

/// The most unacknowledged bytes that a session holds, whatever the box offers: this is our memory.
const SESSION_WINDOW: u64 = 4 << 20;

/// One connection's part of it: what the session has, by the connections that there are now. When one is done, the
/// others have more.
#[derive(Debug)]
pub struct Share(Arc<AtomicU64>);

impl Share {
    /// All of it, for a connection alone.
    pub fn whole() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    /// For so many connections of one session.
    pub fn among(connections: usize) -> Vec<Self> {
        let count = Arc::new(AtomicU64::new(connections as u64));
        (0..connections).map(|_| Self(Arc::clone(&count))).collect()
    }

    /// Bytes, a frame at the least.
    pub(super) fn bytes(&self) -> u64 {
        (SESSION_WINDOW / self.0.load(Ordering::Relaxed).max(1)).max(MAX_DATA as u64)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_left_has_what_the_others_gave_back() {
        let mut shares = Share::among(4);
        assert!(shares.iter().all(|share| share.bytes() == SESSION_WINDOW / 4));
        shares.truncate(1);
        assert_eq!(shares[0].bytes(), SESSION_WINDOW);
        assert_eq!(Share::among(1_000)[0].bytes(), MAX_DATA as u64);
        assert_eq!(Share::whole().bytes(), SESSION_WINDOW);
    }
}
