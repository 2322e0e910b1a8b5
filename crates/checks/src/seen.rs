//! Which names came before, in memory that is bounded for the whole session: 64-bit digests under a random key, so that
//! nobody can aim at a collision.

use std::hash::{BuildHasher as _, RandomState};

use crate::shared::Slots;

/// The smallest table.
const FIRST: usize = 1 << 8;

/// A set of names, as digests.
#[derive(Debug)]
pub(crate) struct Seen {
    key: RandomState,
    /// 0 for free; as many as a power of two.
    slots: Vec<u64>,
    used: usize,
    memory: Slots,
}

/// What a name is to the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    New,
    Known,
    /// New, and there is no memory to know it by.
    Unkept,
}

impl Seen {
    pub(crate) fn new(memory: Slots) -> Self {
        Self { key: RandomState::new(), slots: Vec::new(), used: 0, memory }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        let digest = self.digest(name);
        !self.slots.is_empty() && self.slots[self.place(digest)] == digest
    }

    /// Adds a name.
    pub(crate) fn insert(&mut self, name: &[u8]) -> Name {
        let digest = self.digest(name);
        // Three quarters full at most.
        if self.used * 4 >= self.slots.len() * 3 {
            if !self.slots.is_empty() && self.slots[self.place(digest)] == digest {
                return Name::Known;
            }
            if !self.grow() {
                return Name::Unkept;
            }
        }
        let place = self.place(digest);
        if self.slots[place] == digest {
            return Name::Known;
        }
        self.slots[place] = digest;
        self.used += 1;
        Name::New
    }

    fn digest(&self, name: &[u8]) -> u64 {
        self.key.hash_one(name).max(1)
    }

    /// Where the digest is, or would go.
    fn place(&self, digest: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = usize::try_from(digest & mask as u64).unwrap_or(0);
        while self.slots[place] != 0 && self.slots[place] != digest {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) -> bool {
        let more = if self.slots.is_empty() { FIRST } else { self.slots.len() };
        if !self.memory.take(more) {
            return false;
        }
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![0; old.len() + more];
        for digest in old.into_iter().filter(|digest| *digest != 0) {
            let place = self.place(digest);
            self.slots[place] = digest;
        }
        true
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.memory.give(self.slots.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_once_it_came() {
        let mut seen = Seen::new(Slots::new(1 << 16));
        for name in 0..10_000_u32 {
            assert!(!seen.contains(&name.to_le_bytes()));
            assert_eq!(seen.insert(&name.to_le_bytes()), Name::New);
        }
        for name in 0..10_000_u32 {
            assert_eq!(seen.insert(&name.to_le_bytes()), Name::Known);
        }
        assert!(!seen.contains(b"other"));
    }

    #[test]
    fn a_session_s_names_take_no_more_memory_than_it_has() {
        let memory = Slots::new(1 << 12);
        let (mut first, mut second) = (Seen::new(memory.clone()), Seen::new(memory));
        let kept = (0..100_000_u32).take_while(|n| first.insert(&n.to_le_bytes()) != Name::Unkept).count();
        assert_eq!(kept, (1 << 12) / 4 * 3);
        assert_eq!(first.insert(&0_u32.to_le_bytes()), Name::Known);
        assert_eq!(second.insert(b"x"), Name::Unkept);
        drop(first);
        assert_eq!(second.insert(b"x"), Name::New);
    }
}
