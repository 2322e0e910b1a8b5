//! From where each of a container's logs is read, and what is lost before reading begins. Pure.

use std::collections::HashSet;

use drawbridge_protocol::{SessionId, manifest::GapReason};
use jiff::Timestamp;

use super::{Gaps, Instance};
use crate::api::{KeptLog, LogMark, LogsSource};

/// What the newest complete job of a series stored of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub session: SessionId,
    /// When it began to gather, by the controller's clock.
    pub gathered_at: Timestamp,
    pub containers: Vec<KeptLog>,
}

/// What is read of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Times that are known to be lost before anything is read.
    pub(super) gaps: Gaps,
    /// The older log first.
    pub(super) readings: Vec<Reading>,
    pub(super) continues: Option<SessionId>,
    /// What is kept if there is nothing to read.
    pub(super) carried: Option<KeptLog>,
    /// What the source asks for, should the pod's logs have to be looked up again.
    pub(super) source: Option<LogsSource>,
}

/// One log to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub instance: Instance,
    /// The line to go on from; absent: the log's beginning.
    pub mark: Option<LogMark>,
    pub before: Before,
}

/// What is known of the time before a log's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nobody counts on it, or it is stored.
    Nothing,
    /// Lines since then are lost up to the first line.
    Lost { from: Timestamp, why: GapReason },
    /// The log was empty, or not begun, at that time. If its first line comes late, a rotation may lie between.
    Empty { at: Timestamp },
}

/// Plans one container. `kept` is its entry in `base`; `pod_created` tells whether it is new since then.
pub(in crate::gather) fn plan(
    source: &LogsSource,
    base: Option<&Base>,
    kept: Option<&KeptLog>,
    instances: Vec<Instance>,
    pod_created: Option<Timestamp>,
) -> Plan {
    let mut plan = Plan { source: Some(source.clone()), ..Plan::default() };
    let Some(base) = base else {
        plan.readings = never_stored(pod_created, instances);
        return plan;
    };
    let Some(kept) = kept else {
        let created = pod_created.filter(|created| *created > base.gathered_at);
        plan.readings = unknown(base, created, instances);
        return plan;
    };
    plan.continues = Some(base.session.clone());
    plan.carried = Some(kept.clone());
    plan.readings = go_on(kept, instances);
    plan
}

/// The logs to read after what `kept` says is stored.
pub(super) fn go_on(kept: &KeptLog, instances: Vec<Instance>) -> Vec<Reading> {
    let known = instances.iter().position(|instance| instance.id == kept.container_id);
    let restarts = instances.last().map_or(0, |newest| newest.restarts) - kept.restarts;
    let mut rest = instances.into_iter();
    let first = match known {
        Some(known) => {
            let same = rest.nth(known);
            same.and_then(|instance| (!kept.ended).then(|| resumed(instance, kept)))
        }
        None => rest.next().map(|oldest| {
            let lost = |why| Before::Lost { from: reached(kept), why };
            let before = if kept.ended && oldest.restarts <= kept.restarts + 1 {
                start(&oldest)
            } else if restarts > 1 {
                lost(GapReason::Restarted)
            } else {
                lost(GapReason::PreviousGone)
            };
            whole(oldest, before)
        }),
    };
    first.into_iter().chain(rest.map(from_start)).collect()
}

/// The logs to read once the container of `reading` turned out to have been restarted. What is known of the time before
/// its first line stays known if none was read yet.
pub(super) fn moved_to(reading: &Reading, kept: &KeptLog, instances: Vec<Instance>) -> Vec<Reading> {
    let mut readings = go_on(kept, instances);
    if kept.mark.is_none()
        && let Some(oldest) = readings.first_mut()
    {
        match (&mut oldest.before, reading.before) {
            (before, known) if oldest.instance.id == reading.instance.id => *before = known,
            (Before::Lost { from, .. }, Before::Lost { from: known, .. } | Before::Empty { at: known }) => {
                *from = known;
            }
            _ => {}
        }
    }
    readings
}

/// A container of which nothing was ever stored: all that it wrote since its pod was made counts.
fn never_stored(created: Option<Timestamp>, instances: Vec<Instance>) -> Vec<Reading> {
    let mut readings: Vec<Reading> = instances.into_iter().map(from_start).collect();
    if let Some(oldest) = readings.first_mut()
        && let Some(from) = created.filter(|_| oldest.instance.restarts > 0)
    {
        oldest.before = Before::Lost { from, why: GapReason::Restarted };
    }
    readings
}

/// A container that the base does not know.
fn unknown(base: &Base, created: Option<Timestamp>, instances: Vec<Instance>) -> Vec<Reading> {
    let mut readings: Vec<Reading> = instances.into_iter().map(from_start).collect();
    if let Some(oldest) = readings.first_mut() {
        let since = |at: Timestamp| at > base.gathered_at;
        oldest.before = match (created, oldest.instance.started_at) {
            // Its first runs were never seen.
            (Some(created), _) if oldest.instance.restarts > 0 => {
                Before::Lost { from: created, why: GapReason::Restarted }
            }
            (_, Some(started)) if since(started) => Before::Empty { at: started },
            // It ran when the base was gathered, and was not selected then: nobody counts on its past.
            _ => Before::Nothing,
        };
    }
    readings
}

fn resumed(instance: Instance, kept: &KeptLog) -> Reading {
    let before = match &kept.mark {
        Some(_) => Before::Nothing,
        // Empty then, because nothing was written or because it had just been rotated: nothing is known since its start.
        None => Before::Empty { at: instance.started_at.unwrap_or(kept.read_at) },
    };
    Reading { instance, mark: kept.mark.clone(), before }
}

fn whole(instance: Instance, before: Before) -> Reading {
    Reading { instance, mark: None, before }
}

fn from_start(instance: Instance) -> Reading {
    let before = start(&instance);
    whole(instance, before)
}

fn start(instance: &Instance) -> Before {
    instance.started_at.map_or(Before::Nothing, |at| Before::Empty { at })
}

/// Up to where a container's log is stored.
pub(super) fn reached(kept: &KeptLog) -> Timestamp {
    kept.mark.as_ref().map_or(kept.read_at, |mark| mark.at)
}

/// The base's containers whose pod is not among `listed`, each with the time from which lines are lost. They must be
/// asked for: a pod may have other labels now.
pub(in crate::gather) fn vanished<'a>(base: &'a Base, listed: &HashSet<String>) -> Vec<&'a KeptLog> {
    base.containers.iter().filter(|kept| !listed.contains(&kept.pod_uid)).collect()
}

impl Plan {
    /// Of a container whose pod was deleted: nothing is read any more.
    pub(in crate::gather) fn of_deleted(base: &Base, kept: &KeptLog, now: Timestamp) -> Option<Self> {
        if kept.ended {
            return None;
        }
        let mut plan = Self { continues: Some(base.session.clone()), ..Self::default() };
        plan.lost_with_pod(kept, now);
        Some(plan)
    }

    /// When what is read was started.
    pub(in crate::gather) fn began(&self) -> Option<Timestamp> {
        self.readings.first()?.instance.started_at
    }

    /// A pod of this name was deleted: what it wrote up to `until` is lost.
    pub(in crate::gather) fn lost_with_pod(&mut self, kept: &KeptLog, until: Timestamp) {
        let until = until.max(reached(kept));
        self.gaps.add(reached(kept), until, GapReason::PodDeleted);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run(id: &str, restarts: i64, started: i64, ended: bool) -> Instance {
        let (id, started_at) = (id.to_owned(), Some(at(started)));
        Instance {
            previous: ended,
            id,
            restarts,
            started_at,
            ended,
            finished_at: ended.then(|| at(started + 50)),
        }
    }

    fn mark() -> LogMark {
        LogMark { at: at(190), digest: "0123456789abcdef".into(), repeat: 1 }
    }

    fn kept(id: &str, restarts: i64, ended: bool) -> KeptLog {
        KeptLog {
            source: "logs".into(),
            pod: "web-0".into(),
            pod_uid: "u".into(),
            container: "app".into(),
            container_id: id.into(),
            restarts,
            read_at: at(200),
            ended,
            mark: Some(mark()),
        }
    }

    fn base() -> Base {
        let session = "00112233445566778899aabbccddeeff".parse().unwrap();
        Base { session, gathered_at: at(200), containers: Vec::new() }
    }

    fn source() -> LogsSource {
        serde_json::from_value(serde_json::json!({ "selector": { "matchLabels": { "app": "web" } } }))
            .unwrap()
    }

    /// `id[+mark]:before` of each reading.
    fn shown(plan: &Plan) -> String {
        let readings = plan.readings.iter().map(|reading| {
            let before = match reading.before {
                Before::Nothing => String::new(),
                Before::Lost { from, why } => format!(":lost {} {}", from.as_second(), why.as_str()),
                Before::Empty { at } => format!(":empty {}", at.as_second()),
            };
            format!("{}{}{before}", reading.instance.id, if reading.mark.is_some() { "+mark" } else { "" })
        });
        readings.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_table() {
        let a = || run("a", 0, 100, false);
        let a_ended = || run("a", 0, 100, true);
        let b = |restarts| run("b", restarts, 300, false);
        let c_ended = |restarts| run("c", restarts, 250, true);
        let cases = [
            ("it still runs", kept("a", 0, false), vec![a()], "a+mark"),
            ("it restarted once", kept("a", 0, false), vec![a_ended(), b(1)], "a+mark b:empty 300"),
            ("its end was stored", kept("a", 0, true), vec![a_ended(), b(1)], "b:empty 300"),
            (
                "it restarted twice",
                kept("a", 0, false),
                vec![c_ended(1), b(2)],
                "c:lost 190 restarted b:empty 300",
            ),
            ("three times", kept("a", 0, false), vec![c_ended(2), b(3)], "c:lost 190 restarted b:empty 300"),
            ("its log went with the restart", kept("a", 0, false), vec![b(1)], "b:lost 190 previous_gone"),
            ("that was stored to its end", kept("a", 0, true), vec![b(1)], "b:empty 300"),
            ("a run between was never seen", kept("a", 0, true), vec![b(2)], "b:lost 190 restarted"),
            ("there is no log now", kept("a", 0, false), vec![], ""),
            ("no line was there", KeptLog { mark: None, ..kept("a", 0, false) }, vec![a()], "a:empty 100"),
        ];
        for (what, kept, instances, expected) in cases {
            let plan = plan(&source(), Some(&base()), Some(&kept), instances, None);
            assert_eq!(shown(&plan), expected, "{what}");
            assert!(plan.continues.is_some() && plan.gaps.list().is_empty(), "{what}");
        }
    }

    #[test]
    fn a_restart_that_shows_while_its_log_is_opened() {
        let lost = Before::Lost { from: at(90), why: GapReason::Restarted };
        let empty = Before::Empty { at: at(100) };
        let seen = || vec![run("a", 0, 100, true), run("b", 1, 300, false)];
        let unseen = || vec![run("c", 1, 250, true), run("b", 2, 300, false)];
        let cases = [
            ("its end is there", Before::Nothing, Some(mark()), seen(), "a+mark b:empty 300"),
            ("nobody counted on its past", Before::Nothing, None, seen(), "a b:empty 300"),
            ("runs before it were lost", lost, None, seen(), "a:lost 90 restarted b:empty 300"),
            ("it is read whole", empty, None, seen(), "a:empty 100 b:empty 300"),
            ("it is gone, and was new", empty, None, unseen(), "c:lost 100 restarted b:empty 300"),
            ("it is gone, like those before", lost, None, unseen(), "c:lost 90 restarted b:empty 300"),
            ("it is gone from a line on", empty, Some(mark()), unseen(), "c:lost 190 restarted b:empty 300"),
        ];
        for (what, before, mark, instances, expected) in cases {
            let reading = Reading { instance: run("a", 0, 100, false), mark: mark.clone(), before };
            let kept = KeptLog { mark, ..kept("a", 0, false) };
            let plan = Plan { readings: moved_to(&reading, &kept, instances), ..Plan::default() };
            assert_eq!(shown(&plan), expected, "{what}");
        }
    }

    #[test]
    fn what_the_base_does_not_know_is_read_whole() {
        let old = run("a", 0, 100, false);
        let new = run("a", 0, 300, false);
        let late = run("a", 2, 300, false);
        let cases = [
            ("no base", None, vec![old.clone()], Some(at(90)), "a:empty 100"),
            ("no base, and restarted", None, vec![late.clone()], Some(at(90)), "a:lost 90 restarted"),
            ("older than the base", Some(base()), vec![old], Some(at(90)), "a"),
            ("newer", Some(base()), vec![new], Some(at(290)), "a:empty 300"),
            ("newer, and restarted", Some(base()), vec![late], Some(at(290)), "a:lost 290 restarted"),
        ];
        for (what, base, instances, created, expected) in cases {
            let plan = plan(&source(), base.as_ref(), None, instances, created);
            assert_eq!((shown(&plan).as_str(), plan.continues.is_none()), (expected, true), "{what}");
        }
    }

    #[test]
    fn a_deleted_pod_is_a_gap_unless_all_of_it_is_stored() {
        let lost = Plan::of_deleted(&base(), &kept("a", 0, false), at(500)).unwrap();
        let gap = &lost.gaps.list()[0];
        assert_eq!((gap.from, gap.to, gap.why), (at(190), at(500), GapReason::PodDeleted));
        assert_eq!(Plan::of_deleted(&base(), &kept("a", 0, true), at(500)), None);
    }

    #[test]
    fn only_pods_that_are_not_listed_may_have_vanished() {
        let base = Base { containers: vec![kept("a", 0, false)], ..base() };
        assert_eq!(vanished(&base, &HashSet::from(["other".to_owned()])).len(), 1);
        assert!(vanished(&base, &HashSet::from(["u".to_owned()])).is_empty());
    }
}
