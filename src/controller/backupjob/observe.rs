//! Looks at everything that the plan needs, and only at that: a job with a session needs neither its vault nor its pods.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::LabelSelector};
use kube::{
    Api, ResourceExt as _,
    core::{Selector as LabelExpressions, SelectorExt as _},
    runtime::reflector::ObjectRef,
};

use super::plan::{Observation, VaultView, could_begin};
use crate::{
    api::{BackupJob, BackupVault, ConditionStatus, conditions},
    controller::{
        Context, ReconcileError,
        admission::{Candidate, Open, Turn},
        backupvault::posture::{self, Gate},
    },
    fault::Fault,
    gather::{Bases, Gatherer},
};

/// What is known of `job` now.
pub(super) async fn observe(
    context: &Context,
    job: &BackupJob,
    now: Timestamp,
) -> Result<Observation, ReconcileError> {
    let uid = job.uid().unwrap_or_default();
    let session = job.status.as_ref().and_then(|status| status.session.as_ref());
    let mut seen = Observation {
        vault: VaultView::Unasked,
        turn: None,
        selection: None,
        local: session.map(|session| context.attempts.view(&uid, &session.id)).unwrap_or_default(),
        stopping: context.is_stopping(),
    };
    if !could_begin(job, now) || seen.stopping {
        if session.is_none() {
            context.leave_queue(&uid);
        }
        return Ok(seen);
    }
    let vault = context.vaults.get(&ObjectRef::new(&job.spec.vault));
    seen.vault = look_at_vault(context, job, vault.as_deref(), now).await?;
    let Some(vault) = vault.filter(|_| seen.vault == VaultView::Usable) else {
        context.leave_queue(&uid);
        return Ok(seen);
    };
    let turn = ask_for_turn(context, job, &vault);
    // Pods are looked at only by the job whose turn it is: two hundred waiting jobs cost no API calls.
    if turn == Turn::Granted {
        let gatherer =
            Gatherer::new(context.client.clone(), &context.accounts, &job.namespace().unwrap_or_default());
        let found = gatherer.select(&job.spec.sources, &Bases::new(), now).await;
        seen.selection = Some(found.map(|targets| targets.len()).map_err(Fault::from));
    }
    seen.turn = Some(turn);
    Ok(seen)
}

async fn look_at_vault(
    context: &Context,
    job: &BackupJob,
    vault: Option<&BackupVault>,
    now: Timestamp,
) -> Result<VaultView, ReconcileError> {
    let Some(vault) = vault.filter(|vault| vault.metadata.deletion_timestamp.is_none()) else {
        return Ok(VaultView::Missing);
    };
    let namespace = job.namespace().unwrap_or_default();
    if !is_allowed(context, vault, &namespace).await? {
        let message = format!(
            "BackupVault {} does not take jobs of namespace {namespace}: its admin allows namespaces in \
             spec.allowedNamespaces",
            vault.name_any()
        );
        return Ok(VaultView::NotAllowed { message });
    }
    let known = vault.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match conditions::find(known, "Ready") {
        Some(ready) if ready.status == ConditionStatus::True => Ok(posture_of(context, job, vault, now)),
        Some(ready) => Ok(VaultView::NotReady { message: format!("{}: {}", ready.reason, ready.message) }),
        None => Ok(VaultView::NotReady { message: "it has not been looked at yet".to_owned() }),
    }
}

/// Whether the stack is in a state to be trusted with a backup. What is not fresh is looked at again, for a job that
/// could begin on it as for one that cannot.
fn posture_of(context: &Context, job: &BackupJob, vault: &BackupVault, now: Timestamp) -> VaultView {
    let gate = posture::gate(vault, context.settings.posture, now);
    if posture::is_stale(vault, context.settings.posture, now) {
        context.await_posture(&vault.name_any(), ObjectRef::from_obj(job));
    }
    match gate {
        Gate::Open => VaultView::Usable,
        Gate::Stale => VaultView::Unchecked,
        Gate::Broken { message } => VaultView::PostureBroken { message },
        Gate::Unknown { message } => VaultView::PostureUnknown { message },
    }
}

async fn is_allowed(context: &Context, vault: &BackupVault, namespace: &str) -> Result<bool, ReconcileError> {
    let allowed = &vault.spec.allowed_namespaces;
    if allowed.match_names.iter().any(|name| name == namespace) {
        return Ok(true);
    }
    let Some(selector) = &allowed.selector else { return Ok(false) };
    let object = format!("BackupVault {}", vault.name_any());
    let expressions = LabelExpressions::try_from(LabelSelector::from(selector)).map_err(|error| {
        ReconcileError::Malformed { object, what: format!("a selector that cannot be read ({error})") }
    })?;
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let found = namespaces
        .get(namespace)
        .await
        .map_err(|error| ReconcileError::from_kube("read namespace", namespace, &error))?;
    Ok(expressions.matches(found.labels()))
}

fn ask_for_turn(context: &Context, job: &BackupJob, vault: &BackupVault) -> Turn {
    let candidate = Candidate {
        uid: job.uid().unwrap_or_default(),
        namespace: job.namespace().unwrap_or_default(),
        name: job.name_any(),
        vault: job.spec.vault.clone(),
        created: job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
    };
    context.let_go_of_gone_jobs();
    let limit = usize::try_from(vault.spec.max_concurrent_sessions).unwrap_or(1).max(1);
    let open = open_sessions(&context.jobs.state());
    context.admission.ask(candidate, limit, open, context.clock.elapsed())
}

/// The sessions that the cache knows of.
pub fn open_sessions(jobs: &[Arc<BackupJob>]) -> Vec<Open> {
    jobs.iter()
        .filter(|job| job.status.as_ref().is_some_and(|status| status.session.is_some()))
        .map(|job| Open {
            uid: job.uid().unwrap_or_default(),
            namespace: job.namespace().unwrap_or_default(),
            name: job.name_any(),
            vault: job.spec.vault.clone(),
        })
        .collect()
}
