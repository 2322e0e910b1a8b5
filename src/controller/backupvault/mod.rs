//! Reconciles a `BackupVault`: whether its functions answer, and what is open and waiting there.

mod execute;
mod identity;
mod observe;
mod plan;
pub(super) mod posture;
#[cfg(test)]
mod posture_tests;
mod skew;
mod status;

use std::{sync::Arc, time::Duration};

use kube::{Api, ResourceExt as _, runtime::controller::Action};
use tracing::{Instrument as _, info_span, warn};

pub use execute::record_abandoned;

use super::backupjob::DISAGREED;
use super::{Context, ReconcileError};
use crate::api::BackupVault;

/// One look at a vault, and one step.
pub async fn reconcile(cached: Arc<BackupVault>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    visit(cached, context).await.map(|wait| wait.map_or_else(Action::await_change, Action::requeue))
}

/// The same, for whoever keeps a queue of his own: when to look again, if nothing changes before.
pub async fn visit(
    cached: Arc<BackupVault>,
    context: Arc<Context>,
) -> Result<Option<Duration>, ReconcileError> {
    let name = cached.name_any();
    let span = info_span!("backupvault", vault = name);
    async move {
        let vaults: Api<BackupVault> = Api::all(context.client.clone());
        let found = vaults
            .get_opt(&name)
            .await
            .map_err(|error| ReconcileError::from_kube("read", &format!("BackupVault {name}"), &error))?;
        let Some(vault) = found else { return Ok(Some(DISAGREED)) };
        let now = context.clock.now();
        context.posture_read(&vault);
        let seen = observe::observe(&context, &vault);
        let step = plan::plan(&vault, seen, context.settings.posture, now);
        context.metrics.step(step.name());
        let wait = match execute::execute(&context, &vault, step, now).await {
            Err(ReconcileError::Conflict { .. }) => Duration::from_millis(100),
            other => other?,
        };
        context.no_error(&vault.uid().unwrap_or_default());
        Ok(Some(wait))
    }
    .instrument(span)
    .await
}

/// What happens after a reconcile failed: the same again, later each time.
#[allow(clippy::needless_pass_by_value)] // kube's signature
pub fn on_error(vault: Arc<BackupVault>, error: &ReconcileError, context: Arc<Context>) -> Action {
    Action::requeue(after_error(&vault, error, &context))
}

/// How long to wait after a visit failed.
pub fn after_error(vault: &BackupVault, error: &ReconcileError, context: &Context) -> Duration {
    context.metrics.reconcile_failed("backupvault", error.kind());
    warn!(vault = vault.name_any(), kind = error.kind(), %error, "reconcile failed");
    context.after_error(&vault.uid().unwrap_or_default(), error.kind())
}
