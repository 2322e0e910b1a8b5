//! The few writes that a job gets. Each carries the resource version that it was decided on, so that a decision on
//! an outdated job changes nothing.

use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

use crate::{
    api::{BackupJob, BackupJobStatus, SESSION_FINALIZER},
    controller::ReconcileError,
};

/// Replaces the status.
pub(super) async fn status(
    client: &Client,
    job: &BackupJob,
    status: BackupJobStatus,
) -> Result<BackupJob, ReconcileError> {
    let changed = BackupJob { status: Some(status), ..job.clone() };
    jobs(client, job)
        .replace_status(&job.name_any(), &PostParams::default(), &changed)
        .await
        .map_err(|error| failed("write the status of", job, &error))
}

/// Puts our finalizer on, so that the job stays until its session is closed.
pub(super) async fn add_finalizer(client: &Client, job: &BackupJob) -> Result<BackupJob, ReconcileError> {
    let mut finalizers = job.finalizers().to_vec();
    if finalizers.iter().any(|finalizer| finalizer == SESSION_FINALIZER) {
        return Ok(job.clone());
    }
    finalizers.push(SESSION_FINALIZER.to_owned());
    set_finalizers(client, job, &finalizers).await
}

/// Takes our finalizer off. A job that is gone meanwhile is as good.
pub(super) async fn drop_finalizer(client: &Client, job: &BackupJob) -> Result<(), ReconcileError> {
    let kept: Vec<String> =
        job.finalizers().iter().filter(|finalizer| *finalizer != SESSION_FINALIZER).cloned().collect();
    if kept.len() == job.finalizers().len() {
        return Ok(());
    }
    set_finalizers(client, job, &kept).await.map(|_| ())
}

/// Deletes exactly this job.
pub(super) async fn delete(client: &Client, job: &BackupJob) -> Result<(), ReconcileError> {
    let preconditions = Preconditions { uid: job.uid(), resource_version: job.resource_version() };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match jobs(client, job).delete(&job.name_any(), &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(failed("delete", job, &error)),
    }
}

async fn set_finalizers(
    client: &Client,
    job: &BackupJob,
    finalizers: &[String],
) -> Result<BackupJob, ReconcileError> {
    let patch =
        json!({ "metadata": { "resourceVersion": job.resource_version(), "finalizers": finalizers } });
    jobs(client, job)
        .patch(&job.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|error| failed("change the finalizers of", job, &error))
}

fn jobs(client: &Client, job: &BackupJob) -> Api<BackupJob> {
    Api::namespaced(client.clone(), &job.namespace().unwrap_or_default())
}

fn failed(what: &str, job: &BackupJob, error: &kube::Error) -> ReconcileError {
    let object = format!("BackupJob {}/{}", job.namespace().unwrap_or_default(), job.name_any());
    ReconcileError::from_kube(what, &object, error)
}
