//! The task behind one artifact: takes chunks, has them checked, hashed and cut off the reactor, uploads parts, completes.
//! Bytes are acknowledged when they are in a part and looked at, so that the client's window bounds what waits for either.

use std::collections::VecDeque;

use bytes::Bytes;
use drawbridge_checks::Report;
use drawbridge_protocol::{
    ObjectPrefix,
    manifest::{Claimed, StoredObject},
    upload::{End, Failure, FailureCode, Rejected},
};
use tokio::sync::watch;

use super::{
    Command, Ingest, Intakes, Outcome, Settings, Stored,
    assembly::{Assembled, Assembly, Part},
    checking::{Checking, Checks, Stop},
    uploads::Uploads,
};
use crate::store::{Store, StoreError};

/// Chunks that are hashed in one go; a hop to another thread should be worth it.
const BATCH: usize = 4;

/// An artifact at its end.
pub(crate) struct Driven {
    pub(crate) outcome: Outcome,
    /// No connection has heard of the outcome: the caller tells them.
    pub(crate) told: watch::Sender<Option<Outcome>>,
    /// What has become no object, for the caller to abort.
    pub(crate) unfinished: Option<Uploads>,
}

/// Runs one artifact to its end.
pub(crate) async fn drive(
    ingest: &Ingest,
    prefix: ObjectPrefix,
    store: Store,
    checks: &Checks,
    intakes: Intakes,
) -> Driven {
    let Settings { bounds, .. } = ingest.settings;
    let Intakes { commands, acked, outcome, attached } = intakes;
    let uploads = Uploads::new(store, prefix, ingest.name.clone());
    let assembly = Some(Assembly::new(bounds.parts_per_object));
    let mut driver = Driver { ingest, uploads, assembly, acked };
    let ended = match checks.of(&ingest.name) {
        Ok(checking) => driver.run(commands, attached, checking).await,
        Err(error) => failed(FailureCode::Storage, &format!("no memory for the checks: {error}")),
    };
    let unfinished = if matches!(ended, Outcome::Stored(_)) {
        None
    } else {
        driver.uploads.stop().await;
        Some(driver.uploads)
    };
    Driven { outcome: ended, told: outcome, unfinished }
}

struct Driver<'a> {
    ingest: &'a Ingest,
    uploads: Uploads,
    /// Away only while another thread works on it.
    assembly: Option<Assembly>,
    acked: watch::Sender<u64>,
}

impl Driver<'_> {
    async fn run(
        &mut self,
        mut commands: tokio::sync::mpsc::Receiver<Command>,
        mut attached: watch::Receiver<bool>,
        mut checking: Checking,
    ) -> Outcome {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                _ = commands.recv_many(&mut batch, BATCH) => {}
                () = abandoned(&mut attached, self.ingest.settings.bounds.resume) => {
                    return failed(FailureCode::State, "the client did not come back in time");
                }
            }
            let (mut chunks, mut waiting) = (VecDeque::with_capacity(batch.len()), Vec::new());
            let mut last = None;
            for command in batch.drain(..) {
                match command {
                    Command::Chunk(bytes, place) => {
                        chunks.push_back(bytes);
                        waiting.push(place);
                    }
                    end => {
                        last = Some(end);
                        break;
                    }
                }
            }
            let looking = checking.look(chunks.clone().into_iter());
            if let Err(outcome) = self.absorb(chunks).await {
                return outcome;
            }
            if let Err(stop) = checking.looked(looking).await {
                return self.stopped(stop);
            }
            drop(waiting);
            if let Some(assembly) = &self.assembly {
                self.acked.send_replace(assembly.bytes());
            }
            match last {
                None => {}
                Some(Command::End(end)) => return self.finish(*end, checking).await,
                Some(_) => return failed(FailureCode::State, "the client gave the artifact up"),
            }
        }
    }

    /// Hashes and cuts `chunks`, uploading each part that gets full.
    async fn absorb(&mut self, mut chunks: VecDeque<Bytes>) -> Result<(), Outcome> {
        while !chunks.is_empty() {
            if self.assembly.as_ref().is_some_and(Assembly::is_between_parts) {
                let memory = self.uploads.memory().await.map_err(|error| storage(&error))?;
                if let Some(assembly) = &mut self.assembly {
                    assembly.begin(memory);
                }
            }
            let part;
            (chunks, part) = self.work(move |assembly| cut_one(assembly, chunks)).await?;
            if let Some(part) = part {
                self.uploads.put(part).await.map_err(|error| storage(&error))?;
            }
        }
        Ok(())
    }

    /// Lends the assembly to a thread that may burn CPU.
    async fn work<T: Send + 'static>(
        &mut self,
        job: impl FnOnce(&mut Assembly) -> T + Send + 'static,
    ) -> Result<T, Outcome> {
        let Some(mut assembly) = self.assembly.take() else {
            return Err(failed(FailureCode::Storage, "the artifact's state is lost"));
        };
        let run = tokio::task::spawn_blocking(move || {
            let result = job(&mut assembly);
            (assembly, result)
        });
        let (assembly, result) =
            run.await.map_err(|error| failed(FailureCode::Storage, &error.to_string()))?;
        self.assembly = Some(assembly);
        Ok(result)
    }

    /// Checks first; only what passes becomes an object.
    async fn finish(&mut self, end: End, mut checking: Checking) -> Outcome {
        let Some(assembly) = self.assembly.take() else {
            return failed(FailureCode::Storage, "the artifact's state is lost");
        };
        let assembled = match tokio::task::spawn_blocking(|| assembly.finish()).await {
            Ok(assembled) => assembled,
            Err(error) => return failed(FailureCode::Storage, &error.to_string()),
        };
        if let Some((check, reason)) = complaint(&assembled, &end) {
            return self.rejected(check, reason);
        }
        let Claimed { original_bytes, original_sha256, .. } = &end.claimed;
        let report = match checking.finish(*original_bytes, original_sha256.clone()).await {
            Ok(report) => report,
            Err(stop) => return self.stopped(stop),
        };
        match self.store(assembled, end, report).await {
            Ok(stored) => Outcome::Stored(Box::new(stored)),
            Err(error) => storage(&error),
        }
    }

    fn stopped(&self, stop: Stop) -> Outcome {
        match stop {
            Stop::Rejected(rejection) => self.rejected(rejection.check.as_str(), rejection.reason),
            Stop::Failed(failure) => Outcome::Failed(failure),
        }
    }

    fn rejected(&self, check: &str, reason: String) -> Outcome {
        Outcome::Rejected(Rejected { name: self.ingest.name.clone(), check: check.to_owned(), reason })
    }

    async fn store(
        &mut self,
        assembled: Assembled,
        end: End,
        report: Option<Report>,
    ) -> Result<Stored, StoreError> {
        let Assembled { rest, objects, bytes, sha256 } = assembled;
        let whole = !self.uploads.begun();
        let mut versions = Vec::new();
        match rest {
            Some(part) if whole => versions.push(self.uploads.put_whole(part.body).await?),
            Some(part) => self.uploads.put(part).await?,
            None => {}
        }
        if !whole {
            let sizes: Vec<u64> = objects.iter().map(|object| object.bytes).collect();
            versions = self.uploads.complete(&sizes).await?;
        }
        let objects = objects.into_iter().enumerate().map(|(index, object)| StoredObject {
            key: self.uploads.key(index),
            bytes: object.bytes,
            sha256: object.sha256,
            version: versions.get(index).cloned().flatten(),
        });
        Ok(Stored { objects: objects.collect(), bytes, sha256, claimed: end.claimed, report })
    }
}

/// Works until one part is full or the chunks are used up.
fn cut_one(assembly: &mut Assembly, mut chunks: VecDeque<Bytes>) -> (VecDeque<Bytes>, Option<Part>) {
    while let Some(mut chunk) = chunks.pop_front() {
        let part = assembly.absorb(&mut chunk);
        if !chunk.is_empty() {
            chunks.push_front(chunk);
        }
        if part.is_some() {
            return (chunks, part);
        }
    }
    (chunks, None)
}

/// The check that fails, if one does, and why.
fn complaint(assembled: &Assembled, end: &End) -> Option<(&'static str, String)> {
    if assembled.bytes != end.bytes {
        return Some(("size", format!("the client sent {} bytes, {} arrived", end.bytes, assembled.bytes)));
    }
    if assembled.sha256 != end.sha256 {
        return Some(("digest", format!("the client sent {}, {} arrived", end.sha256, assembled.sha256)));
    }
    // Every artifact is a zstd stream, and even an empty one of those has bytes.
    (assembled.bytes == 0).then(|| ("empty", "not a byte arrived".to_owned()))
}

/// Returns when no connection has held the artifact for `patience`.
async fn abandoned(attached: &mut watch::Receiver<bool>, patience: std::time::Duration) {
    loop {
        if attached.wait_for(|held| !held).await.is_err() {
            return;
        }
        let back = attached.wait_for(|held| *held);
        match tokio::time::timeout(patience, back).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

fn storage(error: &StoreError) -> Outcome {
    Outcome::Failed(error.failure())
}

fn failed(code: FailureCode, message: &str) -> Outcome {
    Outcome::Failed(Failure { code, message: message.to_owned() })
}
