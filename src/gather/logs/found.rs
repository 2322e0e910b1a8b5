//! What was found in a container's logs: the range that is stored, what is lost, and where to go on. Pure.

use drawbridge_protocol::manifest::{GapReason, LogRange};
use jiff::{SignedDuration, Timestamp};

use super::{
    Gaps, Instance, Plan,
    plan::{Before, Reading},
    sift::Passed,
};
use crate::{
    api::{KeptLog, LogMark},
    gather::Target,
};

/// A first line this long after the start leaves time for kubelet, which looks every ten seconds, to rotate the log.
const LATE: SignedDuration = SignedDuration::from_secs(10);
/// What kubelet lets a log grow to before it rotates it, unless configured otherwise (containerLogMaxSize).
const ROTATION: u64 = 10 << 20;
/// Kubernetes rounds a container's times down to seconds.
pub(super) const ROUNDING: SignedDuration = SignedDuration::from_secs(1);

/// How one log ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole {
        /// The mark at which the log was found rotated, if no line was there since.
        cut: Option<Timestamp>,
    },
    /// The pod is gone; what was read before is stored.
    PodGone,
    /// There is no such log any more.
    LogGone,
    /// The container restarted: these are its logs now.
    Moved(Vec<Instance>),
}

/// All logs of one container.
#[derive(Clone, Debug)]
pub(super) struct Found {
    target: Target,
    /// When the pods were listed.
    listed_at: Timestamp,
    gaps: Gaps,
    range: LogRange,
    pub(super) kept: Option<KeptLog>,
}

impl Found {
    pub(super) fn new(target: &Target, plan: &Plan, listed_at: Timestamp) -> Self {
        let range = LogRange { continues: plan.continues.clone(), ..LogRange::default() };
        let (target, gaps) = (target.clone(), plan.gaps.clone());
        Self { target, listed_at, gaps, range, kept: plan.carried.clone() }
    }

    /// Notes what one log came to; `mark` is the line to go on from.
    pub(super) fn add(
        &mut self,
        reading: &Reading,
        passed: &Passed,
        mark: Option<LogMark>,
        end: &End,
        now: Timestamp,
    ) {
        let instance = &reading.instance;
        self.range.lines += passed.lines;
        self.range.first = self.range.first.or(passed.first);
        self.range.last = passed.last.or(self.range.last);
        if passed.first.is_some() || !matches!(end, End::Moved(_)) {
            self.lost_before(reading, passed, now);
        }
        let finished = instance.finished_at.map_or(now, |end| after(end, ROUNDING));
        let reached = mark.as_ref().map(|mark| mark.at).or(instance.started_at).unwrap_or(now);
        match end {
            End::Whole { cut: Some(cut) } if instance.ended => {
                self.gaps.add(*cut, finished, GapReason::Rotated);
            }
            End::PodGone => self.gaps.add(reached, now.max(reached), GapReason::PodDeleted),
            End::LogGone if instance.previous => {
                self.gaps.add(reached, finished.max(reached), GapReason::PreviousGone);
            }
            // A rotated log without a line yet: the gap's end shows when the first line is there. Or the container is
            // about to run again; what became of its log shows next time.
            End::Whole { .. } | End::Moved(_) | End::LogGone => {}
        }
        self.kept = (*end != End::PodGone).then(|| KeptLog {
            source: self.target.source.clone(),
            pod: self.target.pod.clone(),
            pod_uid: self.target.pod_uid.clone(),
            container: self.target.container.clone(),
            container_id: instance.id.clone(),
            restarts: instance.restarts,
            read_at: self.listed_at,
            ended: instance.ended && matches!(end, End::Whole { .. }),
            mark,
        });
    }

    /// A log was found rotated: what was written after `cut`, and before `first`, is lost.
    pub(super) fn rotated(&mut self, cut: Timestamp, first: Timestamp) {
        self.gaps.add(cut, first, GapReason::Rotated);
    }

    /// What is lost before the first line of a log.
    fn lost_before(&mut self, reading: &Reading, passed: &Passed, now: Timestamp) {
        let began = reading.instance.started_at.map_or(now, |start| after(start, ROUNDING));
        match (reading.before, passed.first) {
            (Before::Lost { from, why }, first) => self.gaps.add(from, first.unwrap_or(began), why),
            (Before::Empty { at }, Some(first)) if starts_late(at, first, passed.opening) => {
                self.gaps.add(at, first, GapReason::StartUnproven);
            }
            _ => {}
        }
    }

    pub(super) fn finish(mut self) -> (LogRange, Option<KeptLog>) {
        self.range.gaps = self.gaps.list().to_vec();
        (self.range, self.kept)
    }
}

impl Before {
    /// A run does not begin before the last line of the run before it.
    pub(super) fn not_before(self, last: Option<Timestamp>) -> Self {
        match (self, last) {
            (Self::Empty { at }, Some(last)) => Self::Empty { at: at.max(last) },
            (before, _) => before,
        }
    }
}

/// Whether so much may have been written between the start and the first line that is there that the node rotated
/// the log: there was time for it, or the log begins so fast that little time was enough.
fn starts_late(start: Timestamp, first: Timestamp, opening: u64) -> bool {
    let late = first.duration_since(start);
    let micros = late.as_micros().max(0).unsigned_abs();
    late >= LATE || u128::from(opening) * micros / 1_000_000 >= u128::from(ROTATION)
}

pub(super) fn after(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.saturating_add(duration).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::gather::Content;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn target() -> Target {
        Target {
            artifact: "logs.web-0.app.log.zst".parse().unwrap(),
            source: "logs".into(),
            namespace: "ns".into(),
            pod: "web-0".into(),
            pod_uid: "u".into(),
            container: "app".into(),
            image: String::new(),
            content: Content::Logs(Box::default()),
        }
    }

    fn reading(ended: bool, previous: bool, before: Before) -> Reading {
        let finished_at = ended.then(|| at(300));
        let id = "a".to_owned();
        let instance = Instance { previous, id, restarts: 1, started_at: Some(at(100)), ended, finished_at };
        Reading { instance, mark: None, before }
    }

    fn passed(first: Option<i64>, opening: u64) -> Passed {
        let first = first.map(at);
        Passed { lines: 1, first, last: first, first_here: first, opening }
    }

    fn gaps(reading: &Reading, passed: &Passed, mark: Option<i64>, end: &End) -> Vec<String> {
        let mut found = Found::new(&target(), &Plan::default(), at(390));
        let mark = mark.map(|second| LogMark { at: at(second), digest: String::new(), repeat: 1 });
        found.add(reading, passed, mark, end, at(400));
        let (range, _) = found.finish();
        let shown = range.gaps.iter();
        shown
            .map(|gap| format!("{}-{} {}", gap.from.as_second(), gap.to.as_second(), gap.why.as_str()))
            .collect()
    }

    #[test]
    fn the_table_of_gaps() {
        let whole = |cut: Option<i64>| End::Whole { cut: cut.map(at) };
        let running = |before| reading(false, false, before);
        let lost = Before::Lost { from: at(90), why: GapReason::Restarted };
        let empty = Before::Empty { at: at(100) };
        let plain = || running(Before::Nothing);
        let none: Vec<String> = Vec::new();
        let cases = [
            ("nothing was lost", plain(), passed(Some(200), 0), whole(None), none.clone()),
            ("rotated, empty yet", plain(), passed(None, 0), whole(Some(150)), none.clone()),
            (
                "rotated, and ended empty",
                reading(true, true, Before::Nothing),
                passed(None, 0),
                whole(Some(150)),
                vec!["150-301 rotated".into()],
            ),
            (
                "lost up to the first line",
                running(lost),
                passed(Some(120), 0),
                whole(None),
                vec!["90-120 restarted".into()],
            ),
            (
                "lost, no line yet",
                running(lost),
                passed(None, 0),
                whole(None),
                vec!["90-101 restarted".into()],
            ),
            ("begins in time", running(empty), passed(Some(105), 1 << 20), whole(None), none.clone()),
            (
                "begins late",
                running(empty),
                passed(Some(110), 1),
                whole(None),
                vec!["100-110 start_unproven".into()],
            ),
            (
                "begins fast",
                running(empty),
                passed(Some(101), 20 << 20),
                whole(None),
                vec!["100-101 start_unproven".into()],
            ),
            ("the pod goes", plain(), passed(Some(200), 0), End::PodGone, vec!["250-400 pod_deleted".into()]),
            (
                "the previous log goes",
                reading(true, true, Before::Nothing),
                passed(None, 0),
                End::LogGone,
                vec!["250-301 previous_gone".into()],
            ),
            ("the log is not there yet", plain(), passed(None, 0), End::LogGone, none.clone()),
            ("it is to be read again", running(lost), passed(None, 0), End::Moved(Vec::new()), none),
            (
                "it was read, and goes on elsewhere",
                running(lost),
                passed(Some(120), 0),
                End::Moved(Vec::new()),
                vec!["90-120 restarted".into()],
            ),
        ];
        for (what, reading, passed, end, expected) in cases {
            assert_eq!(gaps(&reading, &passed, Some(250), &end), expected, "{what}");
        }
    }

    #[test]
    fn a_rotation_counts_however_the_log_ends() {
        for end in [End::Whole { cut: None }, End::PodGone, End::LogGone, End::Moved(Vec::new())] {
            let mut found = Found::new(&target(), &Plan::default(), at(390));
            found.rotated(at(150), at(200));
            found.add(&reading(false, false, Before::Nothing), &passed(Some(200), 0), None, &end, at(400));
            let (range, _) = found.finish();
            assert!(range.gaps.iter().any(|gap| (gap.from, gap.to) == (at(150), at(200))), "{end:?}");
        }
    }

    #[test]
    fn only_a_log_that_ended_and_was_read_whole_is_done_with() {
        let kept = |ended, end: &End| {
            let mut found = Found::new(&target(), &Plan::default(), at(390));
            found.add(&reading(ended, false, Before::Nothing), &passed(None, 0), None, end, at(400));
            found.kept.map(|kept| kept.ended)
        };
        let whole = End::Whole { cut: None };
        assert_eq!(kept(true, &whole), Some(true));
        assert_eq!(kept(false, &whole), Some(false));
        assert_eq!(kept(true, &End::LogGone), Some(false));
        assert_eq!(kept(true, &End::PodGone), None);
    }

    #[test]
    fn a_run_begins_after_the_one_before_it() {
        assert_eq!(Before::Empty { at: at(5) }.not_before(Some(at(9))), Before::Empty { at: at(9) });
        assert_eq!(Before::Nothing.not_before(Some(at(9))), Before::Nothing);
    }
}
