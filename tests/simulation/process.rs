//! A controller process: the real reconciles, a cache that lags behind, a queue, and a life that may end at any call.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as Wakeup, Poll},
    time::Duration,
};

use drawbridge::{
    api::{BackupJob, BackupVault},
    controller::{
        Context, Parts, PostureLimits, Wakes,
        backoff::Backoff,
        backupjob, backupvault,
        ports::{Clock, Entropy, NoEntropy},
    },
    metrics::Metrics,
    settings::Settings,
};
use futures::{Stream, channel::mpsc};
use jiff::Timestamp;
use kube::runtime::{
    reflector::{ObjectRef, store::Writer},
    watcher,
};
use serde_json::Value;

use crate::{
    broker::Invoker,
    carrier::Bridge,
    guards::Guard,
    kube::{Accounts, Change, Key, Kind, client},
    world::World,
};

/// Reconciles at once, as the chart sets them.
const CONCURRENCY: usize = 16;

/// Whether a process still lives. Whatever it waits for, a dead one never hears of it.
pub(crate) struct Process {
    pub(crate) number: u32,
    dead: AtomicBool,
}

impl Process {
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub(crate) fn kill(&self, world: &World) {
        if !self.dead.swap(true, Ordering::Relaxed) {
            world.note(&format!("controller {} dies", self.number));
        }
    }

    /// Goes on only in a process that lives.
    pub(crate) async fn lives(&self) {
        if self.is_dead() {
            pending::<()>().await;
        }
    }

    /// The process ends here.
    pub(crate) async fn dies(&self, world: &World) {
        self.kill(world);
        pending::<()>().await;
    }
}

/// Virtual time and the run's chance, as a process sees them.
struct Ports(Arc<World>);

impl Clock for Ports {
    fn now(&self) -> Timestamp {
        self.0.time.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.time.elapsed()
    }
}

impl Entropy for Ports {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        let same = bytes.len() == 16 && self.0.without(Guard::FreshIds);
        bytes.fill_with(|| if same { 7 } else { self.0.dice.next().to_le_bytes()[0] });
        Ok(())
    }
}

type Visited = (Key, Option<Duration>);

struct Controller {
    world: Arc<World>,
    process: Arc<Process>,
    context: Arc<Context>,
    wakes: Wakes,
    jobs: Writer<BackupJob>,
    vaults: Writer<BackupVault>,
    cached: BTreeMap<Key, Value>,
    changes: mpsc::UnboundedReceiver<Change>,
    arriving: VecDeque<Change>,
    done: mpsc::UnboundedReceiver<Visited>,
    report: mpsc::UnboundedSender<Visited>,
    queue: BTreeMap<Key, Duration>,
    busy: BTreeSet<Key>,
}

/// Starts a process.
pub(crate) fn start(world: &Arc<World>, number: u32) -> Arc<Process> {
    let process = Arc::new(Process { number, dead: AtomicBool::new(false) });
    world.note(&format!("controller {number} starts"));
    let mut controller = Controller::new(world, &process);
    tokio::spawn(async move {
        while !controller.process.is_dead() {
            let next = controller.turn();
            controller.wait(next).await;
        }
    });
    process
}

impl Controller {
    fn new(world: &Arc<World>, process: &Arc<Process>) -> Self {
        let (jobs_store, jobs) = kube::runtime::reflector::store();
        let (vaults_store, vaults) = kube::runtime::reflector::store();
        let settings = Settings {
            identity: format!("controller-{}", process.number),
            concurrency: 16,
            parallel_uploads: 4,
            backoff: Backoff { first: Duration::from_secs(10), longest: Duration::from_mins(10) },
            posture: PostureLimits {
                every: Duration::from_mins(10),
                max_age: Duration::from_mins(1),
                grace: Duration::from_mins(30),
            },
            shutdown: Duration::from_secs(20),
        };
        let port = || Arc::new(Ports(Arc::clone(world)));
        let accounts = Arc::new(Accounts { world: Arc::clone(world), process: Arc::clone(process) });
        let kubernetes = client(world, process);
        let parts = Parts {
            client: kubernetes.clone(),
            accounts: accounts.clone(),
            broker: Arc::new(Invoker { world: Arc::clone(world), process: Arc::clone(process) }),
            carrier: Arc::new(Bridge {
                world: Arc::clone(world),
                process: Arc::clone(process),
                client: kubernetes,
                accounts,
            }),
            clock: port(),
            entropy: port(),
            metrics: Arc::new(Metrics::default()),
            settings,
        };
        let (context, wakes) = Context::new(parts, jobs_store, vaults_store);
        let (all, changes) = world.kube.watch(process);
        let (report, done) = mpsc::unbounded();
        let mut controller = Self {
            world: Arc::clone(world),
            process: Arc::clone(process),
            context,
            wakes,
            jobs,
            vaults,
            cached: BTreeMap::new(),
            changes,
            arriving: VecDeque::new(),
            done,
            report,
            queue: BTreeMap::new(),
            busy: BTreeSet::new(),
        };
        for (key, object) in all {
            controller.see(key, object, false);
        }
        controller
    }

    /// The cache takes a change, and the object is looked at.
    fn see(&mut self, key: Key, object: Value, deleted: bool) {
        match key.kind {
            Kind::Job => tell(&mut self.jobs, &object, deleted, backupjob::lean),
            Kind::Vault => tell(&mut self.vaults, &object, deleted, |_| {}),
        }
        if deleted {
            self.cached.remove(&key);
        } else {
            self.cached.insert(key.clone(), object);
            self.enqueue(key, Duration::ZERO);
        }
    }

    fn enqueue(&mut self, key: Key, wait: Duration) {
        let at = self.world.time.elapsed() + wait;
        let due = self.queue.entry(key).or_insert(at);
        *due = at.min(*due);
    }

    /// Does all that can be done now; says when there is more to do.
    fn turn(&mut self) -> Option<Duration> {
        let now = self.world.time.elapsed();
        while self.arriving.front().is_some_and(|change| change.at <= now) {
            let Change { key, object, deleted, .. } = self.arriving.pop_front().unwrap();
            self.see(key, object, deleted);
        }
        let due: Vec<Key> = self
            .queue
            .iter()
            .filter(|(key, at)| **at <= now && !self.busy.contains(*key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in due.into_iter().take(CONCURRENCY.saturating_sub(self.busy.len())) {
            self.queue.remove(&key);
            // As kube's runtime has it: what the cache does not hold is not visited.
            if let Some(object) = self.cached.get(&key) {
                self.busy.insert(key.clone());
                self.visit(key, object.clone());
            }
        }
        let queued = self.queue.iter().filter(|(key, _)| !self.busy.contains(*key)).map(|(_, at)| *at);
        queued.chain(self.arriving.front().map(|change| change.at)).min()
    }

    fn visit(&self, key: Key, object: Value) {
        let (context, report) = (Arc::clone(&self.context), self.report.clone());
        tokio::spawn(async move {
            let next = match key.kind {
                Kind::Job => {
                    let job: Arc<BackupJob> = Arc::new(serde_json::from_value(object).unwrap());
                    let visited = backupjob::visit(Arc::clone(&job), Arc::clone(&context)).await;
                    visited.unwrap_or_else(|error| Some(backupjob::after_error(&job, &error, &context)))
                }
                Kind::Vault => {
                    let vault: Arc<BackupVault> = Arc::new(serde_json::from_value(object).unwrap());
                    let visited = backupvault::visit(Arc::clone(&vault), Arc::clone(&context)).await;
                    visited.unwrap_or_else(|error| Some(backupvault::after_error(&vault, &error, &context)))
                }
            };
            // The other side is gone when the process is.
            let _ = report.unbounded_send((key, next));
        });
    }

    /// Waits for a wake, a change, the end of a visit, or that time.
    async fn wait(&mut self, until: Option<Duration>) {
        let time = self.world.time.clone();
        let mut sleep = until.map(|at| Box::pin(time.sleep_until(at)));
        poll_fn(|wakeup| {
            let news = self.listen(wakeup);
            let due = sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(wakeup).is_ready());
            if news || due { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn listen(&mut self, wakeup: &mut Wakeup<'_>) -> bool {
        let mut news = false;
        // The cache's own order is not the same twice, so what it makes us look at is sorted.
        let mut woken = BTreeSet::new();
        while let Poll::Ready(Some(job)) = next(&mut self.wakes.jobs, wakeup) {
            woken.insert(key_of(&job));
        }
        while let Poll::Ready(Some(vault)) = next(&mut self.wakes.vaults, wakeup) {
            woken.insert(Key::vault(&vault.name));
        }
        for key in woken {
            self.enqueue(key, Duration::ZERO);
            news = true;
        }
        while let Poll::Ready(Some(change)) = next(&mut self.changes, wakeup) {
            self.arriving.push_back(change);
            news = true;
        }
        while let Poll::Ready(Some((key, wait))) = next(&mut self.done, wakeup) {
            self.busy.remove(&key);
            if let Some(wait) = wait {
                self.enqueue(key, wait);
            }
            news = true;
        }
        news
    }
}

fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>, wakeup: &mut Wakeup<'_>) -> Poll<Option<T>> {
    std::pin::Pin::new(receiver).poll_next(wakeup)
}

fn key_of(job: &ObjectRef<BackupJob>) -> Key {
    Key::job(job.namespace.as_deref().unwrap_or_default(), &job.name)
}

/// As the product's cache takes it up: `trim` is what that does with it first.
fn tell<K>(writer: &mut Writer<K>, object: &Value, deleted: bool, trim: impl FnOnce(&mut K))
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + 'static,
{
    let mut object: K = serde_json::from_value(object.clone()).unwrap();
    trim(&mut object);
    let event = if deleted { watcher::Event::Delete(object) } else { watcher::Event::Apply(object) };
    writer.apply_watcher_event(&event);
}
