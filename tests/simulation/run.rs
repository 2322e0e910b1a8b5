//! One run: starts everything, lets people and processes interfere, waits for the end, holds the end against what
//! must hold then.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Once},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    aws,
    faults::Fault,
    guards::Guard,
    kube::Key,
    ledger::{Invariant, Violation},
    process::{self, Process},
    scenario::{Deed, Job},
    world::World,
};

/// How often the world is looked at as a whole.
const LOOK: Duration = Duration::from_secs(5);
const VAULT: &str = "vault";

thread_local! {
    /// A run has a thread of its own, and so have its tasks.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            told(panic);
        }));
    });
}

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) violation: Option<Violation>,
    pub(crate) broken: BTreeSet<Invariant>,
    pub(crate) trace: Vec<String>,
    pub(crate) dealt: BTreeMap<(&'static str, Fault), u64>,
    /// Jobs that completed and failed, sessions abandoned.
    pub(crate) ends: (u64, u64, u64),
    pub(crate) crashes: u64,
    pub(crate) virtual_time: Duration,
}

/// Plays one seed. A task that panics ends alone, and the others could go on as if it had crashed: no panic is taken for one
/// of the faults.
pub(crate) fn run(seed: u64, off: Option<Guard>) -> Outcome {
    count_panics();
    let before = PANICS.get();
    let world = World::new(seed, off);
    let runtime = world.time.runtime();
    let crashes = runtime.block_on(play(&world));
    // What still sleeps goes with the runtime.
    drop(runtime);
    assert_eq!(PANICS.get(), before, "seed {seed}: something panicked, as told above");
    Outcome {
        violation: world.ledger.violated(),
        broken: world.ledger.broken(),
        trace: world.trace(),
        dealt: std::mem::take(&mut world.faults.dealt.lock().unwrap()),
        ends: world.ledger.ends(),
        crashes,
        virtual_time: world.time.elapsed(),
    }
}

async fn play(world: &Arc<World>) -> u64 {
    world.note(&format!("{:?}", world.scenario));
    world.kube.create(world, &Key::vault(VAULT), vault(world));
    aws::sweeper(world);
    for job in world.scenario.jobs.clone() {
        let world = Arc::clone(world);
        tokio::spawn(async move {
            world.time.sleep_until(job.at).await;
            world.kube.create(&world, &Key::job(job.namespace, &job.name), spec(&job));
        });
    }
    let mut controllers = Controllers::new(world);
    let mut deeds = world.scenario.deeds.clone();
    deeds.sort_by_key(|(at, _)| *at);
    let mut deeds = deeds.into_iter().peekable();
    let mut calm = false;
    loop {
        world.time.sleep(LOOK).await;
        let now = world.time.elapsed();
        while let Some((_, deed)) = deeds.next_if(|(at, _)| *at <= now) {
            act(world, deed, &mut controllers);
        }
        if world.faults.are_over(&world.time) && !calm {
            calm = true;
            world.note("from here on nothing goes wrong");
            world.aws.inner().away = false;
            world.kube.set_pods_gone(false);
            world.kube.create(world, &Key::vault(VAULT), vault(world));
            controllers.only_one();
        }
        controllers.keep_alive();
        world.aws.check(world);
        world.ledger.sessions(world);
        if world.ledger.violated().is_some() || (calm && open(world).is_empty()) {
            break;
        }
        if now > world.scenario.end() {
            world.ledger.breaks(Invariant::EverythingEnds, open(world).join("; "));
            break;
        }
    }
    controllers.crashes
}

/// All that is not over.
fn open(world: &World) -> Vec<String> {
    let mut open = world.aws.left();
    for (key, object) in world.kube.all() {
        let phase = object["status"]["phase"].as_str().unwrap_or("Pending");
        let held = object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        let deleted = !object["metadata"]["deletionTimestamp"].is_null();
        let is_job = key.kind == crate::kube::Kind::Job;
        if is_job && (held || deleted || !matches!(phase, "Complete" | "Failed")) {
            open.push(format!("job {} is {phase}", key.name));
        }
    }
    for job in &world.scenario.jobs {
        if job.at > world.time.elapsed() {
            open.push(format!("job {} is to come", job.name));
        }
    }
    open
}

/// The processes that act, and those that should not any more.
struct Controllers {
    world: Arc<World>,
    all: Vec<Arc<Process>>,
    started: u32,
    crashes: u64,
}

impl Controllers {
    fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world), all: vec![process::start(world, 0)], started: 1, crashes: 0 }
    }

    fn start(&mut self) {
        self.all.push(process::start(&self.world, self.started));
        self.started += 1;
    }

    /// A dead one is followed by another.
    fn keep_alive(&mut self) {
        let before = self.all.len();
        self.all.retain(|process| !process.is_dead());
        self.crashes += (before - self.all.len()) as u64;
        if self.all.is_empty() {
            self.start();
        }
    }

    fn kill_oldest(&mut self) {
        if let Some(oldest) = self.all.first() {
            oldest.kill(&self.world);
        }
    }

    fn only_one(&mut self) {
        while self.all.len() > 1 {
            self.all.remove(0).kill(&self.world);
        }
    }
}

fn act(world: &Arc<World>, deed: Deed, controllers: &mut Controllers) {
    world.note(&format!("user: {deed:?}"));
    let job = |number: usize| {
        let job = &world.scenario.jobs[number];
        (Key::job(job.namespace, &job.name), job.clone())
    };
    let later = |wait: Duration, then: fn(&Arc<World>)| {
        let world = Arc::clone(world);
        tokio::spawn(async move {
            world.time.sleep(wait).await;
            then(&world);
        });
    };
    let while_gone = world.dice.seconds(5, 900);
    match deed {
        // Not there, or not any more: nothing to delete.
        Deed::DeleteJob(number) => drop(world.kube.delete(world, &job(number).0, &Value::Null)),
        Deed::CancelJob(number) => world.kube.edit(world, &job(number).0, |job| {
            job["metadata"]["annotations"] = json!({ drawbridge::api::CANCEL_ANNOTATION: "enough" });
        }),
        Deed::RecreateJob(number) => {
            let (key, job) = job(number);
            drop(world.kube.delete(world, &key, &Value::Null));
            let world = Arc::clone(world);
            tokio::spawn(async move {
                world.time.sleep(while_gone / 10).await;
                world.kube.create(&world, &key, spec(&job));
            });
        }
        Deed::EditVault => {
            let seconds = world.dice.pick(&[300, 600]);
            let label = world.dice.pick(&["yes", "no"]);
            world.kube.edit(world, &Key::vault(VAULT), |vault| {
                vault["spec"]["sessionTimeoutSeconds"] = json!(seconds);
                vault["spec"]["allowedNamespaces"]["selector"]["matchLabels"]["backup"] = json!(label);
            });
        }
        Deed::DeleteVault => {
            drop(world.kube.delete(world, &Key::vault(VAULT), &Value::Null));
            later(while_gone, |world| world.kube.create(world, &Key::vault(VAULT), vault(world)));
        }
        Deed::PodsGo => {
            world.kube.set_pods_gone(true);
            later(while_gone / 4, |world| world.kube.set_pods_gone(false));
        }
        Deed::KillController => controllers.kill_oldest(),
        Deed::LeaseLapses => {
            controllers.start();
            let old = controllers.all.first().cloned();
            let world = Arc::clone(world);
            tokio::spawn(async move {
                world.time.sleep(while_gone / 8).await;
                if let Some(old) = old {
                    old.kill(&world);
                }
            });
        }
        Deed::AwsGoesAway => {
            world.aws.inner().away = true;
            let leads = [Some(Guard::Sweeper), Some(Guard::AbandonAfter)].contains(&world.off);
            // Where it is led to the end of a session's life, it comes back when nothing goes wrong any more.
            if !leads {
                later(while_gone * 2, |world| world.aws.inner().away = false);
            }
        }
    }
}

fn vault(world: &World) -> Value {
    let scenario = &world.scenario;
    json!({
        "region": "us-east-1",
        "functions": { "create": "create", "cleanup": "cleanup" },
        "allowedNamespaces": { "matchNames": ["alpha"], "selector": { "matchLabels": { "backup": "yes" } } },
        "maxConcurrentSessions": scenario.vault_concurrency,
        "sessionTimeoutSeconds": scenario.vault_session,
        "graceSeconds": scenario.vault_grace,
        "receiptKey": world.receipt_key.pem(),
    })
}

fn spec(job: &Job) -> Value {
    let mut spec = json!({
        "vault": VAULT,
        "activeDeadlineSeconds": job.deadline,
        "backoffLimit": job.backoff_limit,
        "sources": [{ "name": "etc", "files": {
            "selector": { "matchLabels": { "app": "web" } }, "paths": ["/etc"] } }],
    });
    if let Some(ttl) = job.ttl {
        spec["ttlSecondsAfterFinished"] = json!(ttl);
    }
    spec
}
