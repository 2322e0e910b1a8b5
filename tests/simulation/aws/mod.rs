//! AWS in one run: EC2 and S3 as models, and the two Lambdas as they are, over them.
//!
//! The models keep what the Lambdas rely on: conditional writes, client tokens, tags, attachments that go with the
//! machine, things that describe calls do not show yet, events that come late, twice or not at all. They leave out
//! the network, bytes of artifacts, policies and prices.

mod ec2;
mod invocation;
mod kms;
mod lambda;
mod machine;
mod s3;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use drawbridge_lambdas::{
    machines::{InstanceState, Launch},
    names::{GroupId, InstanceId, InterfaceId},
    uploads::Upload,
};
use drawbridge_protocol::SessionId;

pub(crate) use kms::ReceiptKey;
pub(crate) use lambda::{cleanup, create, sweeper};
pub(crate) use machine::BoxState;

use crate::{time::Time, world::World};

/// What a machine's own end may take past the deadline: the whole minutes of `shutdown`, and the shutdown itself.
const OWN_END: Duration = Duration::from_mins(4);
/// What the sweeper may take past deadline and grace: its schedule, its retries, EC2's own time.
const SWEPT: Duration = Duration::from_mins(15);

pub(crate) struct Machine {
    pub(crate) launch: Launch,
    pub(crate) state: InstanceState,
    /// Describe calls show it from then on.
    seen_from: Duration,
    /// Its root has disabled its own ends.
    hostile: bool,
    pub(crate) node: BoxState,
}

struct Interface {
    session: SessionId,
    subnet: String,
    attached: Option<(InstanceId, bool)>,
    seen_from: Duration,
}

struct Group {
    session: SessionId,
    seen_from: Duration,
}

#[derive(Default)]
pub(crate) struct Inner {
    /// The state bucket: bytes and ETag.
    objects: BTreeMap<String, (Vec<u8>, u64)>,
    /// The backup bucket: who wrote what.
    pub(crate) backup: BTreeMap<String, String>,
    pub(crate) uploads: Vec<Upload>,
    pub(crate) machines: BTreeMap<InstanceId, Machine>,
    interfaces: BTreeMap<InterfaceId, Interface>,
    groups: BTreeMap<GroupId, Group>,
    counter: u64,
    /// Nobody can invoke anything.
    pub(crate) away: bool,
}

/// All of one account.
#[derive(Default)]
pub(crate) struct Aws(Mutex<Inner>);

impl Aws {
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Holds the machines against what must hold of them.
    pub(crate) fn check(&self, world: &World) {
        let inner = self.inner();
        let alive: Vec<(String, Duration)> = inner
            .machines
            .values()
            .filter(|machine| machine.state != InstanceState::Terminated)
            .map(|machine| {
                let deadline = Time::since_start(machine.launch.owner.deadline);
                let grace = Duration::from_secs(world.scenario.grace);
                let ends = if machine.hostile {
                    // Where its own ends are disabled the Lambda service is all there is, and must work.
                    (deadline + grace).max(world.faults.until()) + SWEPT
                } else {
                    deadline + OWN_END
                };
                (machine.launch.owner.session.to_string(), ends)
            })
            .collect();
        drop(inner);
        world.ledger.machines(&alive, world.scenario.slots as usize, world.time.elapsed());
    }

    /// All that is left of any session, tombstones and the shared program apart.
    pub(crate) fn left(&self) -> Vec<String> {
        let inner = self.inner();
        let alive = |machine: &&Machine| machine.state != InstanceState::Terminated;
        let standing = ["closed/", "days/", "boot/program/", "sweeps/", "baselines/"];
        let kept = |key: &&String| !standing.iter().any(|prefix| key.starts_with(prefix));
        let mut left: Vec<String> = inner.objects.keys().filter(kept).cloned().collect();
        left.extend(
            inner.machines.values().filter(alive).map(|m| format!("machine of {}", m.launch.owner.session)),
        );
        left.extend(inner.interfaces.keys().map(ToString::to_string));
        left.extend(inner.groups.keys().map(ToString::to_string));
        left.extend(inner.uploads.iter().map(|upload| upload.key.clone()));
        left
    }
}

impl Inner {
    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Puts an object of the backup bucket as a box does: only where there is none.
    pub(crate) fn put_backup(&mut self, world: &World, key: &str, what: &str) -> bool {
        use crate::{guards::Guard, ledger::Invariant};
        if let Some(before) = self.backup.get(key) {
            if !world.without(Guard::WriteOnce) {
                return false;
            }
            world.ledger.breaks(Invariant::NoOverwrite, format!("{key} held {before} and gets {what}"));
        }
        self.backup.insert(key.to_owned(), what.to_owned());
        true
    }
}
