//! What may go wrong at an external call, and how often in one run.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use crate::{dice::Dice, time::Time};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// An error, and nothing was done.
    ErrorBefore,
    /// It was done, and an error comes back.
    ErrorAfter,
    /// It was done, and no answer comes until the caller's patience ends.
    LostAnswer,
    /// No answer, and it is done later.
    LateEffect,
    /// It takes long.
    Delay,
    /// It is done twice.
    Duplicate,
    /// An older state is read.
    StaleRead,
    /// The caller dies before it is done.
    CrashBefore,
    /// It is done, and the caller dies before it learns of it.
    CrashAfter,
}

/// Faults that a read can have.
pub(crate) const READ: &[Fault] = &[
    Fault::ErrorBefore,
    Fault::LostAnswer,
    Fault::Delay,
    Fault::StaleRead,
    Fault::CrashBefore,
    Fault::CrashAfter,
];
/// Faults that a change can have.
pub(crate) const CHANGE: &[Fault] = &[
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::LostAnswer,
    Fault::Delay,
    Fault::Duplicate,
    Fault::CrashBefore,
    Fault::CrashAfter,
];
/// Faults of a call that the far side may still be doing when the caller has given up.
pub(crate) const CHANGE_LATE: &[Fault] = &[
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::LostAnswer,
    Fault::LateEffect,
    Fault::Delay,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// How often which fault is dealt, until when; and what was dealt.
pub(crate) struct Faults {
    rates: BTreeMap<Fault, u64>,
    until: Duration,
    pub(crate) dealt: Mutex<BTreeMap<(&'static str, Fault), u64>>,
}

impl Faults {
    /// Some kinds are left out of a run and others come often, so that runs differ in kind and not only in luck.
    pub(crate) fn of_run(dice: &Dice, until: Duration) -> Self {
        let mut rates = BTreeMap::new();
        for fault in CHANGE_LATE.iter().chain(READ).chain(CHANGE) {
            let crash = matches!(fault, Fault::CrashBefore | Fault::CrashAfter);
            let rate = dice.pick(if crash { &[0, 0, 1, 4] } else { &[0, 2, 10, 40] });
            rates.entry(*fault).or_insert(rate);
        }
        Self { rates, until, dealt: Mutex::default() }
    }

    pub(crate) fn last(&mut self, until: Duration) {
        self.until = until;
    }

    /// The fault of this call, if it has one.
    pub(crate) fn deal(
        &self,
        dice: &Dice,
        time: &Time,
        call: &'static str,
        possible: &[Fault],
    ) -> Option<Fault> {
        if time.elapsed() >= self.until {
            return None;
        }
        let roll = dice.next() % 1000;
        let mut below = 0;
        for fault in possible {
            below += self.rates.get(fault).copied().unwrap_or(0);
            if roll < below {
                self.note(call, *fault);
                return Some(*fault);
            }
        }
        None
    }

    pub(crate) fn note(&self, call: &'static str, fault: Fault) {
        *self.dealt.lock().unwrap().entry((call, fault)).or_default() += 1;
    }

    /// Whether anything may still go wrong.
    pub(crate) fn are_over(&self, time: &Time) -> bool {
        time.elapsed() >= self.until
    }

    pub(crate) fn until(&self) -> Duration {
        self.until
    }
}
