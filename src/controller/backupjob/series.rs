//! Jobs of one series: from which one a source of logs goes on, and what a job keeps for the next.
//!
//! A job's spec never changes and a job is one backup, so that what the next one needs stands in the status of the
//! newest one that has a receipt. Which one that is the cache tells, what it stored is read then; a cache that is behind
//! gives an older job, and then some lines are stored twice, but none is missed.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use kube::{Api, Client, ResourceExt as _};

use crate::{
    api::{BackupJob, GapStatus, KeptLog, LogsStatus, MAX_KEPT, MAX_SHOWN_GAPS, Source, SourceKind},
    controller::ReconcileError,
    gather::{Base, Bases, Gathered, Target},
};

/// Gaps that a message names.
const NAMED: usize = 3;

/// A job as the cache knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Earlier {
    name: String,
    uid: Option<String>,
}

/// Complete jobs that are looked at for a base; the first one nearly always is.
const LOOKED_AT: usize = 4;

/// For each source of `job` that belongs to a series, the complete jobs before it, the newest first: their statuses say
/// where to go on.
pub(super) fn before(job: &BackupJob, jobs: &[Arc<BackupJob>]) -> BTreeMap<String, Vec<Earlier>> {
    let mut before = BTreeMap::new();
    for source in &job.spec.sources {
        let Some(series) = series_of(source) else { continue };
        let others = jobs.iter().filter(|other| {
            other.uid() != job.uid()
                && other.namespace() == job.namespace()
                && other.spec.vault == job.spec.vault
                && other.spec.sources.iter().any(|s| s.name == source.name && series_of(s) == Some(series))
        });
        let sealed = |other: &BackupJob| Some(other.status.as_ref()?.receipt.as_ref()?.sealed_at);
        let mut complete: Vec<_> = others.filter_map(|other| Some((sealed(other)?, other))).collect();
        complete.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let earlier = |other: &BackupJob| Earlier { name: other.name_any(), uid: other.uid() };
        let newest = complete.into_iter().take(LOOKED_AT).map(|(_, other)| earlier(other)).collect();
        before.insert(source.name.clone(), newest);
    }
    before
}

/// What the first of those that is still there stored, as its status has it now. Without any, a source is stored from its
/// beginning: some lines twice, none missed.
pub(super) async fn bases(
    client: &Client,
    namespace: &str,
    before: BTreeMap<String, Vec<Earlier>>,
) -> Result<Bases, ReconcileError> {
    let jobs: Api<BackupJob> = Api::namespaced(client.clone(), namespace);
    let mut bases = Bases::new();
    for (source, earlier) in before {
        for Earlier { name, uid } in earlier {
            let found = jobs.get_opt(&name).await.map_err(|error| {
                ReconcileError::from_kube("read", &format!("BackupJob {namespace}/{name}"), &error)
            })?;
            if let Some(base) = found.filter(|job| job.uid() == uid).and_then(|job| base(&job, &source)) {
                bases.insert(source, base);
                break;
            }
        }
    }
    Ok(bases)
}

pub(super) fn series_of(source: &Source) -> Option<&str> {
    match &source.kind {
        SourceKind::Logs(logs) => logs.series.as_deref(),
        SourceKind::Files(_) => None,
    }
}

/// What a job stored of a source; a job without a receipt stored nothing.
fn base(job: &BackupJob, source: &str) -> Option<Base> {
    let status = job.status.as_ref()?;
    let receipt = status.receipt.as_ref()?;
    let kept = status.logs.iter().flat_map(|logs| &logs.containers);
    Some(Base {
        session: receipt.session.parse().ok()?,
        gathered_at: status.running_since.unwrap_or(receipt.sealed_at),
        containers: kept.filter(|kept| kept.source == source).cloned().collect(),
    })
}

/// Adds what was found in one container's logs.
pub(super) fn note(logs: &mut LogsStatus, target: &Target, found: &Gathered, sources: &[Source]) {
    let in_series = sources.iter().any(|s| s.name == target.source && series_of(s).is_some());
    if let Some(kept) = found.kept().filter(|_| in_series) {
        keep(&mut logs.containers, kept);
    }
    let Some(range) = found.range.get() else { return };
    logs.lines = logs.lines.saturating_add(i64::try_from(range.lines).unwrap_or(i64::MAX));
    for gap in &range.gaps {
        logs.gaps = logs.gaps.saturating_add(1);
        if logs.first_gaps.len() < MAX_SHOWN_GAPS {
            logs.first_gaps.push(GapStatus {
                source: target.source.clone(),
                pod: target.pod.clone(),
                container: target.container.clone(),
                from: gap.from,
                to: gap.to,
                why: gap.why.as_str().to_owned(),
            });
        }
    }
}

/// Keeps one more container. Selection refuses a source with more than [`MAX_KEPT`]; of several sources that are more
/// together, the last ones are read from their beginning next time.
fn keep(all: &mut Vec<KeptLog>, kept: KeptLog) {
    if all.len() < MAX_KEPT {
        all.push(kept);
    } else {
        tracing::warn!(
            pod = kept.pod,
            container = kept.container,
            "no room in status: its log will be stored again"
        );
    }
}

/// What the message of a complete job adds if lines may be lost.
pub(super) fn lost(logs: Option<&LogsStatus>) -> String {
    logs.filter(|logs| logs.gaps > 0).map_or_else(String::new, |logs| format!("; {}", gaps_for_people(logs)))
}

/// The gaps in a sentence: how many, and the first ones.
pub(super) fn gaps_for_people(logs: &LogsStatus) -> String {
    let mut text = match logs.gaps {
        1 => "lines of 1 time may be lost: ".to_owned(),
        gaps => format!("lines of {gaps} times may be lost: "),
    };
    for (index, gap) in logs.first_gaps.iter().take(NAMED).enumerate() {
        let GapStatus { pod, container, from, to, why, .. } = gap;
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{pod}/{container} {from} to {to} ({why})");
    }
    if logs.gaps > i64::try_from(NAMED).unwrap_or(i64::MAX) {
        text.push_str(", ...");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn kept(source: &str, container: &str) -> Value {
        json!({ "source": source, "pod": "web-0", "podUid": "u", "container": container, "containerId": "c://1",
                "restarts": 0, "readAt": "2026-01-01T00:00:00Z",
                "mark": { "at": "2026-01-01T00:00:00.5Z", "digest": "0123456789abcdef", "repeat": 1 } })
    }

    fn job(name: &str, sealed: Option<&str>, vault: &str, series: &Value) -> Arc<BackupJob> {
        let receipt = sealed.map(|at| {
            json!({ "session": "0".repeat(32), "bucket": "b", "manifest": "m", "manifestSha256": "0".repeat(64),
                    "artifacts": 1, "bytes": 1, "sealedAt": at, "sessionKey": "k",
                    "envelope": { "payloadType": "t", "payload": "", "signatures": [] } })
        });
        Arc::new(
            serde_json::from_value(json!({
                "apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupJob",
                "metadata": { "name": name, "namespace": "shop", "uid": name },
                "spec": { "vault": vault, "sources": [
                    { "name": "logs", "logs": { "selector": { "matchLabels": { "app": "web" } }, "series": series } }] },
                "status": { "receipt": receipt, "logs": { "lines": 1, "gaps": 0,
                    "containers": [kept("logs", name), kept("other", name)] } }
            }))
            .unwrap(),
        )
    }

    #[test]
    fn a_job_goes_on_from_the_newest_of_its_series_that_is_stored() {
        let (early, late) = (Some("2026-01-01T00:00:00Z"), Some("2026-01-02T00:00:00Z"));
        let nightly = json!("nightly");
        let me = job("me", None, "v", &nightly);
        let others = [
            job("old", early, "v", &nightly),
            job("new", late, "v", &nightly),
            job("unfinished", None, "v", &nightly),
            job("elsewhere", Some("2026-01-03T00:00:00Z"), "w", &nightly),
            job("hourly", Some("2026-01-03T00:00:00Z"), "v", &json!("hourly")),
            Arc::clone(&me),
        ];
        let earlier = |others| -> Vec<String> {
            before(&me, others).remove("logs").unwrap().into_iter().map(|one| one.name).collect()
        };
        assert_eq!(earlier(&others), ["new", "old"]);
        assert!(earlier(&others[2..]).is_empty());
        let base = base(&others[1], "logs").unwrap();
        assert_eq!(base.containers.iter().map(|kept| &kept.container).collect::<Vec<_>>(), ["new"]);
    }

    #[test]
    fn without_a_series_a_job_stands_alone() {
        let me = job("me", None, "v", &Value::Null);
        let others = [job("other", Some("2026-01-01T00:00:00Z"), "v", &Value::Null)];
        assert!(before(&me, &others).is_empty());
    }

    #[test]
    fn a_status_stays_bounded() {
        let mut all = Vec::new();
        for n in 0..2 * MAX_KEPT {
            keep(&mut all, serde_json::from_value(kept("logs", &n.to_string())).unwrap());
        }
        assert_eq!(all.len(), MAX_KEPT);
        let bytes = serde_json::to_vec(&all).unwrap().len();
        assert!(bytes < 512 << 10, "{bytes} bytes of status");
    }

    #[test]
    fn gaps_are_told_in_a_sentence() {
        let gap = |n: i64| GapStatus {
            source: "logs".into(),
            pod: format!("web-{n}"),
            container: "app".into(),
            from: Timestamp::from_second(n).unwrap(),
            to: Timestamp::from_second(n + 1).unwrap(),
            why: "rotated".into(),
        };
        let one = LogsStatus { gaps: 1, first_gaps: vec![gap(0)], ..LogsStatus::default() };
        assert_eq!(
            lost(Some(&one)),
            "; lines of 1 time may be lost: web-0/app 1970-01-01T00:00:00Z to 1970-01-01T00:00:01Z (rotated)"
        );
        let many = LogsStatus { gaps: 40, first_gaps: (0..16).map(gap).collect(), ..LogsStatus::default() };
        assert!(
            gaps_for_people(&many)
                .ends_with("web-2/app 1970-01-01T00:00:02Z to 1970-01-01T00:00:03Z (rotated), ...")
        );
        assert_eq!(lost(Some(&LogsStatus::default())), "");
    }
}
