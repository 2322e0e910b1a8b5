//! Reconciles a `BackupJob`: observe, plan, execute one step, and again.

pub(super) mod cache;
mod checks;
mod execute;
mod local;
mod observe;
mod plan;
mod series;
mod ssh;
mod status;
mod transfer;
mod write;

#[cfg(test)]
mod status_tests;

use std::{sync::Arc, time::Duration};

use kube::{Api, ResourceExt as _, runtime::controller::Action};
use tracing::Instrument as _;
use tracing::{debug, info_span, warn};

pub use cache::lean;
pub use checks::Met;
pub use local::{Attempts, Figures, Progress};
pub use observe::open_sessions;
pub use plan::StepKind;
pub use ssh::Ssh;
pub use transfer::{Carrier, Crossing};

use super::{Context, ReconcileError};
use crate::api::{BackupJob, Phase, SESSION_FINALIZER};
use execute::{Next, Work};

/// When to look again at what the cache has and the API server has not.
pub(super) const DISAGREED: Duration = Duration::from_secs(10);

/// One look at a job, and one step.
pub async fn reconcile(cached: Arc<BackupJob>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    visit(cached, context).await.map(|wait| wait.map_or_else(Action::await_change, Action::requeue))
}

/// The same, for whoever keeps a queue of his own: when to look again, if nothing changes before.
pub async fn visit(
    cached: Arc<BackupJob>,
    context: Arc<Context>,
) -> Result<Option<Duration>, ReconcileError> {
    let (namespace, name) = (cached.namespace().unwrap_or_default(), cached.name_any());
    let span = info_span!("backupjob", namespace, job = name);
    async move {
        if is_over(&cached) {
            context.leave_queue(&cached.uid().unwrap_or_default());
            context.attempts.forget(&cached.uid().unwrap_or_default());
            return Ok(None);
        }
        // A step is decided on the job as it is, not as the cache last saw it.
        let jobs: Api<BackupJob> = Api::namespaced(context.client.clone(), &namespace);
        let found = jobs.get_opt(&name).await.map_err(|error| {
            ReconcileError::from_kube("read", &format!("BackupJob {namespace}/{name}"), &error)
        })?;
        let Some(job) = found.filter(|job| job.uid() == cached.uid()) else {
            context.leave_queue(&cached.uid().unwrap_or_default());
            context.attempts.forget(&cached.uid().unwrap_or_default());
            // Most often the cache is behind, and its next change ends this. Should it be the answer that was old, no
            // change would come.
            return Ok(Some(DISAGREED));
        };
        step(&context, &job).await
    }
    .instrument(span)
    .await
}

async fn step(context: &Arc<Context>, job: &BackupJob) -> Result<Option<Duration>, ReconcileError> {
    let now = context.clock.now();
    let seen = observe::observe(context, job, now).await?;
    let step = plan::plan(job, &seen, context.settings.backoff, now);
    let step_name = step.name();
    context.metrics.step(step_name);
    debug!(step = step_name, "planned");
    let work = Work { context, job, seen: &seen, now };
    let next = match work.execute(step).await {
        Ok(next) => next,
        // Someone wrote in between, most often the user; the job is looked at again as it is now.
        Err(ReconcileError::Conflict { object }) => {
            debug!(object, "changed meanwhile");
            return Ok(Some(Duration::from_millis(100)));
        }
        Err(error) => return Err(error),
    };
    context.no_error(&job.uid().unwrap_or_default());
    Ok(match next {
        Next::Now => Some(Duration::ZERO),
        Next::At(at) => {
            let wait = Duration::try_from(at.duration_since(context.clock.now())).unwrap_or_default();
            Some(wait.max(Duration::from_millis(50)))
        }
        Next::OnChange => None,
    })
}

/// Whether the cached job is certainly done with, so that ten thousand finished jobs cost no API calls.
fn is_over(job: &BackupJob) -> bool {
    let phase = job.status.as_ref().map(|status| status.phase).unwrap_or_default();
    let held = job.finalizers().iter().any(|finalizer| finalizer == SESSION_FINALIZER);
    matches!(phase, Phase::Complete | Phase::Failed)
        && !held
        && job.status.as_ref().is_some_and(|status| status.session.is_none())
        && job.spec.ttl_seconds_after_finished.is_none()
}

/// What happens after a reconcile failed: the same again, later each time.
#[allow(clippy::needless_pass_by_value)] // kube's signature
pub fn on_error(job: Arc<BackupJob>, error: &ReconcileError, context: Arc<Context>) -> Action {
    Action::requeue(after_error(&job, error, &context))
}

/// How long to wait after a visit failed.
pub fn after_error(job: &BackupJob, error: &ReconcileError, context: &Context) -> Duration {
    let uid = job.uid().unwrap_or_default();
    let wait = context.after_error(&uid, error.kind());
    context.metrics.reconcile_failed("backupjob", error.kind());
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    warn!(namespace, job = name, kind = error.kind(), %error, "reconcile failed");
    wait
}
