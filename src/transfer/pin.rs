//! Pins the box's host key, and with it settles how this side speaks SSH.

use std::{borrow::Cow, net::SocketAddr, time::Duration};

use drawbridge_protocol::SshPublicKey;
use russh::{
    Preferred, SshId, cipher, client, compression, kex,
    keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate},
    mac,
};

use super::TransferError;

/// Accepts one host key and no other.
pub(super) struct Pin {
    address: SocketAddr,
    expected: PublicKey,
}

impl Pin {
    pub(super) fn new(address: SocketAddr, expected: &SshPublicKey) -> Result<Self, TransferError> {
        let expected = PublicKey::from_openssh(expected.as_str())
            .map_err(|error| TransferError::Protocol(format!("its host key cannot be read: {error}")))?;
        Ok(Self { address, expected })
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
