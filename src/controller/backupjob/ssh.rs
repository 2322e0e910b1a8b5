//! The carrier of the real thing: sources read as the namespace's gatherer, and SSH to the box.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use async_trait::async_trait;
use drawbridge_protocol::upload::Entry;
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all};
use jiff::Timestamp;
use kube::Client;
use tracing::info;

use super::{Carrier, Crossing, local::Progress, series};
use crate::{
    fault::{Fault, Reason},
    gather::{self, Content, Gathered, Gatherer, Opened, Target, TokenClients},
    transfer::{Claim, Patience, SealedReceipt, Share, Target as Landing, TransferError, Uploaded, Uploader},
};

/// Carries over SSH.
pub struct Ssh {
    pub client: Client,
    pub accounts: Arc<dyn TokenClients>,
    /// Artifacts that cross at once, each over a connection of its own.
    pub parallel_uploads: usize,
}

impl std::fmt::Debug for Ssh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ssh").field("parallel_uploads", &self.parallel_uploads).finish_non_exhaustive()
    }
}

#[async_trait]
impl Carrier for Ssh {
    async fn carry(
        &self,
        crossing: &Crossing,
        progress: &Progress,
        sealing: &(dyn Fn() + Send + Sync),
    ) -> Result<SealedReceipt, Fault> {
        let gatherer = Gatherer::new(self.client.clone(), &self.accounts, &crossing.job.namespace);
        // The pods may have changed since the session was opened; what they are now is what is backed up.
        let now = Timestamp::now();
        let targets = gatherer.select(&crossing.sources, &crossing.bases, now).await?;
        progress.artifacts_total.store(targets.len() as u64, Ordering::Relaxed);
        let lanes = self.parallel_uploads.clamp(1, targets.len().max(1));
        let queue = Mutex::new(VecDeque::from(targets));
        let carried = try_join_all(
            Share::among(lanes)
                .into_iter()
                .map(|share| lane(crossing, &gatherer, progress, &queue, share, now)),
        )
        .await?;
        let (mut uploaders, mut entries) = (Vec::new(), Vec::new());
        for (uploader, sent) in carried {
            uploaders.push(uploader);
            entries.extend(sent);
        }
        entries.sort();
        sealing();
        let Some(last) = uploaders.first_mut() else {
            return Err(Fault::new(Reason::NoPodsMatched, "the sources mean no pods any more"));
        };
        let sealed = last.commit(&entries).await.map_err(|error| Fault::from(&error))?;
        for uploader in uploaders {
            uploader.close().await;
        }
        Ok(sealed)
    }
}

/// One connection to the box, and the artifacts that went over it one after the other.
async fn lane(
    crossing: &Crossing,
    gatherer: &Arc<Gatherer>,
    progress: &Progress,
    queue: &Mutex<VecDeque<Target>>,
    share: Share,
    listed_at: Timestamp,
) -> Result<(Uploader, Vec<Entry>), Fault> {
    let target = Landing::new(&crossing.ready, crossing.session.clone(), crossing.job.clone())
        .pinned(crossing.receipt_key.clone());
    let (key, across) = (crossing.key.clone(), Arc::clone(&progress.across));
    let mut connection = Uploader::connect(target, key, Patience::default(), across)
        .await
        .map_err(|error| Fault::from(&error))?
        .with(share);
    let mut sent = Vec::new();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(target) = next else {
            connection.rest();
            return Ok((connection, sent));
        };
        let (opened, log) = match &target.content {
            Content::Files { paths, exclude } => {
                (gather::open_files(gatherer, &target, paths, exclude).await?, None)
            }
            Content::Logs(plan) => {
                let (stream, found) = gather::open_logs(gatherer, &target, plan, listed_at);
                (Opened::Plain(stream), Some(found))
            }
        };
        let (name, claim) = (&target.artifact, claim(&target, log.as_ref()));
        let uploaded = match opened {
            Opened::Plain(stream) => {
                connection.upload(name, claim, stream.map_err(io::Error::other).boxed()).await
            }
            Opened::Zstd(stream, original) => {
                let stream = stream.map_err(io::Error::other).boxed();
                connection.upload_zstd(name, claim, original, stream).await
            }
        };
        note(progress, &uploaded);
        let uploaded = uploaded.map_err(|error| Fault::from(&error))?;
        if let Some(found) = log {
            let mut logs = progress.logs.lock().unwrap_or_else(PoisonError::into_inner);
            series::note(logs.get_or_insert_default(), &target, &found, &crossing.sources);
        }
        info!(artifact = %target.artifact, bytes = uploaded.accepted.bytes, "artifact stored");
        sent.push(uploaded.entry());
    }
}

/// Keeps what the box's checks found in an artifact.
fn note(progress: &Progress, uploaded: &Result<Uploaded, TransferError>) {
    let mut met = progress.met.lock().unwrap_or_else(PoisonError::into_inner);
    match uploaded {
        Ok(uploaded) => met.stored(&uploaded.accepted),
        Err(TransferError::Rejected { check, .. }) => met.rejected(check),
        Err(_) => {}
    }
}

fn claim(target: &Target, log: Option<&Gathered>) -> Claim {
    let paths = match &target.content {
        Content::Files { paths, .. } => paths.clone(),
        Content::Logs(_) => Vec::new(),
    };
    Claim {
        source: target.source.clone(),
        namespace: target.namespace.clone(),
        pod: target.pod.clone(),
        pod_uid: target.pod_uid.clone(),
        container: target.container.clone(),
        image: target.image.clone(),
        paths,
        log: log.map(|log| Arc::clone(&log.range)),
    }
}
