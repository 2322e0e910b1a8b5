//! What was found, for people.

use std::fmt;

use drawbridge_protocol::{JobRef, Manifest};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A file of the directory.
    pub what: String,
    /// What holds of it, or what is wrong with it.
    pub result: Result<String, String>,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
    /// What the directory holds, if it is genuine.
    about: Option<String>,
}

impl Report {
    /// Whether the chain of signatures holds and nothing is wrong.
    pub fn is_verified(&self) -> bool {
        self.about.is_some() && self.problems().next().is_none()
    }

    /// What is wrong.
    pub fn problems(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.result.is_err())
    }

    pub(super) fn good(&mut self, what: &str, holds: String) {
        self.findings.push(Finding { what: what.to_owned(), result: Ok(holds) });
    }

    pub(super) fn bad(&mut self, what: &str, why: String) {
        self.findings.push(Finding { what: what.to_owned(), result: Err(why) });
    }

    /// The value, or a problem.
    pub(super) fn take<T>(&mut self, what: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|why| self.bad(what, why)).ok()
    }

    pub(super) fn about(&mut self, manifest: &Manifest) {
        let JobRef { namespace, name, uid, attempt } = &manifest.job;
        let bytes =
            manifest.artifacts.iter().map(|artifact| artifact.observed.bytes).fold(0, u64::saturating_add);
        self.about = Some(format!(
            "job {namespace}/{name} (uid {uid}, attempt {attempt}), session {}: {} artifacts, {bytes} bytes, sealed at {}",
            manifest.session,
            manifest.artifacts.len(),
            manifest.sealed_at
        ));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0).min(48);
        for Finding { what, result } in &self.findings {
            match result {
                Ok(holds) => writeln!(f, "ok   {what:width$}  {holds}")?,
                Err(why) => writeln!(f, "BAD  {what:width$}  {why}")?,
            }
        }
        match &self.about {
            Some(about) if self.is_verified() => writeln!(f, "\nVERIFIED: {about}"),
            _ => writeln!(f, "\nNOT VERIFIED: problems: {}", self.problems().count()),
        }
    }
}
