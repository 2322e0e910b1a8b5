//! Does one step for a vault.

use std::time::Duration;

use drawbridge_protocol::{
    CleanupRequest, Posture, PostureRequest, SessionId, Version, session::CleanupOutcome,
};
use jiff::Timestamp;
use kube::{Api, Client, Resource as _, ResourceExt as _, api::PostParams, runtime::reflector::ObjectRef};
use tracing::info;

use super::{identity, plan::Step, posture, skew, status};
use crate::{
    api::{AbandonedSession, BackupVault, BackupVaultStatus, ConditionStatus, GuaranteeState, conditions},
    broker::{BrokerError, Function},
    controller::{Context, ReconcileError},
    fault::{Fault, Reason},
};

/// A session that never was; asking for its end is harmless and answered only by the right function.
const NO_SESSION: &str = "00000000000000000000000000000000";
/// How many changes of guarantees are told as events at a time; the status has them all.
const MAX_TOLD: usize = 8;
/// How often a record is tried again when someone else writes the vault at the same time.
const TRIES: usize = 5;

/// Does `step`; says how long to rest.
pub(super) async fn execute(
    context: &Context,
    vault: &BackupVault,
    step: Step,
    now: Timestamp,
) -> Result<Duration, ReconcileError> {
    match step {
        Step::Rest(wait) => Ok(wait),
        Step::Count(seen) => {
            write(&context.client, vault, status::counted(vault, seen)).await?;
            Ok(Duration::ZERO)
        }
        Step::AskPosture => {
            let answer = ask_posture(context, vault).await;
            let changed = posture::asked(vault, answer, context.settings.posture, now);
            write(&context.client, vault, changed.clone()).await?;
            tell_posture(context, vault, &changed).await;
            Ok(Duration::ZERO)
        }
        Step::ForgetPosture => {
            if let Some(changed) = posture::forgotten(vault) {
                write(&context.client, vault, changed).await?;
            }
            Ok(Duration::ZERO)
        }
        Step::Ask => {
            let answer = ask(context, vault).await;
            let changed = status::asked(vault, &answer, now);
            let changed = identity::note(vault, changed, context.broker.credentials().await, now);
            let changed = skew::note(vault, changed, context.heard(vault).as_ref(), now);
            write(&context.client, vault, changed.clone()).await?;
            tell(context, vault, &changed).await;
            identity::tell(context, vault, &changed).await;
            Ok(Duration::ZERO)
        }
    }
}

async fn ask(context: &Context, vault: &BackupVault) -> Result<(), Fault> {
    if let Err(error) = vault.spec.pinned_receipt_key() {
        let message = format!(
            "{error}: set spec.receiptKey to what `aws kms get-public-key` gives of the stack's output ReceiptKeyArn, in PEM"
        );
        return Err(Fault::new(Reason::ReceiptKeyInvalid, message));
    }
    let function = Function { region: vault.spec.region.clone(), name: vault.spec.functions.cleanup.clone() };
    let session: SessionId =
        NO_SESSION.parse().map_err(|error| Fault::new(Reason::BrokerFailed, format!("{error}")))?;
    let request = CleanupRequest { version: Version, session, receipt: None };
    let answer = context.broker.cleanup(&function, &request).await;
    context.metrics.asked("cleanup", answer.as_ref().err().map(BrokerError::kind));
    match answer {
        Ok(CleanupOutcome::Destroyed | CleanupOutcome::Destroying { .. }) => Ok(()),
        Ok(CleanupOutcome::Refused { message }) => {
            Err(Fault::new(Reason::BrokerFailed, format!("{function} refuses what it is asked: {message}")))
        }
        Err(error) => Err(Fault::from(&error)),
    }
}

async fn ask_posture(context: &Context, vault: &BackupVault) -> Result<Posture, Fault> {
    let name = vault.spec.functions.posture.clone().unwrap_or_default();
    let function = Function { region: vault.spec.region.clone(), name };
    let answer = context.broker.posture(&function, &PostureRequest { version: Version }).await;
    context.metrics.asked("posture", answer.as_ref().err().map(BrokerError::kind));
    answer.map_err(|error| Fault::from(&error))
}

/// Says what changed.
async fn tell_posture(context: &Context, vault: &BackupVault, changed: &BackupVaultStatus) {
    let name = vault.name_any();
    let about = vault.object_ref(&());
    let before = vault.status.as_ref().and_then(|status| status.posture.as_ref());
    for guarantee in posture::changes(before, changed).into_iter().take(MAX_TOLD) {
        let (id, state) = (guarantee.id.as_str(), guarantee.state);
        info!(guarantee = id, state = state.as_str(), why = guarantee.message, "a guarantee changed");
        let note = format!("{id}: {}", guarantee.message);
        match state {
            GuaranteeState::Holds => context.events.normal(&about, "Check", "GuaranteeHolds", &note).await,
            GuaranteeState::Broken => context.events.warning(&about, "Check", "GuaranteeBroken", &note).await,
            GuaranteeState::Unknown => {
                context.events.warning(&about, "Check", "GuaranteeUnknown", &note).await;
            }
        }
    }
    let others = context.vaults.state();
    let others = others.iter().filter(|other| other.name_any() != name);
    let all = others.filter_map(|other| other.status.as_ref()?.posture.as_ref()).chain(&changed.posture);
    context.metrics.posture(&posture::counted(all));
}

/// Says so when readiness changed, and has the jobs looked at that may wait for it.
async fn tell(context: &Context, vault: &BackupVault, changed: &BackupVaultStatus) {
    let before = vault.status.as_ref().and_then(|status| conditions::find(&status.conditions, "Ready"));
    let Some(ready) = conditions::find(&changed.conditions, "Ready") else { return };
    let same = before.is_some_and(|before| before.status == ready.status && before.reason == ready.reason);
    if same
        && changed.observed_generation == vault.status.as_ref().and_then(|status| status.observed_generation)
    {
        return;
    }
    info!(reason = ready.reason, why = ready.message, "the vault's readiness changed");
    let about = vault.object_ref(&());
    if ready.status == ConditionStatus::True {
        context.events.normal(&about, "Ask", &ready.reason, &ready.message).await;
    } else {
        context.events.warning(&about, "Ask", &ready.reason, &ready.message).await;
    }
    let name = vault.name_any();
    for job in context.jobs.state() {
        let over = job.status.as_ref().is_some_and(|status| status.phase.is_terminal());
        if !over && job.spec.vault == name {
            context.wake(ObjectRef::from_obj(job.as_ref()));
        }
    }
}

/// Keeps a record of a session that was let go. It is tried again when someone else writes the vault meanwhile.
pub async fn record_abandoned(
    client: &Client,
    name: &str,
    record: AbandonedSession,
) -> Result<(), ReconcileError> {
    let vaults: Api<BackupVault> = Api::all(client.clone());
    let object = format!("BackupVault {name}");
    for _ in 0..TRIES {
        let vault =
            vaults.get(name).await.map_err(|error| ReconcileError::from_kube("read", &object, &error))?;
        match write(client, &vault, status::abandoned(&vault, record.clone())).await {
            Err(ReconcileError::Conflict { .. }) => {}
            other => return other,
        }
    }
    Err(ReconcileError::Conflict { object })
}

async fn write(
    client: &Client,
    vault: &BackupVault,
    status: BackupVaultStatus,
) -> Result<(), ReconcileError> {
    let changed = BackupVault { status: Some(status), ..vault.clone() };
    let name = vault.name_any();
    Api::<BackupVault>::all(client.clone())
        .replace_status(&name, &PostParams::default(), &changed)
        .await
        .map(|_| ())
        .map_err(|error| {
            ReconcileError::from_kube("write the status of", &format!("BackupVault {name}"), &error)
        })
}
