//! What every reconcile shares.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use kube::{
    Client, ResourceExt as _,
    runtime::reflector::{ObjectRef, Store},
};

use super::{
    Heard, Parts, Spoken,
    admission::{Admission, Candidate, Open},
    awaited::Awaited,
    backoff::Backoff,
    backupjob::{Attempts, Carrier},
    events::Events,
    ports::{Clock, Entropy},
};
use crate::{
    api::{BackupJob, BackupVault},
    broker::{Broker, Function},
    gather::TokenClients,
    metrics::Metrics,
    settings::Settings,
};

/// How many waiting jobs are woken when a session closes. One place is free; the others are for those that are gone.
const WOKEN: usize = 4;
/// Waits of errors that come from Kubernetes.
const ERROR_BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_mins(1) };

/// Shared by the reconciles of both kinds.
pub struct Context {
    pub client: Client,
    /// Clients that act as someone else.
    pub accounts: Arc<dyn TokenClients>,
    pub broker: Arc<dyn Broker>,
    pub carrier: Arc<dyn Carrier>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub jobs: Store<BackupJob>,
    pub vaults: Store<BackupVault>,
    pub admission: Admission,
    pub attempts: Attempts,
    pub events: Events,
    pub metrics: Arc<Metrics>,
    pub settings: Settings,
    /// The jobs that wait until their vault's posture was looked at.
    pub awaited: Awaited,
    /// What stacks were last heard to speak.
    heard: Heard,
    wake_jobs: UnboundedSender<ObjectRef<BackupJob>>,
    wake_vaults: UnboundedSender<ObjectRef<BackupVault>>,
    pub(super) stopping: AtomicBool,
    errors: Mutex<HashMap<(String, &'static str), u32>>,
}

/// Whom the reconciles and what runs beside them want looked at.
#[derive(Debug)]
pub struct Wakes {
    pub jobs: UnboundedReceiver<ObjectRef<BackupJob>>,
    pub vaults: UnboundedReceiver<ObjectRef<BackupVault>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

impl Context {
    /// A process that knows nothing yet but what `jobs` and `vaults` show of the cluster.
    pub fn new(parts: Parts, jobs: Store<BackupJob>, vaults: Store<BackupVault>) -> (Arc<Self>, Wakes) {
        let Parts { client, accounts, broker, carrier, clock, entropy, metrics, settings } = parts;
        let (wake_jobs, jobs_woken) = mpsc::unbounded();
        let (wake_vaults, vaults_woken) = mpsc::unbounded();
        let context = Self {
            events: Events::new(client.clone(), &settings.identity),
            client,
            accounts,
            broker,
            carrier,
            clock,
            entropy,
            jobs,
            vaults,
            admission: Admission::default(),
            attempts: Attempts::default(),
            metrics,
            settings,
            awaited: Awaited::default(),
            heard: Heard::default(),
            wake_jobs,
            wake_vaults,
            stopping: AtomicBool::new(false),
            errors: Mutex::default(),
        };
        (Arc::new(context), Wakes { jobs: jobs_woken, vaults: vaults_woken })
    }

    /// Has a job looked at soon.
    pub fn wake(&self, job: ObjectRef<BackupJob>) {
        // The other side is gone only when the process ends.
        let _ = self.wake_jobs.unbounded_send(job);
    }

    /// Has a vault looked at soon.
    pub fn wake_vault(&self, name: &str) {
        let _ = self.wake_vaults.unbounded_send(ObjectRef::new(name));
    }

    /// The vault's `create` was heard to speak so; its condition is to say it.
    pub fn hear(&self, vault: &str, create: Function, spoken: Spoken) {
        if self.heard.note(create, spoken) {
            self.wake_vault(vault);
        }
    }

    /// What the vault's `create` was last heard to speak.
    pub fn heard(&self, vault: &BackupVault) -> Option<Spoken> {
        let (region, name) = (vault.spec.region.clone(), vault.spec.functions.create.clone());
        self.heard.of(&Function { region, name })
    }

    /// A job cannot begin before somebody has looked at its vault's posture.
    pub fn await_posture(&self, vault: &str, job: ObjectRef<BackupJob>) {
        self.awaited.add(vault, job);
        self.wake_vault(vault);
    }

    /// The vault as it is now was read. What its posture function said lately is in the cache too, or will be with the
    /// change that brings us here again: only then is there any use in looking at the jobs that wait for it.
    pub fn posture_read(&self, vault: &BackupVault) {
        let asked_at = |vault: &BackupVault| {
            vault.status.as_ref()?.posture.as_ref().and_then(|posture| posture.asked_at)
        };
        let name = vault.name_any();
        let cached = self.vaults.get(&ObjectRef::new(&name)).and_then(|cached| asked_at(&cached));
        let Some(asked_at) = asked_at(vault).filter(|at| cached == Some(*at)) else { return };
        for job in self.awaited.answered(&name, asked_at) {
            self.wake(job);
        }
    }

    /// From now on nothing new begins.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the process is about to end and begins nothing new.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// A job's session is closed: the next one may have its place.
    pub fn session_closed(&self, uid: &str, vault: &str) {
        let next = self.admission.closed(uid, vault, self.clock.elapsed());
        self.wake_waiting(&next);
        self.wake_vault(vault);
    }

    /// A job without a session does not ask for one.
    pub fn leave_queue(&self, uid: &str) {
        let next = self.admission.leave(uid);
        self.wake_waiting(&next);
    }

    /// Nobody visits a job again that was deleted while a step of it failed: what is kept for it goes here.
    pub fn let_go_of_gone_jobs(&self) {
        let is_here = |open: &Open| {
            let job = self.jobs.get(&ObjectRef::new(&open.name).within(&open.namespace));
            job.is_some_and(|job| job.uid().as_ref() == Some(&open.uid))
        };
        for uid in self.admission.gone(is_here) {
            self.leave_queue(&uid);
            self.attempts.forget(&uid);
        }
    }

    fn wake_waiting(&self, waiting: &[Candidate]) {
        for job in waiting.iter().take(WOKEN) {
            self.wake(ObjectRef::new(&job.name).within(&job.namespace));
        }
    }

    /// How long to wait after an error of `kind` at the object; longer each time in a row.
    pub fn after_error(&self, uid: &str, kind: &'static str) -> Duration {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let count = errors.entry((uid.to_owned(), kind)).or_default();
        *count += 1;
        ERROR_BACKOFF.delay(*count, uid)
    }

    /// The object was reconciled without an error.
    pub fn no_error(&self, uid: &str) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if !errors.is_empty() {
            errors.retain(|(other, _), _| other != uid);
        }
    }
}
