//! Bytes of all artifacts that wait to be looked at and cut. Each artifact's window bounds its own; clients of ours share
//! one window among their connections, and for who does not there is this bound: past it nothing more is read.

use std::sync::Arc;

use tokio::sync::watch;

/// The window of an artifact, which is all that a session of ours ever has under way.
const MAX: u64 = 4 << 20;

/// A session's; a clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Backlog(Arc<watch::Sender<u64>>);

/// Bytes in the backlog, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    backlog: Backlog,
    bytes: u64,
}

impl Default for Backlog {
    fn default() -> Self {
        Self(Arc::new(watch::channel(0).0))
    }
}

impl Backlog {
    /// Adds bytes that have come already.
    pub(crate) fn add(&self, bytes: u64) -> Waiting {
        self.0.send_modify(|waiting| *waiting += bytes);
        Waiting { backlog: self.clone(), bytes }
    }

    /// Waits until there is room for more. What is in the backlog goes on without anybody's help.
    pub(crate) async fn room(&self) {
        // The sender is ours, so there is always somebody to wait for.
        let _ = self.0.subscribe().wait_for(|waiting| *waiting < MAX).await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.backlog.0.send_modify(|waiting| *waiting -= self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn past_the_bound_there_is_room_when_something_is_done_with() {
        let backlog = Backlog::default();
        let first = backlog.add(MAX - 1);
        assert!(backlog.room().now_or_never().is_some());
        let second = backlog.add(1);
        assert!(backlog.room().now_or_never().is_none());
        drop(first);
        assert!(backlog.room().now_or_never().is_some());
        drop(second);
    }
}
