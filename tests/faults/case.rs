//! One fault: a job that meets it, what the job must say, and the same job without it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    bed::{Bed, wait},
    evidence,
    job::Job,
};

/// The longest that anything here may take to its end, except where a test says otherwise.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);
/// From the end of a job to nothing left on the AWS side.
pub(crate) const CLEAN: Duration = Duration::from_secs(180);

/// A job that is about to meet a fault.
pub(crate) struct Case<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) job: Job<'a>,
    fault: &'static str,
    namespace: String,
    name: String,
    begun: Instant,
}

/// What a job backs up, and how patient it is.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) vault: &'static str,
    pub(crate) app: String,
    pub(crate) container: Option<&'static str>,
    pub(crate) path: &'static str,
    pub(crate) retries: u32,
    pub(crate) deadline: u32,
}

impl Spec {
    /// A job over all of `/data` of the pods of that app, without a second attempt.
    pub(crate) fn of(app: &str) -> Self {
        Self {
            vault: "default",
            app: app.to_owned(),
            container: None,
            path: "/data",
            retries: 0,
            deadline: 1_200,
        }
    }

    fn object(&self, namespace: &str, name: &str) -> Value {
        let mut files = json!({"selector": {"matchLabels": {"app": self.app}}, "paths": [self.path]});
        if let Some(container) = self.container {
            files["container"] = container.into();
        }
        json!({"apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupJob",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"vault": self.vault, "backoffLimit": self.retries, "activeDeadlineSeconds": self.deadline,
                "sources": [{"name": "data", "files": files}]}})
    }
}

impl<'a> Case<'a> {
    /// Applies a job under the fault.
    pub(crate) fn begin(bed: &'a Bed, fault: &'static str, namespace: &str, name: &str, spec: &Spec) -> Self {
        eprintln!("  {fault}");
        let job = Job::apply_object(bed, &spec.object(namespace, name));
        let begun = Instant::now();
        Self { bed, job, fault, namespace: namespace.to_owned(), name: name.to_owned(), begun }
    }

    /// The job fails for this reason, its message has these words, and nothing is left of it.
    pub(crate) fn fails(self, reason: &str, words: &[&str]) {
        self.fails_within(LIMIT, reason, words);
    }

    pub(crate) fn fails_within(self, limit: Duration, reason: &str, words: &[&str]) {
        self.job.wait_for_phase("Failed", limit);
        let seconds = self.begun.elapsed();
        let (found, message) =
            self.job.reason_and_message("Failed").expect("a failed job has that condition");
        assert_eq!(found, reason, "{message}");
        self.tells(reason, &message, words);
        self.leaves_nothing();
        evidence::row(self.bed, self.fault, reason, &message, seconds, "Failed");
    }

    /// The job waits and says why; then `mend` removes the cause and it completes.
    pub(crate) fn waits_until_mended(self, reason: &str, words: &[&str], mend: impl FnOnce()) {
        let (seconds, message) = self.shows(reason, words);
        mend();
        self.job.wait_for_phase("Complete", LIMIT);
        self.bed.wait_until_nothing_is_left(CLEAN);
        evidence::row(self.bed, self.fault, reason, &message, seconds, "waits, then Complete");
    }

    /// An attempt fails for this reason; then `mend` removes the cause and a later attempt completes.
    pub(crate) fn retries_until_mended(self, reason: &str, words: &[&str], mend: impl FnOnce()) {
        let mut seen = (Duration::ZERO, String::new());
        let failed = wait(LIMIT * 3, || {
            let status = self.job.status();
            assert_ne!(status["phase"], "Complete", "{}: it is no success: {status:#}", self.fault);
            assert_ne!(status["phase"], "Failed", "{}: a retry can help: {status:#}", self.fault);
            let hit = status["fault"]["reason"] == reason;
            if hit {
                seen = (self.begun.elapsed(), status["fault"]["message"].as_str().unwrap().to_owned());
            }
            hit
        });
        assert!(failed, "{}: no attempt failed for {reason}: {:#}", self.fault, self.job.status());
        self.tells_in_an_event(reason);
        contains(&seen.1, words);
        mend();
        self.job.wait_for_phase("Complete", LIMIT * 2);
        let attempt = self.job.status()["attempt"].as_i64().unwrap();
        self.bed.wait_until_nothing_is_left(CLEAN);
        evidence::row(
            self.bed,
            self.fault,
            reason,
            &seen.1,
            seen.0,
            &format!("retry, Complete in attempt {attempt}"),
        );
    }

    /// An attempt fails for this reason, or the job waits for its vault, which is not ready for it; then `mend` removes the
    /// cause and the job completes.
    pub(crate) fn is_held_until_mended(self, reason: &str, words: &[&str], mend: impl FnOnce()) {
        let mut said = String::new();
        let held = wait(LIMIT, || {
            let status = self.job.status();
            assert_ne!(status["phase"], "Complete", "{}: it is no success: {status:#}", self.fault);
            let waits = self.job.reason_and_message("Progressing").filter(|told| told.0 == "VaultNotReady");
            let failed = status["fault"]["reason"] == reason;
            said = match (failed, waits) {
                (true, _) => status["fault"]["message"].as_str().unwrap().to_owned(),
                (false, Some((_, message))) => message,
                (false, None) => return false,
            };
            words.iter().all(|word| said.contains(word))
        });
        assert!(held, "{}: not held for {reason}: {said}: {:#}", self.fault, self.job.status());
        let seconds = self.begun.elapsed();
        mend();
        self.job.wait_for_phase("Complete", LIMIT * 2);
        self.bed.wait_until_nothing_is_left(CLEAN);
        evidence::row(self.bed, self.fault, reason, &said, seconds, "held, then Complete");
    }

    /// The fault is one that the attempt survives.
    pub(crate) fn completes_in_the_first_attempt(self, how: &str) {
        self.job.wait_for_phase("Complete", LIMIT * 3);
        let seconds = self.begun.elapsed();
        assert_eq!(self.job.status()["attempt"], 1, "{}: {:#}", self.fault, self.job.status());
        self.bed.wait_until_nothing_is_left(CLEAN);
        evidence::row(self.bed, self.fault, "-", how, seconds, "Complete in attempt 1");
    }

    /// The fault is gone: the same job, under another name, completes.
    pub(crate) fn twin(bed: &Bed, namespace: &str, name: &str, spec: &Spec) {
        let job = Job::apply_object(bed, &spec.object(namespace, &format!("{name}-twin")));
        job.wait_for_phase("Complete", LIMIT);
        bed.wait_until_nothing_is_left(CLEAN);
    }

    /// Waits until the condition `Progressing` has this reason, and says these words: what a job knows at first is less.
    pub(crate) fn shows(&self, reason: &str, words: &[&str]) -> (Duration, String) {
        let mut said = String::new();
        let shown = wait(LIMIT, || match self.job.reason_and_message("Progressing") {
            Some((found, message)) if found == reason => {
                said = message;
                words.iter().all(|word| said.contains(word))
            }
            _ => false,
        });
        assert!(
            shown,
            "{}: never {reason} with {words:?}, last '{said}': {:#}",
            self.fault,
            self.job.status()
        );
        let seconds = self.begun.elapsed();
        self.tells(reason, &said, words);
        (seconds, said)
    }

    fn tells(&self, reason: &str, message: &str, words: &[&str]) {
        contains(message, words);
        self.tells_in_an_event(reason);
    }

    fn tells_in_an_event(&self, reason: &str) {
        let told = wait(Duration::from_secs(10), || self.job.has_event(reason));
        assert!(told, "{}: no event says {reason}", self.fault);
    }

    /// No box, no state, no upload, no manifest, no finalizer.
    fn leaves_nothing(&self) {
        self.bed.wait_until_nothing_is_left(CLEAN);
        let status = self.job.status();
        assert!(status["receipt"].is_null(), "a failed job has no receipt: {status:#}");
        assert!(self.job.finalizers().is_empty(), "the finalizer is held only while a session is open");
        let prefix = format!("clusters/demo/{}/{}/", self.namespace, self.name);
        let manifests: Vec<String> =
            self.bed.keys_under(&prefix).into_iter().filter(|key| key.ends_with("manifest.json")).collect();
        assert!(manifests.is_empty(), "{}: a failed job has no manifest: {manifests:?}", self.fault);
    }
}

fn contains(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "the message does not say '{word}': {message}");
    }
}
