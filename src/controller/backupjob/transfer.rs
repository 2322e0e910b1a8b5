//! The task that carries one attempt's artifacts across. It runs beside reconcile, never in it, and wakes it at its end.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use drawbridge_protocol::{JobRef, SessionId, session::ReadyBox, upload::Entry};
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all};
use kube::runtime::reflector::ObjectRef;
use tracing::{Instrument as _, info, info_span, warn};

use super::local::{Progress, Sealed};
use crate::{
    api::{BackupJob, Source},
    controller::Context,
    fault::{Fault, Reason},
    gather::{self, Gatherer, Target},
    transfer::{Claim, ClientKey, Patience, Target as Landing, Uploader},
};

/// All that one attempt's transfer needs.
pub(super) struct Crossing {
    pub uid: String,
    pub job: JobRef,
    pub session: SessionId,
    pub sources: Vec<Source>,
    pub ready: ReadyBox,
    pub key: ClientKey,
    /// How many artifacts were counted before the session was opened.
    pub artifacts: u64,
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
            let result = cross(&context, &crossing, &progress, &reference).await;
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
            context.attempts.set_ended(&uid, &session, result.map(Box::new), figures);
            context.wake(reference);
        }
        .instrument(span)
    };
    let abort = tokio::spawn(task).abort_handle();
    context.attempts.set_running(&uid, &session, progress, abort);
}

/// Gathers everything that the sources mean now, sends it, and takes the receipt home.
async fn cross(
    context: &Context,
    crossing: &Crossing,
    progress: &Arc<Progress>,
    reference: &ObjectRef<BackupJob>,
) -> Result<Sealed, Fault> {
    let gatherer = Gatherer::new(context.client.clone(), &context.cluster, &crossing.job.namespace);
    // The pods may have changed since the session was opened; what they are now is what is backed up.
    let targets = gatherer.select(&crossing.sources).await?;
    progress.artifacts_total.store(targets.len() as u64, Ordering::Relaxed);
    let lanes = context.settings.parallel_uploads.clamp(1, targets.len().max(1));
    let queue = Mutex::new(VecDeque::from(targets));
    let carried = try_join_all((0..lanes).map(|_| lane(crossing, &gatherer, progress, &queue))).await?;
    let (mut uploaders, mut entries) = (Vec::new(), Vec::new());
    for (uploader, sent) in carried {
        uploaders.push(uploader);
        entries.extend(sent);
    }
    entries.sort();
    progress.sealing.store(true, Ordering::Relaxed);
    context.wake(reference.clone());
    let Some(last) = uploaders.first_mut() else {
        return Err(Fault::new(Reason::NoPodsMatched, "the sources mean no pods any more"));
    };
    let sealed = last.commit(&entries).await.map_err(|error| Fault::from(&error))?;
    for uploader in uploaders {
        uploader.close().await;
    }
    Ok(Sealed { envelope: sealed.envelope().clone(), receipt: sealed.receipt().clone() })
}

/// One connection to the box, and the artifacts that went over it one after the other.
async fn lane(
    crossing: &Crossing,
    gatherer: &Gatherer,
    progress: &Progress,
    queue: &Mutex<VecDeque<Target>>,
) -> Result<(Uploader, Vec<Entry>), Fault> {
    let target = Landing::new(&crossing.ready, crossing.session.clone(), crossing.job.clone());
    let (key, across) = (crossing.key.clone(), Arc::clone(&progress.across));
    let mut connection = Uploader::connect(target, key, Patience::default(), across)
        .await
        .map_err(|error| Fault::from(&error))?;
    let mut sent = Vec::new();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(target) = next else { return Ok((connection, sent)) };
        let stream = gather::open(gatherer, &target).await?;
        let uploaded = connection
            .upload(&target.artifact, claim(&target), stream.map_err(io::Error::other).boxed())
            .await
            .map_err(|error| Fault::from(&error))?;
        info!(artifact = %target.artifact, bytes = uploaded.accepted.bytes, "artifact stored");
        sent.push(uploaded.entry());
    }
}

fn claim(target: &Target) -> Claim {
    Claim {
        source: target.source.clone(),
        namespace: target.namespace.clone(),
        pod: target.pod.clone(),
        pod_uid: target.pod_uid.clone(),
        container: target.container.clone(),
        image: target.image.clone(),
        paths: target.paths.clone(),
    }
}
