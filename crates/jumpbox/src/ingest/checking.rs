//! The checks of one artifact, on a thread that may burn CPU, beside the one that hashes and cuts.

use std::{io, sync::Arc};

use bytes::Bytes;
use drawbridge_checks::{Checker, Inspectors, Rejection, Report, Shared};
use drawbridge_protocol::{
    ArtifactName, Sha256,
    checks::{CheckId, ChecksConfig, Effect},
    upload::{Failure, FailureCode},
};
use tokio::task::{JoinHandle, spawn_blocking};

/// What a session's artifacts are checked for.
#[derive(Clone)]
pub(crate) struct Checks {
    config: ChecksConfig,
    shared: Shared,
    inspectors: Arc<dyn Inspectors>,
}

impl Checks {
    pub(crate) fn new(config: ChecksConfig, inspectors: Arc<dyn Inspectors>) -> Self {
        let shared = Shared::new(config.limits.max_session_bytes);
        Self { config, shared, inspectors }
    }

    /// The checks that are made, and what follows from each, as the manifest says it.
    pub(crate) fn policy(&self) -> impl Iterator<Item = (String, Effect)> {
        let all = CheckId::ALL.iter().map(|check| (check.to_string(), self.config.effect(*check)));
        let details = self.config.details.iter().map(|(detail, effect)| (detail.to_string(), *effect));
        all.chain(details).filter(|(_, effect)| *effect != Effect::Off)
    }

    /// For an artifact of that name.
    pub(super) fn of(&self, name: &ArtifactName) -> io::Result<Checking> {
        Checker::new(name, &self.config, &self.shared, &*self.inspectors).map(Checking)
    }
}

/// One artifact's checks; none where the stack wants none. Away only while another thread works on them.
pub(super) struct Checking(Option<Checker>);

/// A look at some chunks that is under way.
pub(super) struct Looking(Option<JoinHandle<(Checker, Result<(), Rejection>)>>);

/// Why an artifact does not go on.
pub(super) enum Stop {
    Rejected(Rejection),
    Failed(Failure),
}

impl Checking {
    /// Begins to look at the next bytes.
    pub(super) fn look(&mut self, mut chunks: impl Iterator<Item = Bytes> + Send + 'static) -> Looking {
        Looking(self.0.take().map(|mut checker| {
            spawn_blocking(move || {
                let result = chunks.try_for_each(|chunk| checker.feed(&chunk));
                (checker, result)
            })
        }))
    }

    /// Waits until they are looked at.
    pub(super) async fn looked(&mut self, Looking(looking): Looking) -> Result<(), Stop> {
        let Some(looking) = looking else { return Ok(()) };
        let (checker, result) = looking.await.map_err(|error| failed(&error.to_string()))?;
        self.0 = Some(checker);
        result.map_err(Stop::Rejected)
    }

    /// The artifact is whole, and the client says what was in it.
    pub(super) async fn finish(&mut self, bytes: u64, sha256: Sha256) -> Result<Option<Report>, Stop> {
        let Some(checker) = self.0.take() else { return Ok(None) };
        let finished = spawn_blocking(move || checker.finish((bytes, &sha256))).await;
        let report = finished.map_err(|error| failed(&error.to_string()))?;
        report.map(Some).map_err(Stop::Rejected)
    }
}

fn failed(why: &str) -> Stop {
    Stop::Failed(Failure { code: FailureCode::Storage, message: format!("the checks ended early: {why}") })
}
