//! Virtual time. It stands still while anything can run and jumps to the next sleeper when nothing can.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

/// When every run begins.
const EPOCH: i64 = 1_795_000_000;

#[derive(Default)]
struct Inner {
    now: Duration,
    next: u64,
    sleepers: BTreeMap<(Duration, u64), Waker>,
}

/// The clock of one run.
#[derive(Clone, Default)]
pub(crate) struct Time(Arc<Mutex<Inner>>);

impl Time {
    /// Since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().now
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_second(EPOCH).unwrap() + SignedDuration::try_from(self.elapsed()).unwrap()
    }

    pub(crate) fn since_start(at: Timestamp) -> Duration {
        let since = at.duration_since(Timestamp::from_second(EPOCH).unwrap());
        Duration::try_from(since).unwrap_or_default()
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.elapsed() + duration)
    }

    pub(crate) fn sleep_until(&self, at: Duration) -> Sleep {
        let mut inner = self.0.lock().unwrap();
        inner.next += 1;
        Sleep { time: self.clone(), key: (at, inner.next) }
    }

    /// A runtime whose idle moments move this clock. One thread, so the same run twice is the same run.
    pub(crate) fn runtime(&self) -> tokio::runtime::Runtime {
        let time = self.clone();
        tokio::runtime::Builder::new_current_thread().on_thread_park(move || time.jump()).build().unwrap()
    }

    /// Wakes the next sleeper, the oldest of those that sleep until the same moment.
    fn jump(&self) {
        let waker = {
            let mut inner = self.0.lock().unwrap();
            let Some(((at, _), waker)) = inner.sleepers.pop_first() else { return };
            inner.now = inner.now.max(at);
            waker
        };
        waker.wake();
    }
}

/// Ends at its time.
pub(crate) struct Sleep {
    time: Time,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.time.0.lock().unwrap();
        if inner.now >= self.key.0 {
            return Poll::Ready(());
        }
        inner.sleepers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.time.0.lock().unwrap().sleepers.remove(&self.key);
    }
}
