//! One BackupJob of a test, as `kubectl` shows it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    bed::{Bed, wait},
    workload::Workload,
};

pub(crate) struct Job<'a> {
    bed: &'a Bed,
    namespace: String,
    name: String,
}

impl<'a> Job<'a> {
    pub(crate) fn apply(bed: &'a Bed, workload: &Workload, name: &str) -> Self {
        Self::apply_selecting(bed, workload, name, &workload.namespace, 3)
    }

    pub(crate) fn apply_selecting(
        bed: &'a Bed,
        workload: &Workload,
        name: &str,
        app: &str,
        backoff: u32,
    ) -> Self {
        bed.apply(&manifest(workload, name, app, "/data", backoff)).unwrap();
        Self { bed, namespace: workload.namespace.clone(), name: name.to_owned() }
    }

    /// Applies a job that is written out.
    pub(crate) fn apply_object(bed: &'a Bed, object: &Value) -> Self {
        bed.apply(object).unwrap();
        let word = |field: &str| object["metadata"][field].as_str().unwrap().to_owned();
        Self { bed, namespace: word("namespace"), name: word("name") }
    }

    /// Applies a job with this path; the API server's words when it refuses.
    pub(crate) fn try_apply(
        bed: &Bed,
        workload: &Workload,
        name: &str,
        path: &str,
    ) -> Result<String, String> {
        bed.apply(&manifest(workload, name, &workload.namespace, path, 0))
    }

    pub(crate) fn patch_spec(&self, patch: &str) -> Result<String, String> {
        let arguments =
            ["patch", "backupjob", &self.name, "-n", &self.namespace, "--type=merge", "-p", patch];
        self.bed.kubectl(&arguments)
    }

    pub(crate) fn patch_metadata(&self, patch: &str) {
        let arguments =
            ["patch", "backupjob", &self.name, "-n", &self.namespace, "--type=merge", "-p", patch];
        self.bed.kubectl(&arguments).unwrap();
    }

    fn object(&self) -> Value {
        self.bed.get("backupjob", &self.namespace, &self.name).unwrap_or(Value::Null)
    }

    pub(crate) fn status(&self) -> Value {
        self.object()["status"].clone()
    }

    pub(crate) fn finalizers(&self) -> Vec<Value> {
        self.object()["metadata"]["finalizers"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn condition(&self, kind: &str) -> Option<String> {
        let status = self.status();
        let conditions = status["conditions"].as_array()?;
        let found = conditions.iter().find(|condition| condition["type"] == kind)?;
        found["status"].as_str().map(str::to_owned)
    }

    /// Reason and message of a condition, if the job has it.
    pub(crate) fn reason_and_message(&self, kind: &str) -> Option<(String, String)> {
        let status = self.status();
        let found = status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)?;
        Some((found["reason"].as_str()?.to_owned(), found["message"].as_str()?.to_owned()))
    }

    /// Whether a condition and an event of the job have this reason.
    pub(crate) fn told(&self, reason: &str) -> bool {
        let conditions = self.status()["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["reason"] == reason) && self.has_event(reason)
    }

    pub(crate) fn has_event(&self, reason: &str) -> bool {
        let selector = format!("--field-selector=involvedObject.name={}", self.name);
        let events =
            self.bed.kubectl(&["get", "events", "-n", &self.namespace, &selector, "-o", "json"]).unwrap();
        let events: Value = serde_json::from_str(&events).unwrap();
        events["items"].as_array().unwrap().iter().any(|event| event["reason"] == reason)
    }

    pub(crate) fn session(&self) -> String {
        self.status()["session"]["id"].as_str().expect("an open session has an id").to_owned()
    }

    /// The session that the receipt speaks of.
    pub(crate) fn last_session(&self) -> String {
        let status = self.status();
        let manifest = status["receipt"]["manifest"].as_str().expect("a complete job has a receipt");
        manifest.rsplit('/').nth(1).unwrap().to_owned()
    }

    pub(crate) fn wait_for_phase(&self, phase: &str, limit: Duration) {
        let reached = wait(limit, || {
            let now = self.status();
            let now = now["phase"].as_str().unwrap_or("");
            assert!(
                now == phase || !["Complete", "Failed"].contains(&now),
                "expected {phase}: {:#}\n{}",
                self.status(),
                self.events()
            );
            now == phase
        });
        assert!(reached, "not {phase} after {} s: {:#}\n{}", limit.as_secs(), self.status(), self.events());
    }

    /// Until the box holds some of the job's bytes.
    pub(crate) fn wait_until_bytes_cross(&self, limit: Duration) {
        let crossing = wait(limit, || {
            let status = self.status();
            assert_ne!(status["phase"], "Complete", "the job was over before it was seen running");
            assert_ne!(status["phase"], "Failed", "{status:#}");
            status["phase"] == "Running" && status["bytes"]["stored"].as_u64().unwrap_or(0) > 0
        });
        assert!(crossing, "nothing crossed in {} s: {:#}\n{}", limit.as_secs(), self.status(), self.events());
    }

    pub(crate) fn delete(&self) {
        let arguments = ["delete", "backupjob", &self.name, "-n", &self.namespace, "--wait=false"];
        self.bed.kubectl(&arguments).unwrap();
    }

    pub(crate) fn wait_until_gone(&self, limit: Duration) {
        let gone = wait(limit, || self.object().is_null());
        assert!(gone, "still there after {} s: {:#}", limit.as_secs(), self.object());
    }

    fn events(&self) -> String {
        self.bed.kubectl(&["get", "events", "-n", &self.namespace]).unwrap_or_default()
    }
}

fn manifest(workload: &Workload, name: &str, app: &str, path: &str, backoff: u32) -> Value {
    json!({"apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupJob",
        "metadata": {"name": name, "namespace": workload.namespace},
        "spec": {"vault": "default", "backoffLimit": backoff, "sources": [
            {"name": "data", "files": {"selector": {"matchLabels": {"app": app}}, "paths": [path]}}]}})
}
