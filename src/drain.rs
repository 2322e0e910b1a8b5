//! `drawbridge-controller drain`: ends every job before the operator is uninstalled, so that no box is left that
//! nobody will close. The controller, which still runs then, does the closing; this only asks and waits.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::api::{BackupJob, CANCEL_ANNOTATION, SESSION_FINALIZER};

const EVERY: Duration = Duration::from_secs(1);
const PAGE: u32 = 500;

/// Cancels every job that is not over, and waits until none has a session.
pub async fn drain(client: Client, patience: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + patience;
    loop {
        let open = cancel_open_jobs(&client).await?;
        if open.is_empty() {
            info!("no session is open");
            return Ok(());
        }
        if Instant::now() >= until {
            bail!(
                "{} jobs still have a session after {} s: {}",
                open.len(),
                patience.as_secs(),
                open.join(", ")
            );
        }
        info!(open = open.len(), "waiting for sessions to close");
        sleep(EVERY).await;
    }
}

/// Asks each job that is not over to end; names those that still have a session or could open one.
async fn cancel_open_jobs(client: &Client) -> anyhow::Result<Vec<String>> {
    let mut open = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let jobs = Api::<BackupJob>::all(client.clone());
        let list = match jobs.list(&page).await {
            Ok(list) => list,
            // The custom resources are gone already, and every job with them.
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error).context("BackupJobs cannot be listed"),
        };
        for job in &list.items {
            if is_open(job) {
                cancel(client, job).await?;
                open.push(format!("{}/{}", job.namespace().unwrap_or_default(), job.name_any()));
            }
        }
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page.continue_token = Some(next),
            None => return Ok(open),
        }
    }
}

fn is_open(job: &BackupJob) -> bool {
    let over = job.status.as_ref().is_some_and(|status| status.phase.is_terminal());
    !over || job.finalizers().iter().any(|finalizer| finalizer == SESSION_FINALIZER)
}

async fn cancel(client: &Client, job: &BackupJob) -> anyhow::Result<()> {
    if job.annotations().contains_key(CANCEL_ANNOTATION) {
        return Ok(());
    }
    let namespace = job.namespace().unwrap_or_default();
    let jobs: Api<BackupJob> = Api::namespaced(client.clone(), &namespace);
    let patch =
        json!({ "metadata": { "annotations": { CANCEL_ANNOTATION: "the operator is being uninstalled" } } });
    match jobs.patch(&job.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error)
            .with_context(|| format!("BackupJob {namespace}/{} cannot be cancelled", job.name_any())),
    }
}
