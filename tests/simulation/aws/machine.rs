//! The life of one machine and of the box on it: boots, reports, listens, ends.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use drawbridge_lambdas::{
    events::CleanupEvent,
    machines::{InstanceState, Launch},
    names::{InstanceId, key},
};
use drawbridge_protocol::{
    ArtifactName, Envelope, Orders, ReadyReport, Receipt, SessionSigner, Sha256, Version, upload::Entry,
};

use super::lambda;
use crate::{guards::Guard, time::Time, world::World};

/// Any key will do: nothing here speaks SSH.
const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBEVUQqC8dYvB1zhRE0sJ7vjE4BqJ4Zf3o7gVZJQ4b8p";

/// What the box's program knows.
#[derive(Default)]
pub(crate) struct BoxState {
    pub(crate) orders: Option<Orders>,
    signer: Option<Arc<SessionSigner>>,
    artifacts: BTreeMap<ArtifactName, (u64, Sha256)>,
    sealed: Option<Envelope>,
}

/// Starts the machine.
pub(super) fn begin(world: &Arc<World>, id: &InstanceId) {
    let (world, id) = (Arc::clone(world), id.clone());
    tokio::spawn(async move {
        let life = live(&world, &id).await;
        if let Some(why) = life {
            end(&world, &id, why);
        }
    });
}

/// Ends the machine: EC2 shuts it down, and says so twice.
pub(super) fn end(world: &Arc<World>, id: &InstanceId, why: &str) {
    {
        let mut inner = world.aws.inner();
        let Some(machine) = inner.machines.get_mut(id) else { return };
        if matches!(machine.state, InstanceState::ShuttingDown | InstanceState::Terminated) {
            return;
        }
        machine.state = InstanceState::ShuttingDown;
    }
    world.note(&format!("  ec2: {id} shuts down: {why}"));
    lambda::event(world, CleanupEvent::Gone(id.clone()));
    let (world, id) = (Arc::clone(world), id.clone());
    tokio::spawn(async move {
        world.time.sleep(world.dice.seconds(1, 20)).await;
        {
            let mut guard = world.aws.inner();
            let inner = &mut *guard;
            if let Some(machine) = inner.machines.get_mut(&id) {
                machine.state = InstanceState::Terminated;
            }
            inner.interfaces.retain(|_, one| one.attached.as_ref() != Some(&(id.clone(), true)));
            for interface in inner.interfaces.values_mut() {
                interface.attached.take_if(|(instance, _)| *instance == id);
            }
        }
        world.note(&format!("  ec2: {id} is terminated"));
        lambda::event(&world, CleanupEvent::Gone(id));
    });
}

/// From launch to its own end; says why it ends, or nothing when somebody else has ended it.
async fn live(world: &Arc<World>, id: &InstanceId) -> Option<&'static str> {
    world.time.sleep(world.dice.seconds(1, 25)).await;
    let (launch, hostile) = {
        let mut inner = world.aws.inner();
        let machine = inner.machines.get_mut(id).filter(|machine| machine.state == InstanceState::Pending)?;
        machine.state = InstanceState::Running;
        (machine.launch.clone(), machine.hostile)
    };
    if !hostile {
        arm_shutdown(world, id, &launch);
    }
    // boot.sh waits as long.
    let given_up = world.time.elapsed() + Duration::from_mins(5);
    while !attached(world, id) {
        if world.time.elapsed() > given_up {
            return Some("no second interface came");
        }
        running(world, id)?;
        world.time.sleep(Duration::from_secs(1)).await;
    }
    world.time.sleep(world.dice.seconds(1, 10)).await;
    running(world, id)?;
    let Some(orders) = boot(world, id, &launch) else { return Some("its orders or its report failed") };
    if hostile {
        return None;
    }
    world.time.sleep_until(Time::since_start(orders.deadline)).await;
    running(world, id)?;
    let key = orders.ended_key.to_string();
    world.aws.inner().put_backup(world, &key, "marker");
    lambda::event(world, CleanupEvent::Ended(vec![orders.session]));
    Some("its own timer ran out")
}

/// The first line of boot.sh.
fn arm_shutdown(world: &Arc<World>, id: &InstanceId, launch: &Launch) {
    let minutes = launch.user_data.split("shutdown -h +").nth(1).and_then(|rest| rest.split(' ').next());
    let minutes: u64 = minutes.unwrap().parse().unwrap();
    let (world, id) = (Arc::clone(world), id.clone());
    tokio::spawn(async move {
        world.time.sleep(Duration::from_mins(minutes)).await;
        end(&world, &id, "the shutdown armed at boot");
    });
}

fn running(world: &World, id: &InstanceId) -> Option<()> {
    let inner = world.aws.inner();
    inner.machines.get(id).filter(|machine| machine.state == InstanceState::Running).map(|_| ())
}

fn attached(world: &World, id: &InstanceId) -> bool {
    let inner = world.aws.inner();
    inner.interfaces.values().any(|one| one.attached.as_ref().is_some_and(|(instance, _)| instance == id))
}

/// Reads the orders, makes the session key, reports once.
fn boot(world: &Arc<World>, id: &InstanceId, launch: &Launch) -> Option<Orders> {
    let session = &launch.owner.session;
    let mut inner = world.aws.inner();
    let bytes = inner.object(&key::orders(session))?;
    if !launch.user_data.contains(Sha256::of(&bytes).as_str()) {
        return None;
    }
    let orders: Orders = serde_json::from_slice(&bytes).ok()?;
    let signer = SessionSigner::generate().unwrap();
    let reported = if world.without(Guard::ReceiptSignature) { &world.impostor } else { &signer };
    let report = ReadyReport {
        version: Version,
        session: session.clone(),
        instance: id.to_string(),
        host_key: HOST_KEY.parse().unwrap(),
        session_key: reported.public().unwrap(),
        program: launch.program.clone(),
        at: world.time.now(),
    };
    if !inner.put_once(world, &key::ready(session), serde_json::to_vec(&report).unwrap()) {
        return None;
    }
    let machine = inner.machines.get_mut(id)?;
    machine.node.orders = Some(orders.clone());
    machine.node.signer = Some(Arc::new(signer));
    drop(inner);
    world.note(&format!("  box {id} listens"));
    Some(orders)
}

impl BoxState {
    /// An artifact is whole and stored.
    pub(crate) fn accept(&mut self, name: ArtifactName, bytes: u64, sha256: Sha256) {
        self.artifacts.insert(name, (bytes, sha256));
    }

    /// The receipt over exactly `entries`, if these are what is stored; the same one when asked again. The second
    /// value: whether the manifest must be put now.
    pub(crate) fn seal(&mut self, entries: &[Entry], receipt: &Receipt) -> Option<(Envelope, bool)> {
        if let Some(sealed) = &self.sealed {
            return Some((sealed.clone(), false));
        }
        let stored =
            |entry: &Entry| self.artifacts.get(&entry.name) == Some(&(entry.bytes, entry.sha256.clone()));
        if entries.len() != self.artifacts.len() || !entries.iter().all(stored) {
            return None;
        }
        let envelope = self.signer.as_ref()?.sign(&receipt.to_statement().unwrap()).unwrap();
        self.sealed = Some(envelope.clone());
        Some((envelope, true))
    }
}
