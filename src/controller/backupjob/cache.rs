//! What the cache keeps of a job. A cluster may hold ten thousand finished ones, and the API server keeps the rest: a
//! step is decided on the job as it is read then, and the base of a series is read when it is needed.

use drawbridge_protocol::Envelope;

use super::series::series_of;
use crate::api::{BackupJob, BackupJobStatus, ReceiptStatus};

/// Jobs that are read at once when the cache is filled: a status may have half a mebibyte, of five hundred logs.
pub(in crate::controller) const PAGE: u32 = 20;

/// Takes away what nobody looks up in the cache.
pub fn lean(job: &mut BackupJob) {
    job.metadata.managed_fields = None;
    job.metadata.annotations = None;
    job.metadata.labels = None;
    job.metadata.owner_references = None;
    job.spec.sources.retain(|source| series_of(source).is_some());
    job.spec.sources.shrink_to_fit();
    let in_series = !job.spec.sources.is_empty();
    if let Some(status) = job.status.take() {
        let receipt = status.receipt.as_ref().filter(|_| in_series).map(sealing_time);
        job.status = Some(BackupJobStatus {
            phase: status.phase,
            session: status.session,
            receipt,
            ..BackupJobStatus::default()
        });
    }
}

/// A receipt of which only the time is left.
fn sealing_time(receipt: &ReceiptStatus) -> ReceiptStatus {
    ReceiptStatus {
        session: String::new(),
        bucket: String::new(),
        manifest: String::new(),
        manifest_sha256: String::new(),
        artifacts: 0,
        bytes: 0,
        sealed_at: receipt.sealed_at,
        session_key: String::new(),
        certified: false,
        envelope: Envelope { payload_type: String::new(), payload: String::new(), signatures: Vec::new() },
        certificate: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;
    use crate::api::Phase;

    #[test]
    fn a_finished_job_costs_little_and_is_still_known() {
        let logs =
            json!({ "name": "logs", "logs": { "selector": { "matchLabels": { "a": "b" } }, "series": "s" } });
        let files = json!({ "name": "files", "files": { "selector": { "matchLabels": { "a": "b" } }, "paths": ["/x"] } });
        let mut job: BackupJob = serde_json::from_value(json!({
            "apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupJob",
            "metadata": { "name": "j", "namespace": "n", "uid": "u", "finalizers": ["f"], "annotations": { "a": "b" },
                          "managedFields": [{ "manager": "m" }] },
            "spec": { "vault": "v", "sources": [files, logs], "ttlSecondsAfterFinished": 5 },
            "status": { "phase": "Complete",
                "conditions": [{ "type": "Complete", "status": "True", "reason": "Sealed", "message": "m",
                                 "lastTransitionTime": "2026-01-01T00:00:00Z" }],
                "receipt": { "session": "0".repeat(32), "bucket": "b", "manifest": "m", "manifestSha256": "0".repeat(64),
                    "artifacts": 1, "bytes": 1, "sealedAt": "2026-01-01T00:00:00Z", "sessionKey": "k",
                    "envelope": { "payloadType": "t", "payload": "p", "signatures": [] } } }
        }))
        .unwrap();
        lean(&mut job);
        let status = job.status.as_ref().unwrap();
        assert_eq!((job.uid().as_deref(), job.finalizers()), (Some("u"), &["f".to_owned()][..]));
        assert_eq!((job.spec.vault.as_str(), job.spec.ttl_seconds_after_finished), ("v", Some(5)));
        assert_eq!(job.spec.sources.len(), 1);
        assert_eq!(status.phase, Phase::Complete);
        assert!(status.receipt.as_ref().unwrap().sealed_at.as_second() > 0);
        assert!(status.conditions.is_empty() && job.metadata.managed_fields.is_none());
    }
}
