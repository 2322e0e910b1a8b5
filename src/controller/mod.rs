//! The controllers of both kinds, and what they share.
//!
//! Every reconcile is `observe -> plan -> execute`: look, decide without looking further, do one thing. Whatever
//! takes long runs beside it as a task and wakes it.

pub mod admission;
pub mod awaited;
pub mod backoff;
pub mod backupjob;
pub mod backupvault;
mod context;
mod error;
mod events;
pub mod ports;
mod spoken;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, future};
use kube::{
    Api, Client,
    runtime::{
        Controller, WatchStreamExt as _,
        controller::{self, Config as ControllerConfig},
        reflector, watcher,
    },
};
use tokio::{sync::oneshot, time::Instant};
use tracing::{debug, info};

pub use backupvault::posture::Limits as PostureLimits;
pub use context::{Context, Wakes};
pub use error::ReconcileError;
pub use events::Events;
pub use spoken::{Heard, Spoken};

use crate::{
    api::{BackupJob, BackupVault},
    broker::Broker,
    gather::TokenClients,
    metrics::Metrics,
    settings::Settings,
};
use backupjob::Carrier;
use ports::{Clock, Entropy};

/// What [`run`] needs from outside.
pub struct Parts {
    pub client: Client,
    /// Clients that act as someone else.
    pub accounts: Arc<dyn TokenClients>,
    pub broker: Arc<dyn Broker>,
    pub carrier: Arc<dyn Carrier>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub metrics: Arc<Metrics>,
    pub settings: Settings,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

/// Runs both controllers until `stop` resolves and what is under way has come to an end or `settings.shutdown` has
/// passed. A session that is still open then is closed by the next process.
pub async fn run(parts: Parts, stop: impl Future<Output = ()> + Send) {
    let client = parts.client.clone();
    let config = ControllerConfig::default().concurrency(parts.settings.concurrency);
    let (known_jobs, writer) = reflector::store();
    let changes = watcher(
        Api::<BackupJob>::all(client.clone()),
        watcher::Config::default().page_size(backupjob::cache::PAGE),
    )
    .modify(backupjob::cache::lean)
    .reflect(writer)
    .applied_objects();
    let jobs = Controller::for_stream(changes, known_jobs).with_config(config.clone());
    let vaults =
        Controller::new(Api::<BackupVault>::all(client), watcher::Config::default()).with_config(config);
    let (context, wakes) = Context::new(parts, jobs.store(), vaults.store());
    let jobs = jobs.reconcile_on(wakes.jobs);
    let vaults = vaults.reconcile_on(wakes.vaults);
    let (stop_jobs, jobs_stopped) = oneshot::channel::<()>();
    let (stop_vaults, vaults_stopped) = oneshot::channel::<()>();
    let jobs = jobs
        .graceful_shutdown_on(async { drop(jobs_stopped.await) })
        .run(backupjob::reconcile, backupjob::on_error, Arc::clone(&context))
        .for_each(|result| {
            note("backupjob", result);
            future::ready(())
        });
    let vaults = vaults
        .graceful_shutdown_on(async { drop(vaults_stopped.await) })
        .run(backupvault::reconcile, backupvault::on_error, Arc::clone(&context))
        .for_each(|result| {
            note("backupvault", result);
            future::ready(())
        });
    let end = async {
        stop.await;
        wind_down(&context).await;
        // The receivers are gone only if the controllers ended already.
        let _ = stop_jobs.send(());
        let _ = stop_vaults.send(());
    };
    future::join3(jobs, vaults, end).await;
}

/// Begins nothing new and waits for what is under way.
async fn wind_down(context: &Context) {
    context.stop();
    let until = Instant::now() + context.settings.shutdown;
    let mut open = context.attempts.open();
    info!(open, "stopping: nothing new begins");
    while open > 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(200)).await;
        open = context.attempts.open();
    }
    info!(open, "stopping: the controllers end; sessions still open are closed by the next process");
}

/// Errors of a reconcile are logged where they arise; what is left is the queue's own.
fn note<K, E, Q>(kind: &str, result: Result<K, controller::Error<E, Q>>)
where
    E: std::error::Error + 'static,
    Q: std::error::Error + 'static,
{
    match result {
        Ok(_) | Err(controller::Error::ReconcilerFailed(..)) => {}
        Err(error) => debug!(kind, %error, "queue"),
    }
}
