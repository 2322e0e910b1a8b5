//! What carries a transfer in a run: gathers by the real selection, hands artifacts to the model of a box, and takes
//! a receipt home that the real verification must accept.
//!
//! It leaves out SSH, compression and frames. It keeps what the controller can see of them: a box that cannot be
//! reached, sources that fail, connections that break and are taken up again, answers that never come, artifacts that
//! are rejected, and receipts that somebody else has signed.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use drawbridge::{
    controller::backupjob::{Carrier, Crossing, Progress},
    fault::{Fault as Failure, Reason},
    gather::{Gatherer, TokenClients},
    transfer::{SealedReceipt, Target},
};
use drawbridge_lambdas::{machines::InstanceState, names::InstanceId, uploads::Upload};
use drawbridge_protocol::{ArtifactName, Envelope, Receipt, Sha256, Sources, Version, upload::Entry};
use kube::Client;

use crate::{
    aws::BoxState,
    faults::{CHANGE, Fault},
    guards::Guard,
    kube::Accounts,
    process::Process,
    world::World,
};

/// In a thousand, while anything may go wrong: an answer to the commit that is not the box's.
const IMPOSTOR: u64 = 20;

pub(crate) struct Bridge {
    pub(crate) world: Arc<World>,
    pub(crate) process: Arc<Process>,
    pub(crate) client: Client,
    pub(crate) accounts: Arc<Accounts>,
}

fn fails<T>(reason: Reason, message: &str) -> Result<T, Failure> {
    Err(Failure::new(reason, message))
}

#[async_trait]
impl Carrier for Bridge {
    async fn carry(
        &self,
        crossing: &Crossing,
        progress: &Progress,
        sealing: &(dyn Fn() + Send + Sync),
    ) -> Result<SealedReceipt, Failure> {
        let accounts: Arc<dyn TokenClients> = self.accounts.clone();
        let gatherer = Gatherer::new(self.client.clone(), &accounts, &crossing.job.namespace);
        let targets = gatherer.select(&crossing.sources, &crossing.bases, self.world.time.now()).await?;
        progress.artifacts_total.store(targets.len() as u64, Ordering::Relaxed);
        let mut entries = Vec::new();
        for target in targets {
            entries.push(self.send(crossing, target.artifact).await?);
            progress.across.read(100);
            progress.across.acknowledged(10);
            progress.across.stored();
        }
        sealing();
        let envelope = self.commit(crossing, &entries).await?;
        let target = Target::new(&crossing.ready, crossing.session.clone(), crossing.job.clone())
            .pinned(crossing.receipt_key.clone());
        SealedReceipt::verify(envelope, &target, &crossing.key, &entries)
            .map_err(|error| Failure::from(&error))
    }
}

impl Bridge {
    /// One exchange with the box, if it lives and knows the key.
    async fn talk<T>(
        &self,
        crossing: &Crossing,
        call: &'static str,
        act: impl Fn(&World, &mut BoxState) -> T + Send,
    ) -> Result<T, Failure> {
        let world = &self.world;
        let mut breaks = 0;
        loop {
            world.time.sleep(world.dice.millis(5, 3_000)).await;
            self.process.lives().await;
            let fault = world.fault(call, CHANGE);
            match fault {
                Some(Fault::ErrorBefore) => {
                    return fails(Reason::TransferFailed, "the connection broke for good");
                }
                Some(Fault::CrashBefore) => self.process.dies(world).await,
                Some(Fault::Delay) => world.time.sleep(world.dice.seconds(1, 200)).await,
                _ => {}
            }
            let answer = self.at_the_box(crossing, &act)?;
            match fault {
                Some(Fault::CrashAfter) => self.process.dies(world).await,
                Some(Fault::ErrorAfter) => return fails(Reason::TransferFailed, "the box's answer was lost"),
                // Nobody closes the connection and nobody answers: the session's deadline ends it.
                Some(Fault::LostAnswer) => pending().await,
                // The connection broke and was taken up again; the box is asked a second time.
                Some(Fault::Duplicate) if breaks == 0 => {
                    breaks += 1;
                    continue;
                }
                _ => {}
            }
            self.process.lives().await;
            return Ok(answer);
        }
    }

    fn at_the_box<T>(
        &self,
        crossing: &Crossing,
        act: &impl Fn(&World, &mut BoxState) -> T,
    ) -> Result<T, Failure> {
        let id = InstanceId::new(&crossing.ready.instance);
        let mut inner = self.world.aws.inner();
        let machine = inner.machines.get_mut(&id).filter(|machine| machine.state == InstanceState::Running);
        let Some(machine) = machine else { return fails(Reason::BoxUnreachable, "nobody listens") };
        let Some(orders) = &machine.node.orders else { return fails(Reason::BoxUnreachable, "not yet") };
        if orders.session != crossing.session || orders.client_key != *crossing.key.public() {
            return fails(Reason::TransferFailed, "the box does not take this key");
        }
        let mut node = std::mem::take(&mut machine.node);
        drop(inner);
        let answer = act(&self.world, &mut node);
        if let Some(machine) = self.world.aws.inner().machines.get_mut(&id) {
            machine.node = node;
        }
        Ok(answer)
    }

    async fn send(&self, crossing: &Crossing, name: ArtifactName) -> Result<Entry, Failure> {
        let world = &self.world;
        let entry = Entry { name: name.clone(), bytes: 10, sha256: Sha256::of(name.as_str().as_bytes()) };
        let key = crossing.ready.prefix.artifact(&name, 0).to_string();
        let upload = Upload { key: key.clone(), id: name.to_string() };
        self.talk(crossing, "box begin", |world, _| {
            let mut inner = world.aws.inner();
            if !inner.uploads.contains(&upload) {
                inner.uploads.push(upload.clone());
            }
        })
        .await?;
        let calm = world.faults.are_over(&world.time);
        match world.dice.next() % 100 {
            0..2 if !calm => return fails(Reason::StreamTruncated, "tar ended early"),
            2 if !calm => return fails(Reason::Rejected, "a check said no"),
            _ => {}
        }
        let stored = self
            .talk(crossing, "box complete", |world, node| {
                let mut inner = world.aws.inner();
                inner.uploads.retain(|other| *other != upload);
                let who = format!("session {} artifact {name}", crossing.session);
                // 412 after a completion that had succeeded is settled by listing: it is ours.
                let ours = inner.put_backup(world, &key, &who) || inner.backup.get(&key) == Some(&who);
                if ours {
                    node.accept(name.clone(), entry.bytes, entry.sha256.clone());
                }
                ours
            })
            .await?;
        if stored { Ok(entry) } else { fails(Reason::TransferFailed, "the key is taken") }
    }

    async fn commit(&self, crossing: &Crossing, entries: &[Entry]) -> Result<Envelope, Failure> {
        let world = &self.world;
        let receipt = self.receipt(crossing, entries);
        let calm = world.faults.are_over(&world.time);
        if world.without(Guard::ReceiptSignature) || (!calm && world.dice.per_mille(IMPOSTOR)) {
            world.note("  an impostor signs a receipt");
            let envelope = world.impostor.sign(&receipt.to_statement().unwrap()).unwrap();
            return Ok(envelope.certified_by(crossing.ready.certificate.clone()));
        }
        let sealed = self
            .talk(crossing, "box commit", |world, node| {
                let (envelope, first) = node.seal(entries, &receipt)?;
                let envelope = envelope.certified_by(crossing.ready.certificate.clone());
                if first {
                    let manifest = receipt.manifest.to_string();
                    let who = format!("session {} manifest", crossing.session);
                    if !world.aws.inner().put_backup(world, &manifest, &who) {
                        return None;
                    }
                    world.ledger.issued(crossing.session.as_str(), &manifest);
                }
                Some(envelope)
            })
            .await?;
        sealed.map_or_else(|| fails(Reason::TransferFailed, "the box does not seal that"), Ok)
    }

    fn receipt(&self, crossing: &Crossing, entries: &[Entry]) -> Receipt {
        Receipt {
            version: Version,
            session: crossing.session.clone(),
            job: crossing.job.clone(),
            client_key: crossing.key.public().fingerprint(),
            bucket: crossing.ready.bucket.clone(),
            manifest: crossing.ready.prefix.manifest(),
            manifest_sha256: Sha256::of(b"manifest"),
            artifacts: u32::try_from(entries.len()).unwrap(),
            bytes: entries.iter().map(|entry| entry.bytes).sum(),
            sealed_at: self.world.time.now(),
            sources: Sources::default(),
        }
    }
}
