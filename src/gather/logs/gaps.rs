//! Times in which lines may have been lost.

use drawbridge_protocol::manifest::{GapReason, LogGap};
use jiff::Timestamp;

/// Gaps that one artifact lists; it takes a log that is cut again and again while it is read to find more.
const MAX_GAPS: usize = 32;

/// The gaps of one container, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::gather) struct Gaps(Vec<LogGap>);

impl Gaps {
    /// Notes that lines from `from` to `to` may be lost. What comes before its own beginning is no time at all: then
    /// the log reaches back far enough, and nothing is missing.
    pub(super) fn add(&mut self, from: Timestamp, to: Timestamp, why: GapReason) {
        if to < from {
            return;
        }
        if self.0.len() == MAX_GAPS
            && let Some(last) = self.0.last_mut()
        {
            last.from = last.from.min(from);
            last.to = last.to.max(to);
            last.why = GapReason::Several;
            return;
        }
        self.0.push(LogGap { from, to, why });
        self.0.sort_by_key(|gap| (gap.from, gap.to));
    }

    pub(super) fn list(&self) -> &[LogGap] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_time_that_ends_before_it_begins_is_no_gap() {
        let mut gaps = Gaps::default();
        gaps.add(at(5), at(4), GapReason::Rotated);
        assert!(gaps.list().is_empty());
    }

    #[test]
    fn more_gaps_than_are_listed_are_covered_by_the_last() {
        let mut gaps = Gaps::default();
        for n in 0..100 {
            gaps.add(at(10 * n), at(10 * n + 1), GapReason::Rotated);
        }
        assert_eq!(gaps.list().len(), MAX_GAPS);
        let last = gaps.list().last().unwrap();
        assert_eq!((last.from, last.to, last.why), (at(310), at(991), GapReason::Several));
    }
}
