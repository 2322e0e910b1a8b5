//! The task that carries one attempt's artifacts across. It runs beside reconcile, never in it, and wakes it at its end.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use drawbridge_protocol::{JobRef, ReceiptKey, SessionId, session::ReadyBox};
use kube::runtime::reflector::ObjectRef;
use tracing::{Instrument as _, info, info_span, warn};

use super::local::{Progress, Sealed};
use crate::{
    api::{BackupJob, Source},
    controller::Context,
    fault::Fault,
    gather::Bases,
    transfer::{ClientKey, SealedReceipt},
};

/// All that one attempt's transfer needs.
#[derive(Debug)]
pub struct Crossing {
    pub uid: String,
    pub job: JobRef,
    pub session: SessionId,
    pub sources: Vec<Source>,
    /// What the sources of logs go on from.
    pub bases: Bases,
    pub ready: ReadyBox,
    pub key: ClientKey,
    /// What the vault pins.
    pub receipt_key: Option<ReceiptKey>,
    /// How many artifacts were counted before the session was opened.
    pub artifacts: u64,
}

/// What carries an attempt's artifacts to its box.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Gathers everything that the sources mean now, sends it, and takes the receipt home. `sealing` is called when
    /// every artifact is stored and the receipt is awaited.
    async fn carry(
        &self,
        crossing: &Crossing,
        progress: &Progress,
        sealing: &(dyn Fn() + Send + Sync),
    ) -> Result<SealedReceipt, Fault>;
}

/// Begins the transfer as a task of its own.
pub(super) fn spawn(context: &Arc<Context>, crossing: Crossing) {
    let progress = Arc::new(Progress { artifacts_total: crossing.artifacts.into(), ..Progress::default() });
    let (uid, session) = (crossing.uid.clone(), crossing.session.to_string());
    let reference = ObjectRef::<BackupJob>::new(&crossing.job.name).within(&crossing.job.namespace);
    let span = info_span!("transfer", session, namespace = crossing.job.namespace, job = crossing.job.name);
    let task = {
        let (context, progress, uid, session) =
            (Arc::clone(context), Arc::clone(&progress), uid.clone(), session.clone());
        async move {
            let sealing = || {
                progress.sealing.store(true, Ordering::Relaxed);
                context.wake(reference.clone());
            };
            let result = context.carrier.carry(&crossing, &progress, &sealing).await;
            let figures = progress.figures();
            match &result {
                Ok(_) => info!(
                    artifacts = figures.across.artifacts,
                    original_bytes = figures.across.original_bytes,
                    stored_bytes = figures.across.sent_bytes,
                    "the backup is stored"
                ),
                Err(fault) => {
                    warn!(reason = fault.reason.as_str(), why = fault.message, "the transfer failed");
                }
            }
            context.metrics.transferred(figures);
            let met = progress.met();
            context.metrics.found(&met.artifacts);
            let checks = (met.status.flagged > 0).then_some(met.status);
            let result = result
                .map(|sealed| Box::new(Sealed { logs: progress.logs(), checks, ..Sealed::from(&sealed) }));
            context.attempts.set_ended(&uid, &session, result, figures, context.clock.now());
            context.wake(reference);
        }
        .instrument(span)
    };
    let abort = tokio::spawn(task).abort_handle();
    context.attempts.set_running(&uid, &session, progress, abort);
}
