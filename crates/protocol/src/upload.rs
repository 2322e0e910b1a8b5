//! The upload protocol: frames over one SSH channel.
//!
//! ```text
//! frame  = kind (1 byte), length of the payload (4 bytes, big endian), payload
//! client   Hello                                  box   Welcome
//!          Begin                                        Begun{offset}        (0, or where a dropped upload goes on)
//!          Data*  (offset, bytes)                       Ack(offset)*         (the box answers for all bytes before it)
//!          End                                          Accepted | Rejected
//!          ... further artifacts ...
//!          Commit                                       Sealed{receipt}
//! ```
//! A connection carries one artifact at a time; parallel artifacts take a connection each. Either side may send
//! `Error` and close. After a dropped connection the client has 30 s to come back, says `Hello` and `Begin` with
//! the same name again and goes on from `Begun.offset`, which is never below the last `Ack`.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, Encoder};

use crate::{
    ArtifactName, Certificate, Envelope, ProtocolError, Revision, SessionId, Sha256, Version,
    checks::Finding,
    json,
    manifest::{Claimed, StoredObject, Verdict},
};

/// The SSH subsystem that a box offers. It offers nothing else.
pub const SUBSYSTEM: &str = "drawbridge-upload";
/// The SSH user name; a box knows no other.
pub const USER: &str = "drawbridge";
/// The largest run of bytes in one `Data` frame.
pub const MAX_DATA: usize = 256 << 10;
/// The largest JSON payload of a frame, `Commit` and `Sealed` apart.
pub const MAX_CONTROL: usize = 64 << 10;
/// The largest `Commit`: 10,000 entries of about 350 bytes.
pub const MAX_COMMIT: usize = 4 << 20;
/// How long a box keeps an upload whose connection dropped, in seconds.
pub const RESUME_SECONDS: u64 = 30;

const HEADER: usize = 5;

/// The first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    pub version: Version,
    pub session: SessionId,
}

/// The box takes the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Welcome {
    pub version: Version,
    /// The most bytes past the last `Ack` that the client may have sent.
    pub window_bytes: u64,
}

/// Begins an artifact, or goes on with one whose connection dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    pub name: ArtifactName,
}

/// Where the artifact's next byte goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    pub offset: u64,
}

/// Some bytes of the artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Where `bytes` begin in the artifact as stored.
    pub offset: u64,
    pub bytes: Bytes,
}

/// The artifact is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Bytes as sent.
    pub bytes: u64,
    /// Digest as sent.
    pub sha256: Sha256,
    pub claimed: Claimed,
}

/// The artifact is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    pub name: ArtifactName,
    pub objects: Vec<StoredObject>,
    pub bytes: u64,
    pub sha256: Sha256,
    pub verdict: Verdict,
    /// Why it is flagged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl Accepted {
    /// The same as a client of `revision` knows it. What is left out stands in the manifest.
    #[must_use]
    pub fn in_words_of(mut self, revision: Revision) -> Self {
        if revision.is_first() {
            self.findings.clear();
            self.objects.iter_mut().for_each(|object| object.version = None);
        }
        self
    }
}

/// The artifact is not stored, and will not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    pub name: ArtifactName,
    /// The check that failed: `digest`, `size`, `empty`, or one of [`crate::checks::CheckId`].
    pub check: String,
    pub reason: String,
}

/// All artifacts are accepted: asks for the manifest. Asked again, the same receipt comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Every artifact that the client got an `Accepted` for; the box must agree.
    pub entries: Vec<Entry>,
    /// The certificate of the box's session key, from the answer of `create`. The box puts it beside its signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// One artifact of a `Commit`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub name: ArtifactName,
    pub bytes: u64,
    pub sha256: Sha256,
}

/// The session is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// A signed [`crate::Receipt`].
    pub receipt: Envelope,
}

/// The connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    pub code: FailureCode,
    pub message: String,
}

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The peer broke the protocol.
    Protocol,
    /// A limit of the session is used up.
    Limit,
    /// S3 failed, or the box did; another attempt may do better.
    Storage,
    /// S3 denies it to the box's identity, or by way of its endpoint.
    StorageDenied,
    /// S3 asks for fewer requests, longer than the box waits.
    StorageThrottled,
    /// S3 gave no whole answer in time.
    StorageTimedOut,
    /// The key has an object already, or somebody else writes there.
    StorageTaken,
    /// S3 refuses the box's signatures because of their time.
    Clock,
    /// The session's state does not allow it: sealed already, or an artifact of that name is under way.
    State,
    /// The box ends.
    Ending,
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    Hello(Hello),
    Begin(Begin),
    Data(Data),
    End(Box<End>),
    Commit(Commit),
    Error(Failure),
}

/// What a box sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoxFrame {
    Welcome(Welcome),
    Begun(Begun),
    /// The box answers for every byte before this offset.
    Ack(u64),
    Accepted(Accepted),
    Rejected(Rejected),
    Sealed(Box<Sealed>),
    Error(Failure),
}

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const BEGIN: u8 = 2;
    pub(super) const DATA: u8 = 3;
    pub(super) const END: u8 = 4;
    pub(super) const COMMIT: u8 = 5;
    pub(super) const WELCOME: u8 = 65;
    pub(super) const BEGUN: u8 = 66;
    pub(super) const ACK: u8 = 67;
    pub(super) const ACCEPTED: u8 = 68;
    pub(super) const REJECTED: u8 = 69;
    pub(super) const SEALED: u8 = 70;
    pub(super) const ERROR: u8 = 127;
}

/// A frame that the codec can read and write.
pub trait Frame: Sized {
    /// The most bytes that a payload of this kind may have; an error for a kind that this side never receives.
    fn limit(kind: u8) -> Result<usize, ProtocolError>;
    /// Reads a whole payload.
    fn read(kind: u8, payload: Bytes) -> Result<Self, ProtocolError>;
    /// Appends the whole frame.
    fn write(&self, out: &mut BytesMut) -> Result<(), ProtocolError>;
}

impl Frame for ClientFrame {
    fn limit(kind: u8) -> Result<usize, ProtocolError> {
        match kind {
            kind::HELLO | kind::BEGIN | kind::END | kind::ERROR => Ok(MAX_CONTROL),
            kind::DATA => Ok(8 + MAX_DATA),
            kind::COMMIT => Ok(MAX_COMMIT),
            kind => Err(ProtocolError::FrameKind { kind }),
        }
    }

    fn read(kind: u8, mut payload: Bytes) -> Result<Self, ProtocolError> {
        Ok(match kind {
            kind::HELLO => Self::Hello(json::parse("Hello", &payload, MAX_CONTROL)?),
            kind::BEGIN => Self::Begin(json::parse("Begin", &payload, MAX_CONTROL)?),
            kind::DATA => {
                if payload.len() < 9 {
                    return Err(ProtocolError::invalid(
                        "Data",
                        "an offset and at least one byte were expected",
                    ));
                }
                Self::Data(Data { offset: payload.get_u64(), bytes: payload })
            }
            kind::END => Self::End(Box::new(json::parse("End", &payload, MAX_CONTROL)?)),
            kind::COMMIT => Self::Commit(json::parse("Commit", &payload, MAX_COMMIT)?),
            kind::ERROR => Self::Error(json::parse("Error", &payload, MAX_CONTROL)?),
            kind => return Err(ProtocolError::FrameKind { kind }),
        })
    }

    fn write(&self, out: &mut BytesMut) -> Result<(), ProtocolError> {
        match self {
            Self::Hello(body) => put_json(out, kind::HELLO, "Hello", body),
            Self::Begin(body) => put_json(out, kind::BEGIN, "Begin", body),
            Self::Data(data) => {
                out.reserve(DATA_HEADER + data.bytes.len());
                out.put_slice(&data_header(data.offset, data.bytes.len())?);
                out.put_slice(&data.bytes);
                Ok(())
            }
            Self::End(body) => put_json(out, kind::END, "End", body),
            Self::Commit(body) => put_json(out, kind::COMMIT, "Commit", body),
            Self::Error(body) => put_json(out, kind::ERROR, "Error", body),
        }
    }
}

impl Frame for BoxFrame {
    fn limit(kind: u8) -> Result<usize, ProtocolError> {
        match kind {
            kind::WELCOME | kind::BEGUN | kind::ACCEPTED | kind::REJECTED | kind::SEALED | kind::ERROR => {
                Ok(MAX_CONTROL)
            }
            kind::ACK => Ok(8),
            kind => Err(ProtocolError::FrameKind { kind }),
        }
    }

    fn read(kind: u8, mut payload: Bytes) -> Result<Self, ProtocolError> {
        Ok(match kind {
            kind::WELCOME => Self::Welcome(json::parse("Welcome", &payload, MAX_CONTROL)?),
            kind::BEGUN => Self::Begun(json::parse("Begun", &payload, MAX_CONTROL)?),
            kind::ACK => {
                if payload.len() != 8 {
                    return Err(ProtocolError::invalid("Ack", "eight bytes were expected"));
                }
                Self::Ack(payload.get_u64())
            }
            kind::ACCEPTED => Self::Accepted(json::parse("Accepted", &payload, MAX_CONTROL)?),
            kind::REJECTED => Self::Rejected(json::parse("Rejected", &payload, MAX_CONTROL)?),
            kind::SEALED => Self::Sealed(Box::new(json::parse("Sealed", &payload, MAX_CONTROL)?)),
            kind::ERROR => Self::Error(json::parse("Error", &payload, MAX_CONTROL)?),
            kind => return Err(ProtocolError::FrameKind { kind }),
        })
    }

    fn write(&self, out: &mut BytesMut) -> Result<(), ProtocolError> {
        match self {
            Self::Welcome(body) => put_json(out, kind::WELCOME, "Welcome", body),
            Self::Begun(body) => put_json(out, kind::BEGUN, "Begun", body),
            Self::Ack(offset) => {
                out.reserve(HEADER + 8);
                out.put_u8(kind::ACK);
                out.put_u32(8);
                out.put_u64(*offset);
                Ok(())
            }
            Self::Accepted(body) => put_json(out, kind::ACCEPTED, "Accepted", body),
            Self::Rejected(body) => put_json(out, kind::REJECTED, "Rejected", body),
            Self::Sealed(body) => put_json(out, kind::SEALED, "Sealed", body),
            Self::Error(body) => put_json(out, kind::ERROR, "Error", body),
        }
    }
}

/// The length of [`data_header`].
pub const DATA_HEADER: usize = HEADER + 8;

/// What stands before the bytes of a `Data` frame; lets a sender write the bytes themselves without a copy.
pub fn data_header(offset: u64, len: usize) -> Result<[u8; DATA_HEADER], ProtocolError> {
    if len == 0 || len > MAX_DATA {
        return Err(ProtocolError::TooLarge { what: "Data", got: len, max: MAX_DATA });
    }
    let mut header = [0; DATA_HEADER];
    let mut out = &mut header[..];
    out.put_u8(kind::DATA);
    out.put_u32(frame_length("Data", 8 + len)?);
    out.put_u64(offset);
    Ok(header)
}

fn put_json<T: Serialize>(
    out: &mut BytesMut,
    kind: u8,
    what: &'static str,
    body: &T,
) -> Result<(), ProtocolError> {
    let payload = json::write(what, body)?;
    let max = if kind == kind::COMMIT { MAX_COMMIT } else { MAX_CONTROL };
    if payload.len() > max {
        return Err(ProtocolError::TooLarge { what, got: payload.len(), max });
    }
    out.reserve(HEADER + payload.len());
    out.put_u8(kind);
    out.put_u32(frame_length(what, payload.len())?);
    out.put_slice(&payload);
    Ok(())
}

fn frame_length(what: &'static str, len: usize) -> Result<u32, ProtocolError> {
    u32::try_from(len).map_err(|_| ProtocolError::TooLarge { what, got: len, max: u32::MAX as usize })
}

/// Reads frames of type `In` and writes frames of any type.
#[derive(Debug)]
pub struct UploadCodec<In>(PhantomData<fn() -> In>);

impl<In> Default for UploadCodec<In> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// The payload's length of the frame that `buffer` begins with, once its header is there.
pub fn announced(buffer: &[u8]) -> Option<usize> {
    let header: &[u8; HEADER] = buffer.first_chunk()?;
    Some(u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize)
}

impl<In: Frame> Decoder for UploadCodec<In> {
    type Item = In;
    type Error = ProtocolError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<In>, ProtocolError> {
        let Some(length) = announced(buffer) else { return Ok(None) };
        let kind = buffer[0];
        let max = In::limit(kind)?;
        if length > max {
            return Err(ProtocolError::TooLarge { what: "frame", got: length, max });
        }
        if buffer.len() < HEADER + length {
            buffer.reserve(HEADER + length - buffer.len());
            return Ok(None);
        }
        buffer.advance(HEADER);
        In::read(kind, buffer.split_to(length).freeze()).map(Some)
    }
}

impl<In, Out: Frame> Encoder<Out> for UploadCodec<In> {
    type Error = ProtocolError;

    fn encode(&mut self, frame: Out, out: &mut BytesMut) -> Result<(), ProtocolError> {
        frame.write(out)
    }
}
