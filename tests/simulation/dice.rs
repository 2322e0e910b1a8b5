//! Chance from a seed: `SplitMix64`, <https://prng.di.unimi.it/splitmix64.c>. Small, and the same everywhere.

use std::{sync::Mutex, time::Duration};

pub(crate) struct Dice(Mutex<u64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 0x5DEE_CE66))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// So many times in a thousand.
    pub(crate) fn per_mille(&self, chance: u64) -> bool {
        self.next() % 1000 < chance
    }

    pub(crate) fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    pub(crate) fn seconds(&self, low: u64, high: u64) -> Duration {
        self.millis(low * 1000, high * 1000)
    }

    pub(crate) fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[usize::try_from(self.next() % from.len() as u64).unwrap()]
    }
}
