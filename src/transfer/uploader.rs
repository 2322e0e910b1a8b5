//! Sends artifacts one after the other over one connection, and takes a broken connection up again.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use drawbridge_protocol::{
    ArtifactName, Envelope,
    upload::{
        Begin, Begun, BoxFrame, ClientFrame, Commit, End, Entry, Failure, FailureCode, MAX_DATA, Sealed,
    },
};
use futures::{Stream, StreamExt as _};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Claim, ClientKey, Original, Patience, Progress, SealedReceipt, Share, Target, TransferError, Uploaded,
    artifact::{check, rejected},
    buffers::Buffers,
    link::{Link, dropped, unexpected},
    pipeline::{self, Feed, Form, Piece},
    window::Window,
};

/// How often a connection may break in a row with nothing gained in between.
const FRUITLESS: u32 = 5;
/// How long a sender may take to notice that its source has failed.
const WINDING_UP: Duration = Duration::from_secs(10);

/// A connection to the box. One artifact at a time; parallel artifacts take an uploader each.
pub struct Uploader {
    target: Target,
    key: ClientKey,
    patience: Patience,
    progress: Arc<Progress>,
    link: Option<Link>,
    /// How many unacknowledged bytes this connection may hold.
    share: Share,
    /// What is compressed here lies in these; there since the first artifact that needs them.
    buffers: Option<Buffers>,
    /// An upload is under way, or its future was dropped in the middle.
    busy: bool,
}

impl std::fmt::Debug for Uploader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploader").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Uploader {
    /// Connects to the box.
    pub async fn connect(
        target: Target,
        key: ClientKey,
        patience: Patience,
        progress: Arc<Progress>,
    ) -> Result<Self, TransferError> {
        let link = Link::open(&target, &key, patience).await?;
        Ok(Self {
            target,
            key,
            patience,
            progress,
            link: Some(link),
            share: Share::whole(),
            buffers: None,
            busy: false,
        })
    }

    /// One of several connections of a session.
    #[must_use]
    pub fn with(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    /// No further artifact goes over this connection: others may have its share.
    pub fn rest(&mut self) {
        self.share = Share::whole();
    }

    /// Sends one artifact. It is stored only if `source` ends without an error; an error of the source makes the box
    /// forget what it had.
    pub async fn upload<S>(
        &mut self,
        name: &ArtifactName,
        claim: Claim,
        source: S,
    ) -> Result<Uploaded, TransferError>
    where
        S: Stream<Item = std::io::Result<Bytes>>,
    {
        let window = self.share.bytes();
        let buffers = self.buffers.get_or_insert_with(|| pipeline::buffers(window)).clone();
        self.upload_as(Form::Plain(buffers), name, claim, source).await
    }

    /// The same for a source that is a zstd frame already. `original` is what was in it, settled when it ends.
    pub async fn upload_zstd<S>(
        &mut self,
        name: &ArtifactName,
        claim: Claim,
        original: Arc<Original>,
        source: S,
    ) -> Result<Uploaded, TransferError>
    where
        S: Stream<Item = std::io::Result<Bytes>>,
    {
        self.upload_as(Form::Zstd(original), name, claim, source).await
    }

    async fn upload_as<S>(
        &mut self,
        form: Form,
        name: &ArtifactName,
        claim: Claim,
        source: S,
    ) -> Result<Uploaded, TransferError>
    where
        S: Stream<Item = std::io::Result<Bytes>>,
    {
        if std::mem::replace(&mut self.busy, true) {
            // The upload before was dropped in the middle; its connection is of no use to this one.
            self.link = None;
        }
        let (feed, mut pieces) = pipeline::start(form, Arc::clone(&self.progress));
        let result = both(pump(source, feed), self.send(name, claim, &mut pieces)).await;
        self.busy = false;
        match result {
            Ok(uploaded) => {
                self.progress.stored();
                Ok(uploaded)
            }
            Err(error) => {
                self.give_up(&error).await;
                Err(error)
            }
        }
    }

    /// Asks the box to seal the session over exactly `entries`. Asked again, the same receipt comes back.
    pub async fn commit(&mut self, entries: &[Entry]) -> Result<SealedReceipt, TransferError> {
        let mut breaks = 0;
        loop {
            match self.commit_once(entries).await {
                Err(error) if error.is_broken_connection() && breaks < FRUITLESS => {
                    breaks += 1;
                    self.link = None;
                }
                Ok(envelope) => return SealedReceipt::verify(envelope, &self.target, &self.key, entries),
                Err(error) => return Err(error),
            }
        }
    }

    /// Says good-bye to the box.
    pub async fn close(mut self) {
        if let Some(link) = self.link.take() {
            link.close().await;
        }
    }

    async fn commit_once(&mut self, entries: &[Entry]) -> Result<Envelope, TransferError> {
        let certificate = self.target.certificate.clone();
        let commit = Commit { entries: entries.to_vec(), certificate };
        let link = self.linked().await?;
        link.send(ClientFrame::Commit(commit)).await?;
        match link.answer("the receipt").await? {
            BoxFrame::Sealed(sealed) => {
                let Sealed { receipt } = *sealed;
                Ok(receipt)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Sends until the box has answered for the artifact, over as many connections as it takes.
    async fn send(
        &mut self,
        name: &ArtifactName,
        claim: Claim,
        pieces: &mut mpsc::Receiver<Result<Piece, TransferError>>,
    ) -> Result<Uploaded, TransferError> {
        let mut sending = Sending { window: Window::default(), end: None, begun: false, claim };
        let mut fruitless = 0;
        loop {
            let before = sending.window.base();
            let error = match self.send_over_link(name, &mut sending, pieces).await {
                Ok(uploaded) => return Ok(uploaded),
                Err(error) => error,
            };
            fruitless = if sending.window.base() > before { 0 } else { fruitless + 1 };
            if !error.is_broken_connection() || fruitless > FRUITLESS {
                return Err(error);
            }
            tracing::warn!(address = %self.target.address, artifact = %name, %error, "the connection broke; taking it up again");
            self.link = None;
        }
    }

    async fn send_over_link(
        &mut self,
        name: &ArtifactName,
        sending: &mut Sending,
        pieces: &mut mpsc::Receiver<Result<Piece, TransferError>>,
    ) -> Result<Uploaded, TransferError> {
        let (address, prefix, patience) = (self.target.address, self.target.prefix.clone(), self.patience);
        let progress = Arc::clone(&self.progress);
        self.linked().await?;
        let (Some(link), share) = (self.link.as_mut(), &self.share) else {
            return Err(dropped(address, "there is no connection"));
        };
        link.send(ClientFrame::Begin(Begin { name: name.clone() })).await?;
        match link.answer("the place where the artifact goes on").await? {
            BoxFrame::Begun(Begun { offset }) => sending.resume(address, name, offset)?,
            BoxFrame::Rejected(answer) => return Err(rejected(answer)),
            other => return Err(unexpected(&other)),
        }
        let peer = link.peer();
        let mut ended = false;
        // When the box last took something or answered for something more.
        let mut moved = Instant::now();
        loop {
            while let Some((offset, bytes)) = sending.window.next() {
                link.send_data(offset, bytes).await?;
                moved = Instant::now();
            }
            if let (Some(end), false) = (&sending.end, ended) {
                link.send(ClientFrame::End(Box::new(end.clone()))).await?;
                (ended, moved) = (true, Instant::now());
            }
            // Looked at here as well: a box that acknowledges the same over and over leaves the timer no turn.
            let (owed, due) = (ended || sending.window.held() > 0, moved + patience.answer);
            if owed && Instant::now() >= due {
                return Err(peer.silent(&patience, "an answer for what it was sent"));
            }
            let room = sending.end.is_none()
                && sending.window.held() + MAX_DATA as u64 <= share.bytes().min(link.window());
            let (frames, acked) = link.ears();
            tokio::select! {
                frame = frames.recv() => match (peer.interpret(frame)?, &sending.end) {
                    (BoxFrame::Accepted(accepted), Some(end)) if ended => {
                        // What it acknowledged before that may not have been looked at yet; the rest it need not say.
                        if let Some(offset) = Link::unheard(acked) {
                            progress.acknowledged(sending.window.acknowledge(offset)?);
                        }
                        progress.acknowledged(sending.window.held());
                        return check(accepted, name, end, &prefix);
                    }
                    (BoxFrame::Rejected(answer), _) => return Err(rejected(answer)),
                    (other, _) => return Err(unexpected(&other)),
                },
                offset = Link::acknowledged(acked) => {
                    let freed = sending.window.acknowledge(offset)?;
                    if freed > 0 {
                        moved = Instant::now();
                    }
                    progress.acknowledged(freed);
                }
                () = tokio::time::sleep_until(due), if owed => {}
                piece = pieces.recv(), if room => match piece {
                    Some(Ok(Piece::Data(bytes))) => sending.window.push(bytes),
                    Some(Ok(Piece::End(summary))) => sending.end = Some(sending.claim.clone().end(summary)),
                    Some(Err(error)) => return Err(error),
                    None => return Err(TransferError::Pipeline("the source has no end".to_owned())),
                },
            }
        }
    }

    /// The connection, or a new one if it broke: tried for as long as the box waits for us.
    async fn linked(&mut self) -> Result<&mut Link, TransferError> {
        let link = match self.link.take() {
            Some(link) => link,
            None => self.reconnect().await?,
        };
        Ok(self.link.insert(link))
    }

    async fn reconnect(&self) -> Result<Link, TransferError> {
        let deadline = Instant::now() + self.patience.resume;
        let mut pause = Duration::from_millis(100);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let patience = Patience { connect: self.patience.connect.min(left), ..self.patience };
            // Rarely needed, and larger than the rest of an upload's state.
            let opening = Box::pin(Link::open(&self.target, &self.key, patience));
            let error = match opening.await {
                Ok(link) => return Ok(link),
                Err(error) => error,
            };
            if !error.is_broken_connection() {
                return Err(error);
            }
            if Instant::now() + pause >= deadline {
                return Err(TransferError::Lost {
                    address: self.target.address,
                    seconds: self.patience.resume.as_secs(),
                    why: format!("last, {error}"),
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Tells the box that the artifact will not go on; it need not wait for us to come back.
    async fn give_up(&mut self, error: &TransferError) {
        let Some(mut link) = self.link.take() else { return };
        // Not to a box that has said its last word, or that we do not believe.
        if matches!(error, TransferError::Source(_) | TransferError::Pipeline(_)) {
            let failure = Failure { code: FailureCode::State, message: "the source failed".to_owned() };
            let _ =
                tokio::time::timeout(Duration::from_secs(5), link.send(ClientFrame::Error(failure))).await;
        }
        link.close().await;
    }
}

/// One artifact on its way.
struct Sending {
    window: Window,
    end: Option<End>,
    /// The box has begun it once.
    begun: bool,
    claim: Claim,
}

impl Sending {
    /// Goes on where the box says.
    fn resume(&mut self, address: SocketAddr, name: &ArtifactName, offset: u64) -> Result<(), TransferError> {
        if !std::mem::replace(&mut self.begun, true) && offset > 0 {
            let message =
                format!("the box has {offset} bytes under the name '{name}' that this upload did not send");
            return Err(TransferError::Box { code: FailureCode::State, message });
        }
        if offset < self.window.base() {
            // Not a broken connection any more: what the box forgot is gone here as well.
            return Err(TransferError::Forgotten { address, artifact: name.clone() });
        }
        self.window.resume(offset)
    }
}

/// Runs source and sender until the sender is done. A failed source ends the pipeline without an end, and so the
/// sender, which is waited for: dropped in the middle of a frame, it could not tell the box any more.
async fn both(
    pump: impl Future<Output = Result<(), TransferError>>,
    send: impl Future<Output = Result<Uploaded, TransferError>>,
) -> Result<Uploaded, TransferError> {
    let (mut pump, mut send) = (std::pin::pin!(pump), std::pin::pin!(send));
    let source_end = tokio::select! {
        // The source's own error says more than the sender's that follows from it.
        biased;
        end = &mut pump => end,
        result = &mut send => return result,
    };
    match source_end {
        Ok(()) => send.await,
        Err(error @ TransferError::Source(_)) => {
            let _ = tokio::time::timeout(WINDING_UP, send).await;
            Err(error)
        }
        // The pipeline went first; the sender knows why.
        Err(error) => send.await.and(Err(error)),
    }
}

/// Reads the source into the pipeline; says the end only after a good one.
async fn pump<S>(source: S, feed: Feed) -> Result<(), TransferError>
where
    S: Stream<Item = std::io::Result<Bytes>>,
{
    let mut source = std::pin::pin!(source);
    while let Some(chunk) = source.next().await {
        feed.push(chunk.map_err(TransferError::Source)?).await?;
    }
    feed.finish().await
}
