//! What the box says to each frame: an honest box's words, and what a lie makes of them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use drawbridge_protocol::{
    ArtifactName, Sha256, Version,
    manifest::{StoredObject, Verdict},
    upload::{Accepted, Begin, Begun, BoxFrame, ClientFrame, Sealed, UploadCodec, Welcome},
};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, server::Msg};
use tokio_util::codec::{Decoder as _, Encoder as _};

use crate::{server::Server, world::World};

/// The unacknowledged bytes that this box takes. A client that has sent more has looked at an acknowledgement.
pub(crate) const WINDOW: u64 = 1 << 20;

/// One thing that the box does in answer to a frame.
#[derive(Clone)]
pub(crate) enum Say {
    Frame(BoxFrame),
    /// Bytes that are no frame, or not a good one.
    Raw(Bytes),
    /// The same bytes, until the client goes away.
    Endless(Bytes),
    /// The same on the channel's other stream, which nobody asked for.
    EndlessErrors(Bytes),
    Close,
}

/// What the client said, and when.
pub(crate) struct Heard<'a> {
    pub(crate) world: &'a World,
    /// How many connections came before this one.
    pub(crate) connection: usize,
    pub(crate) frame: &'a ClientFrame,
}

/// Makes of an honest box's words those of this one.
pub(crate) type Twist = Box<dyn Fn(&Heard<'_>, Vec<Say>) -> Vec<Say> + Send + Sync>;

/// What the box took in, over all connections.
#[derive(Default)]
pub(crate) struct Taken(Mutex<BTreeMap<ArtifactName, Vec<u8>>>);

impl Taken {
    pub(crate) fn bytes(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }

    fn with<T>(&self, name: &ArtifactName, act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        act(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default())
    }
}

/// Serves one channel.
pub(crate) async fn serve(
    server: &Server,
    connection: usize,
    mut reader: ChannelReadHalf,
    writer: ChannelWriteHalf<Msg>,
) {
    let (mut codec, mut buffer) = (UploadCodec::<ClientFrame>::default(), BytesMut::new());
    let mut current = None;
    while let Some(message) = reader.wait().await {
        let ChannelMsg::Data { data } = message else { continue };
        buffer.extend_from_slice(&data);
        while let Some(frame) = codec.decode(&mut buffer).unwrap() {
            let honest = answer(server, &mut current, &frame);
            let heard = Heard { world: &server.world, connection, frame: &frame };
            for say in (server.manners.twist)(&heard, honest) {
                if !utter(server, &writer, say).await {
                    return;
                }
            }
        }
    }
}

/// What an honest box says. This one keeps the bytes instead of storing them.
pub(crate) fn answer(server: &Server, current: &mut Option<ArtifactName>, frame: &ClientFrame) -> Vec<Say> {
    let answer = match frame {
        ClientFrame::Hello(_) => BoxFrame::Welcome(Welcome { version: Version, window_bytes: WINDOW }),
        ClientFrame::Begin(Begin { name }) => {
            *current = Some(name.clone());
            BoxFrame::Begun(Begun { offset: server.taken.with(name, |bytes| bytes.len() as u64) })
        }
        ClientFrame::Data(data) => {
            let offset = server.taken.with(current.as_ref().unwrap(), |bytes| {
                assert_eq!(bytes.len() as u64, data.offset, "the client goes on where it stopped");
                bytes.extend_from_slice(&data.bytes);
                bytes.len() as u64
            });
            BoxFrame::Ack(offset)
        }
        ClientFrame::End(_) => BoxFrame::Accepted(accepted(server, current.as_ref().unwrap())),
        ClientFrame::Commit(commit) => {
            BoxFrame::Sealed(Box::new(Sealed { receipt: server.world.seal(commit) }))
        }
        ClientFrame::Error(_) => return vec![Say::Close],
    };
    vec![Say::Frame(answer)]
}

fn accepted(server: &Server, name: &ArtifactName) -> Accepted {
    let (bytes, sha256) = server.taken.with(name, |bytes| (bytes.len() as u64, Sha256::of(bytes)));
    let key = server.world.certified().prefix.artifact(name, 0);
    let object = StoredObject { key, bytes, sha256: sha256.clone(), version: None };
    let (name, verdict, findings) = (name.clone(), Verdict::Accepted, Vec::new());
    Accepted { name, objects: vec![object], bytes, sha256, verdict, findings }
}

/// Whether the channel is still there afterwards.
async fn utter(server: &Server, writer: &ChannelWriteHalf<Msg>, say: Say) -> bool {
    match say {
        Say::Frame(frame) => writer.data_bytes(encode(frame)).await.is_ok(),
        Say::Raw(bytes) => writer.data_bytes(bytes).await.is_ok(),
        Say::Endless(bytes) => {
            while writer.data_bytes(bytes.clone()).await.is_ok() {
                server.poured(bytes.len());
            }
            false
        }
        Say::EndlessErrors(bytes) => {
            while writer.extended_data_bytes(1, bytes.clone()).await.is_ok() {
                server.poured(bytes.len());
            }
            false
        }
        Say::Close => {
            let _ = writer.close().await;
            false
        }
    }
}

/// A frame as it crosses the wire.
pub(crate) fn encode(frame: BoxFrame) -> Bytes {
    let mut bytes = BytesMut::new();
    UploadCodec::<ClientFrame>::default().encode(frame, &mut bytes).unwrap();
    bytes.freeze()
}

/// A frame of that kind whose payload is `payload`.
pub(crate) fn raw(kind: u8, payload: &[u8]) -> Say {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(payload);
    Say::Raw(bytes.into())
}
