//! Pins the box's host key, refuses whatever else the box asks for, and settles how this side speaks SSH.
//!
//! The key is checked once a connection. Keys that are exchanged anew later need no check: only who holds the keys of the
//! connection, and so the pinned one, can ask for it.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use drawbridge_protocol::SshPublicKey;
use russh::{
    Channel, Preferred, SshId, cipher,
    client::{self, ChannelOpenHandle, Msg, Session},
    compression, kex,
    keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate},
    mac,
};

use super::TransferError;

/// What the box asked for that no box may. russh ends the connection and does not say why; this does.
#[derive(Clone, Debug, Default)]
pub(super) struct Offence(Arc<OnceLock<&'static str>>);

impl Offence {
    /// `error`, or what it followed from.
    pub(super) fn name(&self, error: TransferError) -> TransferError {
        match self.0.get() {
            Some(what) if error.is_broken_connection() => {
                TransferError::Protocol(format!("it opened {what}"))
            }
            _ => error,
        }
    }
}

/// Accepts one host key and no other, and opens nothing for the box.
pub(super) struct Pin {
    address: SocketAddr,
    expected: PublicKey,
    offence: Offence,
}

impl Pin {
    pub(super) fn new(
        address: SocketAddr,
        expected: &SshPublicKey,
        offence: Offence,
    ) -> Result<Self, TransferError> {
        let expected = PublicKey::from_openssh(expected.as_str())
            .map_err(|error| TransferError::Protocol(format!("its host key cannot be read: {error}")))?;
        Ok(Self { address, expected, offence })
    }

    /// Ends the connection: a box opens nothing, and what russh would take by default is never given back.
    fn refuse(&self, what: &'static str) -> Result<(), PinError> {
        // The first one counts.
        let _ = self.offence.0.set(what);
        Err(PinError::Ssh(russh::Error::Inconsistent))
    }
}

/// A connection that did not come about.
#[derive(Debug)]
pub(super) enum PinError {
    Mismatch(TransferError),
    Ssh(russh::Error),
}

impl From<russh::Error> for PinError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl client::Handler for Pin {
    type Error = PinError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let got = shown.public_key();
        if shown.certificate().is_none() && got.key_data() == self.expected.key_data() {
            return Ok(true);
        }
        Err(PinError::Mismatch(TransferError::HostKeyMismatch {
            address: self.address,
            expected: self.expected.fingerprint(HashAlg::Sha256).to_string(),
            got: got.fingerprint(HashAlg::Sha256).to_string(),
        }))
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("a session channel")
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("a channel to an SSH agent")
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("a channel of a forwarded port")
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("a channel of a forwarded socket")
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("a channel to another host")
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("a channel to a socket")
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse("a channel to an X11 display")
    }
}

/// How this side speaks SSH.
pub(super) fn config() -> client::Config {
    let preferred = Preferred {
        kex: Cow::Borrowed(&[
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::EXTENSION_SUPPORT_AS_CLIENT,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
        ]),
        key: Cow::Borrowed(&[Algorithm::Ed25519]),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(&[cipher::AES_256_GCM, cipher::CHACHA20_POLY1305]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA256_ETM]),
        compression: Cow::Borrowed(&[compression::NONE]),
    };
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-drawbridge")),
        window_size: 1 << 20,
        maximum_packet_size: 65_535,
        channel_buffer_size: 32,
        preferred,
        // A dead network shows in about 20 s, so that the box still waits for us when we come back.
        keepalive_interval: Some(Duration::from_secs(5)),
        keepalive_max: 3,
        nodelay: true,
        ..client::Config::default()
    }
}
