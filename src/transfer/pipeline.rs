//! Hashes and compresses one artifact on a thread of its own, between two bounded channels. What is compressed already
//! is hashed and passed on as it is.
//!
//! The end of a source must be said: a feed that is dropped without [`Feed::finish`] yields no [`Piece::End`], so
//! nothing downstream can take half an artifact for a whole one.

use std::{
    io::{self, Write},
    sync::Arc,
};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use drawbridge_protocol::{Sha256, upload::MAX_DATA};
use tokio::sync::mpsc;

use super::{
    Original, Progress, TransferError,
    buffers::{Buffer, Buffers},
};

/// What `zstd` takes when nobody says otherwise; also what makes the artifact as small as people expect.
const LEVEL: i32 = 3;
/// Chunks that wait to be compressed, of up to 128 KiB each: enough that neither side waits for the other's wake-up.
const WAITING: usize = 2;
/// Pieces that wait to be sent, of up to [`MAX_DATA`] each: one, since what is on its way already queues in the window.
const READY: usize = 1;

/// What comes out.
#[derive(Debug)]
pub(super) enum Piece {
    /// The next compressed bytes, at most one frame's worth.
    Data(Bytes),
    /// The artifact is whole.
    End(Summary),
}

/// What the artifact came to.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    pub(super) original_bytes: u64,
    pub(super) original_sha256: Sha256,
    pub(super) bytes: u64,
    pub(super) sha256: Sha256,
}

enum Input {
    Chunk(Bytes),
    End,
}

/// Where the source's bytes go.
pub(super) struct Feed(mpsc::Sender<Input>);

impl Feed {
    pub(super) async fn push(&self, chunk: Bytes) -> Result<(), TransferError> {
        self.send(Input::Chunk(chunk)).await
    }

    /// The source has ended well.
    pub(super) async fn finish(self) -> Result<(), TransferError> {
        self.send(Input::End).await
    }

    async fn send(&self, input: Input) -> Result<(), TransferError> {
        self.0
            .send(input)
            .await
            .map_err(|_| TransferError::Pipeline("the compressing thread ended early".to_owned()))
    }
}

/// The buffers that a connection takes which may hold `window` unacknowledged bytes: for those, for what waits to be
/// sent, and for the one that is being filled.
pub(super) fn buffers(window: u64) -> Buffers {
    Buffers::new(usize::try_from(window).unwrap_or(usize::MAX).div_ceil(MAX_DATA) + READY + 1)
}

/// What a source yields.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Bytes as they were; compressed into these buffers.
    Plain(Buffers),
    /// A zstd frame; what was in it is known when the source has ended.
    Zstd(Arc<Original>),
}

/// Starts the thread of one artifact.
pub(super) fn start(
    form: Form,
    progress: Arc<Progress>,
) -> (Feed, mpsc::Receiver<Result<Piece, TransferError>>) {
    let (feed, input) = mpsc::channel(WAITING);
    let (output, pieces) = mpsc::channel(READY);
    tokio::task::spawn_blocking(move || {
        let result = match form {
            Form::Plain(buffers) => compress(input, &output, &progress, buffers),
            Form::Zstd(original) => pass_on(input, &output, &progress, &original),
        };
        let last = match result {
            Ok(Some(summary)) => Ok(Piece::End(summary)),
            // The feed was dropped: the end is missing, and that is the message.
            Ok(None) => return,
            Err(error) => Err(TransferError::Pipeline(error.to_string())),
        };
        // Nobody listens any more when the upload has failed already.
        let _ = output.blocking_send(last);
    });
    (Feed(feed), pieces)
}

/// Hashes what is compressed already; its bytes are not copied.
fn pass_on(
    mut input: mpsc::Receiver<Input>,
    output: &mpsc::Sender<Result<Piece, TransferError>>,
    progress: &Progress,
    original: &Original,
) -> io::Result<Option<Summary>> {
    let (mut digest, mut bytes, mut counted) = (Context::new(&SHA256), 0, 0);
    let mut count = || {
        let so_far = original.so_far();
        progress.read(so_far - std::mem::replace(&mut counted, so_far));
    };
    loop {
        match input.blocking_recv() {
            Some(Input::Chunk(mut chunk)) => {
                digest.update(&chunk);
                bytes += chunk.len() as u64;
                while !chunk.is_empty() {
                    let piece = chunk.split_to(chunk.len().min(MAX_DATA));
                    output.blocking_send(Ok(Piece::Data(piece))).map_err(gone)?;
                }
                count();
            }
            Some(Input::End) => break,
            None => return Ok(None),
        }
    }
    count();
    let Some((original_bytes, original_sha256)) = original.settled().cloned() else {
        return Err(io::Error::other("the source ended and nobody says what was in it"));
    };
    Ok(Some(Summary {
        original_bytes,
        original_sha256,
        bytes,
        sha256: Sha256::from_digest(&digest.finish()),
    }))
}

fn gone<T>(_: T) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the upload has ended")
}

fn compress(
    mut input: mpsc::Receiver<Input>,
    output: &mpsc::Sender<Result<Piece, TransferError>>,
    progress: &Progress,
    buffers: Buffers,
) -> io::Result<Option<Summary>> {
    let mut original = Context::new(&SHA256);
    let mut original_bytes = 0;
    let mut encoder = zstd::stream::write::Encoder::new(Chunker::new(output, buffers), LEVEL)?;
    // So that `zstd -d` finds damage by itself.
    encoder.include_checksum(true)?;
    loop {
        match input.blocking_recv() {
            Some(Input::Chunk(chunk)) => {
                original.update(&chunk);
                encoder.write_all(&chunk)?;
                original_bytes += chunk.len() as u64;
                progress.read(chunk.len() as u64);
            }
            Some(Input::End) => break,
            None => return Ok(None),
        }
    }
    let mut chunker = encoder.finish()?;
    chunker.pass_on()?;
    Ok(Some(Summary {
        original_bytes,
        original_sha256: Sha256::from_digest(&original.finish()),
        bytes: chunker.bytes,
        sha256: Sha256::from_digest(&chunker.digest.finish()),
    }))
}

/// Cuts what the compressor writes into frames' worth, and hashes it.
struct Chunker<'a> {
    output: &'a mpsc::Sender<Result<Piece, TransferError>>,
    buffers: Buffers,
    chunk: Buffer,
    digest: Context,
    bytes: u64,
}

impl<'a> Chunker<'a> {
    fn new(output: &'a mpsc::Sender<Result<Piece, TransferError>>, buffers: Buffers) -> Self {
        let chunk = buffers.take();
        Self { output, buffers, chunk, digest: Context::new(&SHA256), bytes: 0 }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        if self.chunk.len() == 0 {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, self.buffers.take()).freeze();
        self.digest.update(&chunk);
        self.bytes += chunk.len() as u64;
        self.output.blocking_send(Ok(Piece::Data(chunk))).map_err(gone)
    }
}

impl Write for Chunker<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = self.chunk.fill(bytes);
        if self.chunk.len() == MAX_DATA {
            self.pass_on()?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    async fn collect(mut pieces: mpsc::Receiver<Result<Piece, TransferError>>) -> (Vec<u8>, Option<Summary>) {
        let (mut bytes, mut summary) = (Vec::new(), None);
        while let Some(piece) = pieces.recv().await {
            match piece.unwrap() {
                Piece::Data(data) => {
                    assert!(data.len() <= MAX_DATA && !data.is_empty());
                    bytes.extend_from_slice(&data);
                }
                Piece::End(end) => summary = Some(end),
            }
        }
        (bytes, summary)
    }

    #[tokio::test]
    async fn what_comes_out_decompresses_to_what_went_in_and_both_digests_are_right() {
        let data: Vec<u8> =
            (0..3_000_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()).collect();
        let progress = Arc::new(Progress::default());
        let (feed, pieces) = start(Form::Plain(buffers(MAX_DATA as u64)), Arc::clone(&progress));
        let reader = tokio::spawn(collect(pieces));
        for chunk in data.chunks(100_000) {
            feed.push(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        feed.finish().await.unwrap();
        let (bytes, summary) = reader.await.unwrap();
        let summary = summary.unwrap();
        assert_eq!(zstd::stream::decode_all(&bytes[..]).unwrap(), data);
        assert_eq!((summary.original_bytes, summary.original_sha256), (data.len() as u64, Sha256::of(&data)));
        assert_eq!((summary.bytes, summary.sha256), (bytes.len() as u64, Sha256::of(&bytes)));
        assert_eq!(progress.snapshot().original_bytes, data.len() as u64);
    }

    #[tokio::test]
    async fn a_source_that_does_not_say_its_end_has_none() {
        let (feed, pieces) = start(Form::Plain(buffers(MAX_DATA as u64)), Arc::default());
        feed.push(Bytes::from_static(b"half an artifact")).await.unwrap();
        drop(feed);
        assert!(collect(pieces).await.1.is_none());
    }

    #[tokio::test]
    async fn what_is_compressed_already_passes_as_it_is() {
        let data = vec![7; 3 * MAX_DATA + 5];
        let (progress, original) = (Arc::new(Progress::default()), Arc::new(Original::default()));
        let (feed, pieces) = start(Form::Zstd(Arc::clone(&original)), Arc::clone(&progress));
        let reader = tokio::spawn(collect(pieces));
        original.read(1_000);
        feed.push(Bytes::from(data.clone())).await.unwrap();
        original.settle(1_000, Sha256::of(b"what was in it"));
        feed.finish().await.unwrap();
        let (bytes, summary) = reader.await.unwrap();
        let summary = summary.unwrap();
        assert_eq!(bytes, data);
        assert_eq!((summary.bytes, summary.sha256), (data.len() as u64, Sha256::of(&data)));
        assert_eq!((summary.original_bytes, summary.original_sha256), (1_000, Sha256::of(b"what was in it")));
        assert_eq!(progress.snapshot().original_bytes, 1_000);
    }
}
