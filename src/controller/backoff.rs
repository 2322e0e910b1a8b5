//! How long to wait before trying again: exponential, bounded, spread by jitter.
//!
//! The jitter comes from a seed and not from a random generator, so that `plan` stays a pure function and a test
//! of it says the same thing twice.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

/// A first wait, and the longest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// The same with a first wait that is `factor` times as long.
    #[must_use]
    pub fn stretched(self, factor: u32) -> Self {
        Self { first: self.first.saturating_mul(factor).min(self.longest), ..self }
    }

    /// The wait after `failures` in a row (from 1): doubled each time, then spread over 75% to 125%.
    pub fn delay(self, failures: u32, seed: &str) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let delay = self.first.saturating_mul(1 << doublings).min(self.longest);
        let mut hasher = DefaultHasher::new();
        (seed, failures).hash(&mut hasher);
        let percent = 75 + u32::try_from(hasher.finish() % 51).unwrap_or(0);
        delay * percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(10), longest: Duration::from_mins(5) };

    #[test]
    fn waits_double_and_stay_within_bounds() {
        let waits: Vec<u64> = (1..=10).map(|failures| BACKOFF.delay(failures, "uid").as_secs()).collect();
        assert!((7..=12).contains(&waits[0]), "{waits:?}");
        assert!((15..=25).contains(&waits[1]), "{waits:?}");
        assert!(waits.iter().all(|&wait| wait <= 375), "{waits:?}");
    }

    #[test]
    fn two_objects_do_not_wait_alike() {
        let waits: Vec<Duration> = (0..20).map(|n| BACKOFF.delay(3, &format!("uid-{n}"))).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
