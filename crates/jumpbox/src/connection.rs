//! One upload connection: a small state machine over frames. It knows nothing of SSH but a channel's two halves.
//!
//! Reading and writing are two tasks. The reader never waits for the writer: a channel that nobody reads stalls its
//! whole SSH connection, acknowledgements included, and both sides would wait for each other for ever.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use drawbridge_protocol::{
    ProtocolError, Version,
    upload::{
        Accepted, Begin, Begun, BoxFrame, ClientFrame, Commit, DATA_HEADER, End, Failure, FailureCode, Hello,
        Sealed, UploadCodec, Welcome, announced,
    },
};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, server::Msg};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::codec::{Decoder as _, Encoder as _};

use crate::{
    backlog::Backlog,
    ingest::{Attachment, Outcome},
    session::{Beginning, Session, observed, refuse},
};

/// How long a client may take to greet.
const GREETING: Duration = Duration::from_secs(10);
/// Answers that wait for the client to read them. A client that has more outstanding does not read at all.
const ANSWERS: usize = 16;

/// What every frame begins with, its kind and its length; the offset of a `Data` frame stands behind them.
const HEADER: usize = DATA_HEADER - size_of::<u64>();
/// Memory that small frames share.
const SMALL: usize = 64 << 10;

/// Where the dialogue stands.
enum Phase {
    /// Nothing but `Hello` is taken.
    Greeting,
    /// Between artifacts.
    Idle,
    /// Bytes come in.
    Receiving(Attachment),
    /// The artifact was stored before; its `End` may be said again.
    Stored(Accepted),
    /// The artifact was rejected on its way: so many bytes of it may still be under way, and nobody wants them.
    Discarding { left: u64 },
    /// `End` was said: the outcome is on its way.
    Checking(Attachment),
    /// `Commit` was said: the receipt is on its way.
    Sealing(JoinHandle<Result<drawbridge_protocol::Envelope, Failure>>),
}

/// Why a dialogue is over.
enum Over {
    /// The client has gone.
    Gone,
    /// The box ends it, and says why.
    Refused(Failure),
}

impl From<Failure> for Over {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<ProtocolError> for Over {
    fn from(error: ProtocolError) -> Self {
        Self::Refused(refuse(FailureCode::Protocol, error.to_string()))
    }
}

/// Serves one channel until the client is gone or has broken the rules.
pub(crate) async fn serve(
    session: Arc<Session>,
    mut channel: ChannelReadHalf,
    writer: ChannelWriteHalf<Msg>,
) {
    let (answers, queue) = mpsc::channel(ANSWERS);
    let writing = tokio::spawn(write(writer, queue));
    let mut dialogue = Dialogue { session, phase: Phase::Greeting, answers };
    if let Err(Over::Refused(failure)) = dialogue.run(&mut channel).await {
        tracing::warn!(code = ?failure.code, reason = failure.message, "an upload connection was refused");
        let _ = dialogue.answers.try_send(Answer::Frame(BoxFrame::Error(failure)));
    }
    // Lets go of the artifact, so that its time to come back begins, and of the queue, so that the writer ends.
    drop(dialogue);
    let _ = tokio::time::timeout(GREETING, writing).await;
}

struct Dialogue {
    session: Arc<Session>,
    phase: Phase,
    answers: mpsc::Sender<Answer>,
}

impl Dialogue {
    async fn run(&mut self, channel: &mut ChannelReadHalf) -> Result<(), Over> {
        let mut buffer = BytesMut::with_capacity(SMALL);
        let backlog = self.session.backlog.clone();
        let greeting = tokio::time::sleep(GREETING);
        tokio::pin!(greeting);
        loop {
            let filling = matches!(self.phase, Phase::Receiving(_)).then_some(&backlog);
            tokio::select! {
                message = next(filling, channel) => match message {
                    Some(ChannelMsg::Data { data }) => {
                        self.absorb(&mut buffer, &data)?;
                    }
                    Some(ChannelMsg::Eof | ChannelMsg::Close) | None => return Err(Over::Gone),
                    Some(ChannelMsg::ExtendedData { .. }) => return Err(broken("data on another stream").into()),
                    Some(_) => {}
                },
                answer = self.phase.result() => self.conclude(answer)?,
                () = &mut greeting, if matches!(self.phase, Phase::Greeting) => {
                    return Err(broken("no Hello in 10 s").into());
                }
            }
        }
    }

    /// Takes the bytes of a packet, one frame's at a time: the memory of a large frame that waits holds nothing of the next,
    /// and is not doubled for it.
    fn absorb(&mut self, buffer: &mut BytesMut, mut data: &[u8]) -> Result<(), Over> {
        while !data.is_empty() {
            let whole = HEADER + announced(buffer).unwrap_or(0);
            let piece;
            (piece, data) = data.split_at(data.len().min(whole - buffer.len()));
            buffer.extend_from_slice(piece);
            self.read(buffer)?;
        }
        Ok(())
    }

    /// Takes the frames that `buffer` has whole.
    fn read(&mut self, buffer: &mut BytesMut) -> Result<(), Over> {
        let mut codec = UploadCodec::<ClientFrame>::default();
        while announced(buffer).is_some() {
            let max = self.session.largest_frame();
            if let Some(got) = announced(buffer).filter(|length| *length > max) {
                return Err(ProtocolError::TooLarge { what: "frame", got, max }.into());
            }
            let Some(frame) = codec.decode(buffer)? else { return Ok(()) };
            self.take(frame)?;
        }
        Ok(())
    }

    /// One frame of the client.
    fn take(&mut self, frame: ClientFrame) -> Result<(), Over> {
        match (&self.phase, frame) {
            (Phase::Greeting, ClientFrame::Hello(hello)) => self.greet(&hello),
            (Phase::Idle | Phase::Discarding { .. }, ClientFrame::Begin(begin)) => self.begin(&begin),
            (Phase::Receiving(attachment), ClientFrame::Data(data)) => {
                self.session.reserve(data.bytes.len() as u64)?;
                Ok(attachment.push(data)?)
            }
            (Phase::Receiving(_), ClientFrame::End(end)) => self.end(end),
            (Phase::Stored(stored), ClientFrame::End(end)) => {
                if (stored.bytes, &stored.sha256) != (end.bytes, &end.sha256) {
                    return Err(overwrite(stored).into());
                }
                let frame = BoxFrame::Accepted(stored.clone());
                self.phase = Phase::Idle;
                self.answer(Answer::Frame(frame))
            }
            (Phase::Stored(stored), ClientFrame::Data(_)) => Err(overwrite(stored).into()),
            (Phase::Discarding { left }, ClientFrame::Data(data)) => {
                let Some(left) = left.checked_sub(data.bytes.len() as u64) else {
                    return Err(broken("data of an artifact that was rejected").into());
                };
                self.phase = Phase::Discarding { left };
                Ok(())
            }
            (Phase::Discarding { .. }, ClientFrame::End(_)) => {
                self.phase = Phase::Idle;
                Ok(())
            }
            (
                Phase::Idle | Phase::Discarding { .. },
                ClientFrame::Commit(Commit { entries, certificate }),
            ) => {
                let session = Arc::clone(&self.session);
                // A task of its own: once begun, sealing does not depend on this connection any more.
                self.phase =
                    Phase::Sealing(tokio::spawn(async move { session.commit(entries, certificate).await }));
                Ok(())
            }
            (phase, ClientFrame::Error(failure)) => {
                tracing::warn!(code = ?failure.code, reason = failure.message, "the client gave up");
                if let Phase::Receiving(attachment) = phase {
                    attachment.give_up();
                }
                Err(Over::Gone)
            }
            (phase, frame) => Err(broken(&format!("{} while {}", kind(&frame), phase.name())).into()),
        }
    }

    fn greet(&mut self, hello: &Hello) -> Result<(), Over> {
        if hello.session != self.session.orders.session {
            return Err(refuse(FailureCode::State, "this box serves another session".to_owned()).into());
        }
        self.phase = Phase::Idle;
        let welcome = Welcome { version: Version, window_bytes: self.session.settings.window };
        self.answer(Answer::Frame(BoxFrame::Welcome(welcome)))
    }

    fn begin(&mut self, Begin { name }: &Begin) -> Result<(), Over> {
        self.phase = Phase::Idle;
        match self.session.begin(name)? {
            Beginning::Open(attachment) => {
                let (offset, acks) = (attachment.offset, attachment.acks());
                self.phase = Phase::Receiving(attachment);
                self.answer(Answer::Frame(BoxFrame::Begun(Begun { offset })))?;
                self.answer(Answer::Follow(acks))
            }
            Beginning::Stored(stored) => {
                let offset = stored.bytes;
                self.phase = Phase::Stored(stored);
                self.answer(Answer::Frame(BoxFrame::Begun(Begun { offset })))
            }
            Beginning::Rejected(rejected) => self.answer(Answer::Frame(BoxFrame::Rejected(rejected))),
        }
    }

    fn end(&mut self, end: Box<End>) -> Result<(), Over> {
        self.session.reserve_claim(&end.claimed)?;
        if let Phase::Receiving(attachment) = std::mem::replace(&mut self.phase, Phase::Idle) {
            attachment.end(end)?;
            self.phase = Phase::Checking(attachment);
        }
        Ok(())
    }

    /// What the phase waited for has come.
    fn conclude(&mut self, result: PhaseResult) -> Result<(), Over> {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        let frame = match (result, phase) {
            (
                PhaseResult::Artifact(Outcome::Stored(stored)),
                Phase::Receiving(held) | Phase::Checking(held),
            ) => BoxFrame::Accepted(self.session.accepted(held.name(), &observed(&stored))),
            (PhaseResult::Artifact(Outcome::Rejected(rejected)), phase) => {
                if matches!(phase, Phase::Receiving(_)) {
                    self.phase = Phase::Discarding { left: self.session.settings.window };
                }
                BoxFrame::Rejected(rejected)
            }
            (PhaseResult::Artifact(Outcome::Failed(failure)), _) => return Err(failure.into()),
            (PhaseResult::Receipt(receipt), _) => BoxFrame::Sealed(Box::new(Sealed { receipt: receipt? })),
            (PhaseResult::Artifact(Outcome::Stored(_)), _) => {
                return Err(broken("an outcome without an artifact").into());
            }
        };
        self.answer(Answer::Frame(frame))
    }

    fn answer(&self, answer: Answer) -> Result<(), Over> {
        self.answers.try_send(answer).map_err(|_| Over::Gone)
    }
}

/// What comes next over the channel, once `backlog` has room for it. Who sends no artifact fills none and does not wait: a
/// newcomer's greeting would come too late behind others' data.
async fn next(backlog: Option<&Backlog>, channel: &mut ChannelReadHalf) -> Option<ChannelMsg> {
    if let Some(backlog) = backlog {
        backlog.room().await;
    }
    channel.wait().await
}

/// What a phase waits for besides frames.
enum PhaseResult {
    Artifact(Outcome),
    Receipt(Result<drawbridge_protocol::Envelope, Failure>),
}

impl Phase {
    /// Waits for the phase's result; for ever where there is none to come.
    async fn result(&mut self) -> PhaseResult {
        match self {
            Self::Receiving(attachment) | Self::Checking(attachment) => {
                let mut outcome = attachment.outcome();
                let outcome = match outcome.wait_for(Option::is_some).await {
                    Ok(outcome) => outcome.clone(),
                    Err(_) => None,
                };
                let lost =
                    || Outcome::Failed(refuse(FailureCode::Storage, "the artifact's task ended".to_owned()));
                PhaseResult::Artifact(outcome.unwrap_or_else(lost))
            }
            Self::Sealing(task) => PhaseResult::Receipt(match task.await {
                Ok(receipt) => receipt,
                Err(error) => Err(refuse(FailureCode::Storage, error.to_string())),
            }),
            Self::Greeting | Self::Idle | Self::Stored(_) | Self::Discarding { .. } => {
                std::future::pending().await
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Greeting => "Hello was expected",
            Self::Idle => "no artifact is under way",
            Self::Receiving(_) => "an artifact comes in",
            Self::Stored(_) => "an artifact is stored already",
            Self::Discarding { .. } => "an artifact was rejected",
            Self::Checking(_) => "an artifact is being checked",
            Self::Sealing(_) => "the session is being sealed",
        }
    }
}

/// What the writer is to do.
enum Answer {
    Frame(BoxFrame),
    /// From here on, say how far the box answers for the artifact.
    Follow(watch::Receiver<u64>),
}

/// Writes answers in order, and acknowledgements whenever there is nothing else to say.
async fn write(channel: ChannelWriteHalf<Msg>, mut queue: mpsc::Receiver<Answer>) {
    let mut acks: Option<watch::Receiver<u64>> = None;
    loop {
        let acked = async {
            match &mut acks {
                Some(acks) => acks.changed().await.is_ok().then(|| *acks.borrow_and_update()),
                None => std::future::pending().await,
            }
        };
        let frame = tokio::select! {
            biased;
            answer = queue.recv() => match answer {
                Some(Answer::Frame(frame)) => {
                    // No acknowledgement of this artifact may come after the frame that ends it.
                    acks = None;
                    frame
                }
                Some(Answer::Follow(mut follow)) => {
                    // Said at once: a client that comes back may have missed all of it.
                    follow.mark_changed();
                    acks = Some(follow);
                    continue;
                }
                None => break,
            },
            offset = acked => {
                let Some(offset) = offset else {
                    acks = None;
                    continue;
                };
                BoxFrame::Ack(offset)
            }
        };
        let mut bytes = BytesMut::new();
        if let Err(error) = UploadCodec::<ClientFrame>::default().encode(frame, &mut bytes) {
            tracing::error!(%error, "an answer could not be written");
            break;
        }
        if channel.data_bytes(bytes.freeze()).await.is_err() {
            return;
        }
    }
    let _ = channel.eof().await;
    let _ = channel.close().await;
}

fn broken(what: &str) -> Failure {
    refuse(FailureCode::Protocol, what.to_owned())
}

fn overwrite(stored: &Accepted) -> Failure {
    refuse(
        FailureCode::State,
        format!("artifact '{}' is stored already, and nothing is ever overwritten", stored.name),
    )
}

fn kind(frame: &ClientFrame) -> &'static str {
    match frame {
        ClientFrame::Hello(_) => "Hello",
        ClientFrame::Begin(_) => "Begin",
        ClientFrame::Data(_) => "Data",
        ClientFrame::End(_) => "End",
        ClientFrame::Commit(_) => "Commit",
        ClientFrame::Error(_) => "Error",
    }
}

#[cfg(test)]
mod tests;
