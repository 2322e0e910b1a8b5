//! A state bucket, a backup bucket and an EC2 in memory, for tests of what happens between any two calls.
//!
//! Calls are numbered. At one of them a test may cut the caller off, before or after the call took effect, or let
//! somebody else run first.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
};

use drawbridge_protocol::SessionId;
use jiff::{SignedDuration, Timestamp};

use crate::{
    machines::{Ec2Error, Ec2ErrorKind, Launch},
    names::{GroupId, InstanceId, InterfaceId},
    store::StoreError,
    uploads::Upload,
};

type Intruder = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What happens to the caller at a chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It dies before the call takes effect.
    Before,
    /// The call takes effect; the caller dies before it learns of it.
    After,
}

#[derive(Debug, Clone)]
pub(crate) struct FakeInstance {
    pub(crate) launch: Launch,
    pub(crate) state: crate::machines::InstanceState,
}

#[derive(Debug, Clone)]
pub(crate) struct FakeInterface {
    pub(crate) session: SessionId,
    pub(crate) subnet: String,
    /// Instance and whether it goes with it.
    pub(crate) attached: Option<(InstanceId, bool)>,
}

#[derive(Debug, Clone)]
pub(crate) struct FakeGroup {
    pub(crate) session: SessionId,
    pub(crate) open_egress: bool,
    pub(crate) ssh_from: BTreeSet<String>,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) objects: BTreeMap<String, (Vec<u8>, u64)>,
    pub(crate) instances: BTreeMap<InstanceId, FakeInstance>,
    pub(crate) interfaces: BTreeMap<InterfaceId, FakeInterface>,
    pub(crate) groups: BTreeMap<GroupId, FakeGroup>,
    pub(crate) uploads: Vec<Upload>,
    /// Ids whose session tag somebody took off.
    pub(crate) untagged: BTreeSet<String>,
    /// Types that EC2 has none of.
    pub(crate) sold_out: BTreeSet<String>,
    /// Keys at which S3 answers GetObject with an error.
    pub(crate) failing: BTreeSet<String>,
    /// Instances that DescribeInstances does not show yet.
    pub(crate) hidden: bool,
    /// RunInstances under a token that was used answers with a mismatch.
    pub(crate) mismatch: bool,
    pub(crate) calls: Vec<&'static str>,
    pub(crate) cut: Option<(usize, Cut)>,
    pub(crate) dead: bool,
    pub(crate) counter: u64,
}

impl Inner {
    pub(crate) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

pub(crate) struct World {
    inner: Mutex<Inner>,
    intruder: Mutex<Option<(usize, Intruder)>>,
    now: Mutex<Timestamp>,
    /// How long a call takes.
    takes: Mutex<SignedDuration>,
}

/// A caller that was cut off.
#[derive(Debug)]
pub(crate) struct CutOff;

impl From<CutOff> for Ec2Error {
    fn from(_: CutOff) -> Self {
        ec2_error("cut off", Ec2ErrorKind::NoAnswer)
    }
}

impl From<CutOff> for StoreError {
    fn from(_: CutOff) -> Self {
        StoreError::S3 { action: "test", object: "test".to_owned(), why: "cut off".to_owned() }
    }
}

pub(crate) fn ec2_error(code: &str, kind: Ec2ErrorKind) -> Ec2Error {
    Ec2Error { action: "test", kind, code: code.to_owned(), message: "test".to_owned() }
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        Arc::new(Self {
            inner: Mutex::default(),
            intruder: Mutex::new(None),
            now: Mutex::new(now),
            takes: Mutex::default(),
        })
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    pub(crate) fn pass(&self, seconds: i64) {
        let mut now = self.now.lock().unwrap();
        *now += SignedDuration::from_secs(seconds);
    }

    /// From now on every call takes so long.
    pub(crate) fn calls_take(&self, milliseconds: i64) {
        *self.takes.lock().unwrap() = SignedDuration::from_millis(milliseconds);
    }

    /// Cuts the caller off at call `number`, counted from 1.
    pub(crate) fn cut_at(&self, number: usize, cut: Cut) {
        self.inner().cut = Some((number, cut));
    }

    /// Lets `intruder` run just before call `number`, counted from 1, takes effect.
    pub(crate) fn intrude_at<F: Future<Output = ()> + Send + 'static>(
        &self,
        number: usize,
        intruder: impl FnOnce() -> F + Send + 'static,
    ) {
        *self.intruder.lock().unwrap() = Some((number, Box::new(move || Box::pin(intruder()))));
    }

    /// Another process comes: nobody is cut off any more.
    pub(crate) fn revive(&self) {
        let mut inner = self.inner();
        inner.dead = false;
        inner.cut = None;
    }

    /// One call, with whatever a test planned for it.
    pub(crate) async fn call<T>(
        &self,
        name: &'static str,
        effect: impl FnOnce(&mut Inner) -> T + Send,
    ) -> Result<T, CutOff> {
        *self.now.lock().unwrap() += *self.takes.lock().unwrap();
        let number = {
            let mut inner = self.inner();
            if inner.dead {
                return Err(CutOff);
            }
            inner.calls.push(name);
            inner.calls.len()
        };
        let intruder = self.intruder.lock().unwrap().take_if(|(at, _)| *at == number);
        if let Some((_, intruder)) = intruder {
            // The caller's own fate waits while somebody else runs.
            let cut = self.inner().cut.take();
            intruder().await;
            self.inner().cut = cut.map(|(_, cut)| (number, cut));
        }
        let mut inner = self.inner();
        let cut = inner.cut.filter(|(at, _)| *at == number).map(|(_, cut)| cut);
        if cut.is_some() {
            inner.dead = true;
        }
        if cut == Some(Cut::Before) {
            return Err(CutOff);
        }
        let result = effect(&mut inner);
        if cut.is_some() { Err(CutOff) } else { Ok(result) }
    }

    /// EC2 goes on: what starts runs, what ends has ended.
    pub(crate) fn tick(&self) {
        use crate::machines::InstanceState as State;
        let mut inner = self.inner();
        let inner = &mut *inner;
        for (id, instance) in &mut inner.instances {
            match instance.state {
                State::Pending => instance.state = State::Running,
                State::ShuttingDown => {
                    instance.state = State::Terminated;
                    inner.interfaces.retain(|_, interface| interface.attached != Some((id.clone(), true)));
                    for interface in inner.interfaces.values_mut() {
                        interface.attached.take_if(|(instance, _)| instance == id);
                    }
                }
                _ => {}
            }
        }
    }

    /// Everything that exists of anybody; tombstones, the day's count, the stop and the shared program apart.
    pub(crate) fn left(&self) -> Vec<String> {
        let inner = self.inner();
        let alive = |(_, instance): &(&InstanceId, &FakeInstance)| {
            instance.state != crate::machines::InstanceState::Terminated
        };
        let standing = ["closed/", "days/", "switch/", "boot/program/", "baselines/", "sweeps/"];
        let kept = |key: &&String| !standing.iter().any(|prefix| key.starts_with(prefix));
        let mut left: Vec<String> =
            inner.instances.iter().filter(alive).map(|(id, _)| id.to_string()).collect();
        left.extend(inner.interfaces.keys().map(ToString::to_string));
        left.extend(inner.groups.keys().map(ToString::to_string));
        left.extend(inner.objects.keys().filter(kept).cloned());
        left.extend(inner.uploads.iter().map(|upload| upload.key.clone()));
        left
    }
}
