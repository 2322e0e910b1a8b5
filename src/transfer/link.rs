//! One SSH connection to the box, with its subsystem running and greeted.
//!
//! A reader task takes frames off the channel at once, whatever the sender does: a channel that nobody reads
//! would stall the connection in both directions.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use drawbridge_protocol::{
    Version,
    upload::{
        BoxFrame, ClientFrame, Failure, Hello, MAX_DATA, SUBSYSTEM, USER, UploadCodec, Welcome, data_header,
    },
};
use russh::{
    ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect,
    client::{self, Msg},
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
};
use tokio_util::{
    codec::{Decoder as _, Encoder as _},
    sync::{CancellationToken, DropGuard},
};

use super::{
    ClientKey, Patience, Target, TransferError,
    door::Door,
    pin::{Offence, Pin, PinError, config},
};

/// How long a good-bye may take to leave.
const FAREWELL: Duration = Duration::from_secs(5);
/// Frames that wait for the sender. The box sends few: each answers one of ours.
const FRAMES: usize = 16;

/// A connection that can carry an artifact.
pub(super) struct Link {
    peer: Peer,
    patience: Patience,
    ssh: client::Handle<Pin>,
    writer: ChannelWriteHalf<Msg>,
    frames: mpsc::Receiver<Result<BoxFrame, TransferError>>,
    acked: watch::Receiver<u64>,
    closed: CancellationToken,
    window: u64,
    /// Ends the connection, whatever state russh has it in.
    door: DropGuard,
}

/// Who is at the other end, and what he did.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    address: SocketAddr,
    offence: Offence,
}

impl Peer {
    /// What a frame, or its absence, means.
    pub(super) fn interpret(
        &self,
        frame: Option<Result<BoxFrame, TransferError>>,
    ) -> Result<BoxFrame, TransferError> {
        match frame {
            Some(Ok(BoxFrame::Error(Failure { code, message }))) => Err(TransferError::Box { code, message }),
            Some(frame) => frame,
            None => Err(self.dropped("the box or the network closed it")),
        }
    }

    /// What the box owes has not come.
    pub(super) fn silent(&self, patience: &Patience, what: &'static str) -> TransferError {
        TransferError::Silent { address: self.address, seconds: patience.answer.as_secs(), what }
    }

    fn dropped(&self, why: &str) -> TransferError {
        self.offence.name(dropped(self.address, why))
    }
}

impl Link {
    /// Connects, pins the host key, shows the client key, starts the subsystem, greets.
    pub(super) async fn open(
        target: &Target,
        key: &ClientKey,
        patience: Patience,
    ) -> Result<Self, TransferError> {
        let address = target.address;
        let seconds = patience.connect.as_secs();
        let stream = match tokio::time::timeout(patience.connect, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) if source.kind() == std::io::ErrorKind::TimedOut => {
                return Err(TransferError::ConnectTimeout { address, seconds });
            }
            Ok(Err(source)) => return Err(TransferError::Connect { address, source }),
            Err(_) => return Err(TransferError::ConnectTimeout { address, seconds }),
        };
        let peer = Peer { address, offence: Offence::default() };
        let greeting = Self::shake_hands(stream, target, key, peer.clone(), patience);
        match tokio::time::timeout(patience.handshake, greeting).await {
            Ok(result) => result.map_err(|error| peer.offence.name(error)),
            Err(_) => Err(peer.dropped("the handshake took too long")),
        }
    }

    async fn shake_hands(
        stream: TcpStream,
        target: &Target,
        key: &ClientKey,
        peer: Peer,
        patience: Patience,
    ) -> Result<Self, TransferError> {
        let address = target.address;
        let lost = |error: russh::Error| dropped(address, &error.to_string());
        // Frames are written whole; waiting to fill a segment only delays their ends.
        let _ = stream.set_nodelay(true);
        // The sender may be waiting for the box's word when the network goes: only the kernel knows that nothing arrives.
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(patience.stuck));
        let pin = Pin::new(address, &target.host_key, peer.offence.clone())?;
        let (stream, door) = Door::new(stream);
        let mut ssh =
            client::connect_stream(Arc::new(config()), stream, pin).await.map_err(|error| match error {
                PinError::Mismatch(error) => error,
                PinError::Ssh(error) => lost(error),
            })?;
        let shown = ssh.authenticate_publickey(USER, key.for_ssh()).await.map_err(lost)?;
        if !shown.success() {
            // A connection that breaks in the middle reads like a refusal.
            let broke = ssh.is_closed();
            return Err(if broke {
                dropped(address, "it broke while logging in")
            } else {
                TransferError::KeyRefused { address }
            });
        }
        let channel = ssh.channel_open_session().await.map_err(lost)?;
        let (mut reader, writer) = channel.split();
        writer.request_subsystem(true, SUBSYSTEM).await.map_err(lost)?;
        loop {
            match reader.wait().await {
                Some(ChannelMsg::Success) => break,
                Some(ChannelMsg::WindowAdjusted { .. }) => {}
                Some(ChannelMsg::Failure) => {
                    return Err(TransferError::Protocol(format!(
                        "it does not offer the subsystem {SUBSYSTEM}"
                    )));
                }
                _ => return Err(dropped(address, "it broke before the subsystem had started")),
            }
        }
        let (frames_in, frames) = mpsc::channel(FRAMES);
        let (acked_in, acked) = watch::channel(0);
        let closed = CancellationToken::new();
        tokio::spawn(read(reader, frames_in, acked_in, closed.clone()));
        let mut link = Self { peer, patience, ssh, writer, frames, acked, closed, window: 0, door };
        link.send(ClientFrame::Hello(Hello { version: Version, session: target.session.clone() })).await?;
        match link.receive().await? {
            BoxFrame::Welcome(Welcome { window_bytes, .. }) if window_bytes >= MAX_DATA as u64 => {
                link.window = window_bytes;
                Ok(link)
            }
            BoxFrame::Welcome(Welcome { window_bytes, .. }) => Err(TransferError::Protocol(format!(
                "its window of {window_bytes} bytes is smaller than a frame"
            ))),
            other => Err(unexpected(&other)),
        }
    }

    /// Unacknowledged bytes that the box lets be under way.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Sends one frame that is not `Data`.
    pub(super) async fn send(&mut self, frame: ClientFrame) -> Result<(), TransferError> {
        let mut bytes = BytesMut::new();
        UploadCodec::<BoxFrame>::default().encode(frame, &mut bytes)?;
        self.write(bytes.freeze()).await
    }

    /// Sends one `Data` frame; `bytes` are not copied on their way to the cipher.
    pub(super) async fn send_data(&mut self, offset: u64, bytes: Bytes) -> Result<(), TransferError> {
        let header = data_header(offset, bytes.len())?;
        self.write(Bytes::copy_from_slice(&header)).await?;
        self.write(bytes).await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), TransferError> {
        let written = tokio::select! {
            biased;
            written = self.writer.data_bytes(bytes) => written.is_ok(),
            // russh waits for window on a dead connection for ever.
            () = self.closed.cancelled() => false,
            () = tokio::time::sleep(self.patience.stuck) => {
                let why = format!("nothing could be sent for {} s", self.patience.stuck.as_secs());
                return Err(self.peer.dropped(&why));
            }
        };
        if written { Ok(()) } else { Err(self.cause_of_death().await) }
    }

    /// The next frame that is not an acknowledgement.
    pub(super) async fn receive(&mut self) -> Result<BoxFrame, TransferError> {
        let frame = self.frames.recv().await;
        self.peer.interpret(frame)
    }

    /// The same, within the time that the box has for `what` it owes.
    pub(super) async fn answer(&mut self, what: &'static str) -> Result<BoxFrame, TransferError> {
        match tokio::time::timeout(self.patience.answer, self.receive()).await {
            Ok(frame) => frame,
            Err(_) => Err(self.peer.silent(&self.patience, what)),
        }
    }

    /// Waits for an acknowledgement past the one last seen.
    pub(super) async fn acknowledged(acked: &mut watch::Receiver<u64>) -> u64 {
        loop {
            // Once the reader is gone, `receive` says why; this has nothing to add.
            if acked.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            match *acked.borrow_and_update() {
                0 => {}
                offset => return offset,
            }
        }
    }

    /// The acknowledgement that came and was not looked at.
    pub(super) fn unheard(acked: &mut watch::Receiver<u64>) -> Option<u64> {
        let offset = acked.borrow_and_update();
        (offset.has_changed() && *offset > 0).then_some(*offset)
    }

    /// Both things that the box may say, for a `select`.
    pub(super) fn ears(
        &mut self,
    ) -> (&mut mpsc::Receiver<Result<BoxFrame, TransferError>>, &mut watch::Receiver<u64>) {
        (&mut self.frames, &mut self.acked)
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> Peer {
        self.peer.clone()
    }

    /// The box may have said why before it closed. One that takes nothing and closes nothing is not waited for.
    async fn cause_of_death(&mut self) -> TransferError {
        let (stuck, peer) = (self.patience.stuck, self.peer());
        match tokio::time::timeout(stuck, self.receive()).await {
            Ok(Err(error)) => error,
            Ok(Ok(BoxFrame::Rejected(rejected))) => super::artifact::rejected(rejected),
            Ok(Ok(other)) => unexpected(&other),
            Err(_) => peer.dropped("nothing can be sent over it"),
        }
    }

    /// Says good-bye; the box need not wait for a timeout. A box that does not listen to it is left all the same.
    pub(super) async fn close(self) {
        let Self { writer, ssh, door, .. } = self;
        let farewell = async {
            let _ = writer.eof().await;
            let _ = ssh.disconnect(Disconnect::ByApplication, "", "").await;
            // Once russh's task is done, everything that was sent before has left.
            let _ = ssh.await;
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        drop(door);
    }
}

/// Moves frames from the channel to whoever waits for them.
async fn read(
    mut channel: ChannelReadHalf,
    frames: mpsc::Sender<Result<BoxFrame, TransferError>>,
    acked: watch::Sender<u64>,
    closed: CancellationToken,
) {
    let mut codec = UploadCodec::<BoxFrame>::default();
    let mut buffer = BytesMut::new();
    'channel: while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => buffer.extend_from_slice(&data),
            ChannelMsg::Close => break,
            _ => continue,
        }
        loop {
            let frame = match codec.decode(&mut buffer) {
                Ok(Some(BoxFrame::Ack(offset))) => {
                    let before = *acked.borrow();
                    if before <= offset {
                        acked.send_replace(offset);
                        continue;
                    }
                    // The sender looks at the newest alone: one that it never saw is not taken back in silence.
                    let why = format!("it acknowledged byte {before}, and then byte {offset}");
                    Err(TransferError::Protocol(why))
                }
                Ok(Some(frame)) => Ok(frame),
                Ok(None) => break,
                Err(error) => Err(error.into()),
            };
            if let Ok(BoxFrame::Begun(_)) = &frame {
                // Those of the artifact before it mean nothing any more; the box says how far it is with this one.
                acked.send_replace(0);
            }
            // What is no frame is the last word: nothing says where the next one begins. And a box that says more than it
            // was asked is not waited for.
            let last = frame.is_err();
            if frames.try_send(frame).is_err() || last {
                break 'channel;
            }
        }
    }
    closed.cancel();
}

pub(super) fn dropped(address: SocketAddr, why: &str) -> TransferError {
    TransferError::Dropped { address, why: why.to_owned() }
}

pub(super) fn unexpected(frame: &BoxFrame) -> TransferError {
    let name = match frame {
        BoxFrame::Welcome(_) => "Welcome",
        BoxFrame::Begun(_) => "Begun",
        BoxFrame::Ack(_) => "Ack",
        BoxFrame::Accepted(_) => "Accepted",
        BoxFrame::Rejected(_) => "Rejected",
        BoxFrame::Sealed(_) => "Sealed",
        BoxFrame::Error(_) => "Error",
    };
    TransferError::Protocol(format!("it sent {name} where that means nothing"))
}
