//! What `create` and `cleanup` do together, call by call, in a world in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod baselines;
mod both_ways;
mod certifying;
mod fakes;
mod markers;
mod quotas;
mod races;
mod refusals;
mod skew;
mod steps;
mod sweeping;
mod tombstones;
mod world;

use std::{sync::Arc, time::Duration};

use drawbridge_protocol::{
    CreateRequest, JobRef, ReadyReport, Revisions, SessionId, SessionSigner, Sha256, Version,
    session::{CleanupOutcome, CreateOutcome, Refusal, Waiting},
};
use jiff::SignedDuration;

use self::{
    fakes::{FakeEc2, FakeS3, FakeUploads},
    world::World,
};
use crate::{
    certify::Signer,
    cleanup::{Answer, Cleaner, Swept},
    config::{CreateConfig, tests::environment},
    create::{Creator, Program},
    destroy::Destroyer,
    error::Error,
    events::CleanupEvent,
    machines::InstanceState,
    names::{InstanceId, key},
    state::{Moment, Remains, Session},
    store::Store,
    uploads::Upload,
};

const CLIENT_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBEVUQqC8dYvB1zhRE0sJ7vjE4BqJ4Zf3o7gVZJQ4b8o";
const OTHER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBEVUQqC8dYvB1zhRE0sJ7vjE4BqJ4Zf3o7gVZJQ4b8p";

fn session(number: u8) -> SessionId {
    format!("{number:032x}").parse().unwrap()
}

fn request(number: u8) -> CreateRequest {
    let job = JobRef::new("default".into(), "nightly".into(), format!("0{number}"), 1).unwrap();
    CreateRequest {
        version: Version,
        session: session(number),
        client_key: CLIENT_KEY.parse().unwrap(),
        job,
        series: None,
        speaks: Some(Revisions::OURS),
    }
}

/// Both Lambdas over one world. Each clone is another process.
#[derive(Clone)]
struct Stack {
    world: Arc<World>,
    config: CreateConfig,
    signer: Option<Arc<dyn Signer>>,
}

impl Stack {
    fn new() -> Self {
        Self { world: World::new(), config: CreateConfig::read(&environment).unwrap(), signer: None }
    }

    fn destroyer(&self) -> Destroyer {
        let world = &self.world;
        Destroyer {
            cluster: self.config.stack.cluster.clone(),
            store: Store::new(Arc::new(FakeS3(Arc::clone(world)))),
            machines: Arc::new(FakeEc2(Arc::clone(world))),
            uploads: Arc::new(FakeUploads(Arc::clone(world))),
        }
    }

    fn program() -> Program {
        Program { bytes: b"program".to_vec(), digest: Sha256::of(b"program") }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.world.now(), until: self.world.now() + SignedDuration::from_secs(30) }
    }

    async fn create(&self, request: &CreateRequest) -> Result<CreateOutcome, Error> {
        let creator = Creator {
            config: self.config.clone(),
            program: Self::program(),
            destroyer: self.destroyer(),
            signer: self.signer.clone(),
        };
        creator.answer(request, self.moment()).await
    }

    /// One request to `cleanup`.
    async fn close(&self, number: u8) -> Result<CleanupOutcome, Error> {
        self.destroyer().destroy(&session(number), Remains::default(), None, self.world.now()).await
    }

    /// One event to `cleanup`, with the time for one pass.
    async fn event(&self, event: CleanupEvent) -> Swept {
        self.try_event(event).await.unwrap()
    }

    async fn try_event(&self, event: CleanupEvent) -> Result<Swept, Error> {
        self.event_within(event, 0).await
    }

    /// One event to `cleanup`, with so many seconds.
    async fn event_within(&self, event: CleanupEvent, seconds: i64) -> Result<Swept, Error> {
        let world = Arc::clone(&self.world);
        let cleaner = Cleaner {
            stack: self.config.stack.clone(),
            destroyer: self.destroyer(),
            pause: Duration::ZERO,
            clock: Arc::new(move || world.now()),
        };
        let now = self.world.now();
        let moment = Moment { now, until: now + SignedDuration::from_secs(seconds) };
        match cleaner.handle(event, moment).await? {
            Answer::Event(swept) => Ok(swept),
            Answer::Request(answer) => panic!("{answer:?}"),
        }
    }

    /// EC2 goes on, and says of each machine that has ended that it has.
    async fn tick(&self) {
        let ended = |state| matches!(state, InstanceState::ShuttingDown | InstanceState::Terminated);
        let states = || -> Vec<(InstanceId, InstanceState)> {
            let inner = self.world.inner();
            inner.instances.iter().map(|(id, instance)| (id.clone(), instance.state)).collect()
        };
        let before = states();
        self.world.tick();
        for (id, state) in states() {
            if ended(state) && !before.contains(&(id.clone(), state)) {
                self.event(CleanupEvent::Gone(id)).await;
            }
        }
    }

    /// The box of a session reports, if its machine runs and has its private interface.
    fn report(&self, number: u8) {
        let inner = self.world.inner();
        let of_session = |session: &SessionId| *session == self::session(number);
        let running = inner.instances.iter().find(|(_, instance)| {
            of_session(&instance.launch.owner.session) && instance.state == InstanceState::Running
        });
        let Some((instance, launched)) = running.map(|(id, instance)| (id.clone(), instance.launch.clone()))
        else {
            return;
        };
        let attached = |(id, _): &(InstanceId, bool)| *id == instance;
        if !inner.interfaces.values().any(|interface| interface.attached.as_ref().is_some_and(attached)) {
            return;
        }
        drop(inner);
        let report = ReadyReport {
            version: Version,
            session: session(number),
            instance: instance.to_string(),
            host_key: OTHER_KEY.parse().unwrap(),
            session_key: SessionSigner::generate().unwrap().public().unwrap(),
            program: launched.program,
            at: self.world.now(),
        };
        self.put(&key::ready(&session(number)), &serde_json::to_vec(&report).unwrap());
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let mut inner = self.world.inner();
        let etag = inner.next();
        inner.objects.insert(key.to_owned(), (bytes.to_vec(), etag));
    }

    /// The box begins an upload.
    fn upload(&self, number: u8) {
        let key = format!("clusters/demo/default/nightly/{}/a.tar.zst", session(number));
        self.world.inner().uploads.push(Upload { key, id: format!("{number}") });
    }

    fn saved(&self, number: u8) -> Option<Session> {
        let inner = self.world.inner();
        inner
            .objects
            .get(&key::session(&session(number)))
            .map(|(bytes, _)| serde_json::from_slice(bytes).unwrap())
    }

    /// Asks for the box as a client does, until there is an answer that ends the asking.
    async fn ask_until_settled(&self, request: &CreateRequest, number: u8) -> CreateOutcome {
        for _ in 0..40 {
            match self.create(request).await {
                Ok(CreateOutcome::Pending { waiting_for, .. }) => {
                    self.tick().await;
                    if waiting_for == Waiting::Report {
                        self.report(number);
                    }
                }
                Ok(settled) => return settled,
                Err(_) => {
                    self.world.revive();
                    self.tick().await;
                }
            }
        }
        panic!("no end: {:?}", self.saved(number));
    }

    /// Closes as a client does, until nothing is left.
    async fn close_until_destroyed(&self, number: u8) {
        for _ in 0..40 {
            match self.close(number).await {
                Ok(CleanupOutcome::Destroyed) => return,
                Ok(_) => {}
                Err(_) => self.world.revive(),
            }
            self.tick().await;
            self.world.pass(2);
        }
        panic!("not destroyed: {:?}", self.world.left());
    }
}

fn is_ready(outcome: &CreateOutcome) -> bool {
    matches!(outcome, CreateOutcome::Ready(_))
}

fn refusal(outcome: &CreateOutcome) -> Option<Refusal> {
    match outcome {
        CreateOutcome::Refused { reason, .. } => Some(*reason),
        _ => None,
    }
}

fn waits_for(outcome: &CreateOutcome) -> Option<Waiting> {
    match outcome {
        CreateOutcome::Pending { waiting_for, .. } => Some(*waiting_for),
        _ => None,
    }
}
