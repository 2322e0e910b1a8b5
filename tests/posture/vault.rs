//! The vault whose stack is broken, as `kubectl` shows it.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::bed::{Bed, wait};

pub(crate) struct Vault<'a> {
    bed: &'a Bed,
    name: &'static str,
    looks: AtomicU32,
}

impl<'a> Vault<'a> {
    pub(crate) fn of(bed: &'a Bed, name: &'static str) -> Self {
        Self { bed, name, looks: AtomicU32::new(0) }
    }

    fn status(&self) -> Value {
        self.bed.get("backupvault", "default", self.name).unwrap()["status"].clone()
    }

    /// Has the stack looked at now; gives what the status says when that was done.
    pub(crate) fn look(&self) -> String {
        let token = format!("{}-{}", std::process::id(), self.looks.fetch_add(1, Ordering::Relaxed));
        let annotation = format!("drawbridge.dev/check-posture={token}");
        self.bed.kubectl(&["annotate", "--overwrite", "backupvault", self.name, &annotation]).unwrap();
        token
    }

    pub(crate) fn guarantees(&self) -> Vec<String> {
        let all = self.status()["posture"]["guarantees"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Requires these guarantees alone; `None` for those that are required by default.
    pub(crate) fn requires(&self, ids: Option<&[&str]>) {
        let patch = json!({"spec": {"requiredGuarantees": ids}}).to_string();
        self.bed.kubectl(&["patch", "backupvault", self.name, "--type=merge", "-p", &patch]).unwrap();
    }

    /// When the stack was last looked at.
    pub(crate) fn looked_at(&self) -> Timestamp {
        self.status()["posture"]["checkedAt"].as_str().expect("a look").parse().unwrap()
    }

    /// The annotation that the last look was for.
    pub(crate) fn asked_for(&self) -> Value {
        self.status()["posture"]["askedFor"].clone()
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held().is_some_and(|(status, _)| status == "True")
    }

    fn held(&self) -> Option<(String, String)> {
        let status = self.status();
        let conditions = status["conditions"].as_array()?;
        let held = conditions.iter().find(|condition| condition["type"] == "PostureHeld")?;
        Some((held["status"].as_str()?.to_owned(), held["message"].as_str()?.to_owned()))
    }

    pub(crate) fn waits_until_held(&self, limit: Duration) {
        let token = self.look();
        let held = wait(limit, || {
            self.status()["posture"]["askedFor"] == token.as_str()
                && self.held().is_some_and(|(status, _)| status == "True")
        });
        assert!(held, "the posture is not held: {:#}", self.status());
    }

    /// Until the condition is False for that guarantee. The first look must show it, where it can be seen at once.
    pub(crate) fn turns(&self, id: &str, limit: Duration, at_once: bool) -> (Duration, String) {
        let begun = Instant::now();
        let mut token = self.look();
        let turned = wait(limit, || {
            let status = self.status();
            if status["posture"]["askedFor"] != token.as_str() {
                return false;
            }
            let broken = self.state(&status, id) == "Broken";
            assert!(broken || !at_once, "{id} is not broken at the first look: {:#}", status["posture"]);
            if !broken {
                token = self.look();
            }
            broken
        });
        assert!(turned, "{id} never broke: {:#}", self.status());
        let seconds = begun.elapsed();
        let (status, message) = self.held().expect("the condition");
        assert_eq!(status, "False", "{message}");
        assert!(message.contains(id), "the condition does not name {id}: {message}");
        let all = self.status()["posture"]["guarantees"].as_array().cloned().unwrap_or_default();
        let own = all.iter().find(|one| one["id"] == id).expect("the guarantee");
        (seconds, own["message"].as_str().unwrap().to_owned())
    }

    fn state(&self, status: &Value, id: &str) -> String {
        let all = status["posture"]["guarantees"].as_array().cloned().unwrap_or_default();
        let own = all.iter().find(|one| one["id"] == id);
        own.and_then(|one| one["state"].as_str()).unwrap_or("absent").to_owned()
    }
}
