//! A client without manners: speaks frames as a test dictates them.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};
use drawbridge::transfer::ClientKey;
use drawbridge_protocol::{
    Sha256, Version,
    manifest::Claimed,
    upload::{Begin, BoxFrame, ClientFrame, Data, End, Failure, Hello, SUBSYSTEM, USER, UploadCodec},
};
use russh::{
    Channel, ChannelMsg,
    client::{self, Handle, Msg},
    keys::{
        PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate,
        ssh_key::private::{Ed25519Keypair, KeypairData},
    },
};
use tokio_util::codec::{Decoder as _, Encoder as _};

use crate::support::{Plan, Rig, artifact};

/// Takes any host key; tests of the box need no pin.
pub(crate) struct Anyone;

impl client::Handler for Anyone {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// A key whose private half a test may use as it likes.
pub(crate) fn key(seed: u8) -> Arc<PrivateKey> {
    Arc::new(PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32])), "").unwrap())
}

/// A box that lets in the key of `seed`.
pub(crate) async fn rig(seed: u8, plan: Plan) -> Rig {
    let s3 = crate::s3::client().await;
    let stand_in = ClientKey::generate().unwrap();
    let mut orders = crate::support::orders(&s3, &stand_in, &plan).await;
    orders.client_key = key(seed).public_key().to_openssh().unwrap().trim().parse().unwrap();
    Rig::start(s3, orders, stand_in, plan.bounds).await
}

/// An SSH connection, logged in or not.
pub(crate) async fn ssh(rig: &Rig, user: &str, seed: u8) -> (Handle<Anyone>, bool) {
    let mut handle = client::connect(Arc::default(), rig.address, Anyone).await.unwrap();
    let key = PrivateKeyWithHashAlg::new(key(seed), None);
    let admitted = handle.authenticate_publickey(user, key).await.unwrap().success();
    (handle, admitted)
}

/// A channel with the subsystem on it.
pub(crate) struct Raw {
    _ssh: Handle<Anyone>,
    channel: Channel<Msg>,
    buffer: BytesMut,
    acked: u64,
    /// Came while the test waited for an acknowledgement.
    early: VecDeque<BoxFrame>,
}

impl Raw {
    /// Connected and greeted.
    pub(crate) async fn greeted(rig: &Rig, seed: u8) -> Self {
        let mut raw = Self::connect(rig, seed).await;
        raw.greet(rig).await;
        raw
    }

    pub(crate) async fn connect(rig: &Rig, seed: u8) -> Self {
        let (ssh, admitted) = ssh(rig, USER, seed).await;
        assert!(admitted);
        Self::over(ssh).await
    }

    /// Over a connection that is logged in.
    pub(crate) async fn over(ssh: Handle<Anyone>) -> Self {
        let mut channel = ssh.channel_open_session().await.unwrap();
        channel.request_subsystem(true, SUBSYSTEM).await.unwrap();
        assert!(matches!(channel.wait().await, Some(ChannelMsg::Success)));
        Self { _ssh: ssh, channel, buffer: BytesMut::new(), acked: 0, early: VecDeque::new() }
    }

    pub(crate) async fn greet(&mut self, rig: &Rig) {
        self.send(ClientFrame::Hello(Hello { version: Version, session: rig.orders.session.clone() })).await;
        let said = self.receive().await;
        assert!(matches!(said, Some(BoxFrame::Welcome(_))), "a welcome was expected, got {said:?}");
    }

    pub(crate) async fn send(&mut self, frame: ClientFrame) {
        let mut bytes = BytesMut::new();
        UploadCodec::<BoxFrame>::default().encode(frame, &mut bytes).unwrap();
        // The box may have closed already; what it said is read all the same.
        let _ = self.channel.data_bytes(bytes.freeze()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.channel.data_bytes(Bytes::copy_from_slice(bytes)).await;
    }

    /// The next frame that is not an acknowledgement; none once the box has closed.
    pub(crate) async fn receive(&mut self) -> Option<BoxFrame> {
        loop {
            if let Some(frame) = self.early.pop_front() {
                return Some(frame);
            }
            self.listen().await?;
        }
    }

    /// Waits until the box answers for everything before `offset`.
    pub(crate) async fn acknowledged(&mut self, offset: u64) {
        assert!(self.answers_for(offset).await, "an acknowledgement");
    }

    /// Whether the box answers for everything before `offset` before it hangs up.
    pub(crate) async fn answers_for(&mut self, offset: u64) -> bool {
        while self.acked < offset {
            if self.listen().await.is_none() {
                return false;
            }
        }
        true
    }

    /// Waits until the box answers for everything before `offset`, or says something else first.
    #[allow(dead_code, reason = "the hostile client's tests share this file")]
    pub(crate) async fn told_before(&mut self, offset: u64) -> Option<BoxFrame> {
        while self.acked < offset && self.early.is_empty() {
            self.listen().await?;
        }
        self.early.pop_front()
    }

    /// Takes in whatever comes next.
    async fn listen(&mut self) -> Option<()> {
        match self.channel.wait().await? {
            ChannelMsg::Data { data } => self.buffer.extend_from_slice(&data),
            ChannelMsg::Close => return None,
            _ => {}
        }
        while let Some(frame) = UploadCodec::<BoxFrame>::default().decode(&mut self.buffer).unwrap() {
            match frame {
                BoxFrame::Ack(offset) => self.acked = offset,
                frame => self.early.push_back(frame),
            }
        }
        Some(())
    }

    pub(crate) async fn begin(&mut self, name: &str) -> Option<BoxFrame> {
        self.send(ClientFrame::Begin(Begin { name: artifact(name) })).await;
        self.receive().await
    }

    pub(crate) async fn data(&mut self, offset: u64, bytes: &[u8]) {
        self.send(ClientFrame::Data(Data { offset, bytes: Bytes::copy_from_slice(bytes) })).await;
    }

    pub(crate) async fn end(&mut self, bytes: u64, sha256: Sha256) -> Option<BoxFrame> {
        let claimed = Claimed {
            source: "s".to_owned(),
            namespace: "n".to_owned(),
            pod: "p".to_owned(),
            pod_uid: "u".to_owned(),
            container: "c".to_owned(),
            image: String::new(),
            paths: Vec::new(),
            original_bytes: bytes,
            original_sha256: sha256.clone(),
            log: None,
        };
        self.send(ClientFrame::End(Box::new(End { bytes, sha256, claimed }))).await;
        self.receive().await
    }

    /// The box's last word.
    pub(crate) async fn failure(&mut self) -> Failure {
        match self.receive().await {
            Some(BoxFrame::Error(failure)) => failure,
            other => panic!("a failure was expected, got {other:?}"),
        }
    }
}
