//! One artifact being taken in. It belongs to the session, not to a connection: when a connection drops, the ingest
//! keeps its state for [`RESUME_SECONDS`] and the client goes on where it was.
//!
//! A connection holds an [`Attachment`]; attaching again takes the artifact over from a connection that is dead but
//! does not know it yet. The client's window bounds the bytes that wait in the queue, and the queue their frames: whoever
//! sends past either breaks the protocol.

mod assembly;
mod checking;
mod driver;
mod uploads;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use drawbridge_checks::Report;
use drawbridge_protocol::{
    ArtifactName, Sha256,
    manifest::{Claimed, StoredObject},
    upload::{Data, End, Failure, FailureCode, RESUME_SECONDS, Rejected},
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    watch,
};

use crate::backlog::{Backlog, Waiting};

pub(crate) use checking::Checks;
pub(crate) use driver::{Driven, drive};

/// Frames that wait for the driver. Each costs some sixty bytes beside its own, and a window of single bytes would be
/// millions of them; our client's have 256 KiB, those of a stream that was compressed elsewhere some KiB.
const WAITING: usize = 16 << 10;

/// S3 takes a small object in a tenth of a second; after an error there is time for three more tries.
const RECORD: Duration = Duration::from_secs(10);

/// Bounds that S3 and the protocol set.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Parts of one multipart upload.
    pub parts_per_object: u32,
    /// How long an artifact waits for its client to come back.
    pub resume: Duration,
    /// How long the answer that an artifact is rejected waits for the record of it.
    pub record: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { parts_per_object: 10_000, resume: Duration::from_secs(RESUME_SECONDS), record: RECORD }
    }
}

/// Where artifacts are cut and how far a client may run ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Unacknowledged bytes that a client may have sent.
    pub(crate) window: u64,
    pub(crate) bounds: Bounds,
}

impl Settings {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            // An artifact alone gets 80 MB/s at 50 ms of round trip; several of a session share as much, by our client's
            // own rule.
            window: 4 << 20,
            bounds,
        }
    }
}

/// How an artifact ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// In the bucket.
    Stored(Box<Stored>),
    /// A check said no.
    Rejected(Rejected),
    /// It could not be stored, or the client gave it up.
    Failed(Failure),
}

/// What was stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) objects: Vec<StoredObject>,
    pub(crate) bytes: u64,
    pub(crate) sha256: Sha256,
    pub(crate) claimed: Claimed,
    /// What the checks say; absent where none are made.
    pub(crate) report: Option<Report>,
}

/// What a connection tells the driver.
enum Command {
    /// Some bytes, and their place in the backlog.
    Chunk(Bytes, Waiting),
    End(Box<End>),
    GiveUp,
}

/// The artifact as connections see it.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(crate) name: ArtifactName,
    settings: Settings,
    backlog: Backlog,
    intake: Mutex<Intake>,
    commands: mpsc::Sender<Command>,
    acked: watch::Receiver<u64>,
    outcome: watch::Receiver<Option<Outcome>>,
    /// Whether a connection holds the artifact.
    attached: watch::Sender<bool>,
}

/// Where the next byte goes, and who may send it.
#[derive(Debug, Default)]
struct Intake {
    received: u64,
    holder: u64,
    ended: bool,
}

/// The driver's ends.
pub(crate) struct Intakes {
    commands: mpsc::Receiver<Command>,
    acked: watch::Sender<u64>,
    outcome: watch::Sender<Option<Outcome>>,
    attached: watch::Receiver<bool>,
}

impl Ingest {
    /// A new artifact and what drives it.
    pub(crate) fn new(name: ArtifactName, settings: Settings, backlog: Backlog) -> (Arc<Self>, Intakes) {
        let (commands, commands_in) = mpsc::channel(WAITING);
        let (acked_in, acked) = watch::channel(0);
        let (outcome_in, outcome) = watch::channel(None);
        let (attached, attached_out) = watch::channel(false);
        let ingest =
            Self { name, settings, backlog, intake: Mutex::default(), commands, acked, outcome, attached };
        let intakes =
            Intakes { commands: commands_in, acked: acked_in, outcome: outcome_in, attached: attached_out };
        (Arc::new(ingest), intakes)
    }

    /// Takes the artifact over, from nobody or from an older connection.
    pub(crate) fn attach(self: &Arc<Self>) -> Attachment {
        let mut intake = self.intake();
        intake.holder += 1;
        // Told under the lock, so that an older holder's farewell cannot come after it.
        self.attached.send_replace(true);
        // What is asked for again after a lost End: the driver has it and answers, a second one is not passed on.
        Attachment { ingest: Arc::clone(self), holder: intake.holder, offset: intake.received }
    }

    /// Bytes that came in so far.
    pub(crate) fn received(&self) -> u64 {
        self.intake().received
    }

    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's hold on an artifact.
#[derive(Debug)]
pub(crate) struct Attachment {
    ingest: Arc<Ingest>,
    holder: u64,
    /// Where this connection goes on.
    pub(crate) offset: u64,
}

impl Attachment {
    pub(crate) fn name(&self) -> &ArtifactName {
        &self.ingest.name
    }

    /// Where the next byte goes.
    #[cfg(test)]
    pub(crate) fn received(&self) -> u64 {
        self.ingest.received()
    }

    /// How far the box answers for the artifact.
    pub(crate) fn acks(&self) -> watch::Receiver<u64> {
        self.ingest.acked.clone()
    }

    /// How the artifact ended, once it has.
    pub(crate) fn outcome(&self) -> watch::Receiver<Option<Outcome>> {
        self.ingest.outcome.clone()
    }

    /// The next bytes.
    pub(crate) fn push(&self, data: Data) -> Result<(), Failure> {
        let mut intake = self.held()?;
        if intake.ended {
            return Err(protocol("data after End".to_owned()));
        }
        if data.offset != intake.received {
            return Err(protocol(format!("data at offset {}, expected at {}", data.offset, intake.received)));
        }
        let received = data.offset + data.bytes.len() as u64;
        if received > *self.ingest.acked.borrow() + self.ingest.settings.window {
            return Err(protocol(format!("more than {} unacknowledged bytes", self.ingest.settings.window)));
        }
        let waiting = self.ingest.backlog.add(data.bytes.len() as u64);
        self.tell(Command::Chunk(data.bytes, waiting))?;
        intake.received = received;
        Ok(())
    }

    /// The artifact is whole, says the client. The outcome follows.
    pub(crate) fn end(&self, end: Box<End>) -> Result<(), Failure> {
        let mut intake = self.held()?;
        // Said again after a reconnect: the first one counts.
        if !intake.ended {
            self.tell(Command::End(end))?;
            intake.ended = true;
        }
        Ok(())
    }

    /// The client will not go on.
    pub(crate) fn give_up(&self) {
        if self.held().is_ok() {
            // Where there is no room for it, the driver gives up when nobody comes back.
            let _ = self.tell(Command::GiveUp);
        }
    }

    fn tell(&self, command: Command) -> Result<(), Failure> {
        match self.ingest.commands.try_send(command) {
            Err(TrySendError::Full(_)) => Err(protocol(format!("more than {WAITING} unacknowledged frames"))),
            // The driver is gone only when the outcome is known, which tells the client more than this could.
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
        }
    }

    fn held(&self) -> Result<MutexGuard<'_, Intake>, Failure> {
        let intake = self.ingest.intake();
        if intake.holder == self.holder {
            return Ok(intake);
        }
        let message = format!("another connection has taken '{}' over", self.ingest.name);
        Err(Failure { code: FailureCode::State, message })
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if self.held().is_ok() {
            self.ingest.attached.send_replace(false);
        }
    }
}

fn protocol(message: String) -> Failure {
    Failure { code: FailureCode::Protocol, message }
}
