//! SSH: who gets in, how many, how fast; and that nothing is there but the one subsystem.

mod door;
mod handler;

use std::{borrow::Cow, io, sync::Arc, time::Duration};

use drawbridge_protocol::SshPublicKey;
use russh::{
    MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex,
    keys::{Algorithm, PrivateKey, PublicKey},
    mac,
    server::{Config, run_stream},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use self::{door::Door, handler::Visitor};
use crate::session::{MAX_OPEN, Session};

/// Connections that have not shown the key yet. More are turned away at once.
const MAX_STRANGERS: usize = 16;
/// How long a connection may take to show the key.
const KNOCKING: Duration = Duration::from_secs(15);
/// A client that says nothing for so long is gone. Ours sends keepalives.
const SILENCE: Duration = Duration::from_mins(1);

/// What all connections share.
pub(crate) struct Gatehouse {
    config: Arc<Config>,
    session: Arc<Session>,
    client_key: PublicKey,
    strangers: Arc<Semaphore>,
    guests: Arc<Semaphore>,
}

impl Gatehouse {
    pub(crate) fn new(
        session: Arc<Session>,
        host: PrivateKey,
        client_key: &SshPublicKey,
    ) -> Result<Self, russh::keys::ssh_key::Error> {
        Ok(Self {
            config: Arc::new(config(host)),
            session,
            client_key: PublicKey::from_openssh(client_key.as_str())?,
            strangers: Arc::new(Semaphore::new(MAX_STRANGERS)),
            guests: Arc::new(Semaphore::new(MAX_OPEN)),
        })
    }

    /// Takes connections for ever.
    pub(crate) async fn serve(&self, listener: &TcpListener) -> io::Error {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Ok(place) = Arc::clone(&self.strangers).try_acquire_owned() {
                        self.welcome(stream, peer, place);
                    } else {
                        tracing::warn!(%peer, "turned away: too many have not shown the key yet");
                    }
                }
                // Out of descriptors, or the peer was gone before we looked: the next one may do better.
                Err(error) if is_passing(&error) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => return error,
            }
        }
    }

    fn welcome(
        &self,
        stream: TcpStream,
        peer: std::net::SocketAddr,
        place: tokio::sync::OwnedSemaphorePermit,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "no TCP_NODELAY");
        }
        let shut = CancellationToken::new();
        let admitted = CancellationToken::new();
        let visitor = Visitor::new(
            Arc::clone(&self.session),
            self.client_key.clone(),
            Arc::clone(&self.guests),
            admitted.clone(),
            shut.clone(),
        );
        let config = Arc::clone(&self.config);
        let door = Door::new(stream, shut.clone());
        tokio::spawn(async move {
            let knocking = tokio::spawn(turn_away_late(admitted, shut.clone(), place));
            let ended = match run_stream(config, door, visitor).await {
                Ok(session) => session.await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "a connection ended");
            }
            shut.cancel();
            knocking.abort();
        });
    }
}

/// Shuts the door on a connection that has not shown the key in time; gives its place free when it has.
async fn turn_away_late(
    admitted: CancellationToken,
    shut: CancellationToken,
    place: tokio::sync::OwnedSemaphorePermit,
) {
    if tokio::time::timeout(KNOCKING, admitted.cancelled()).await.is_err() {
        shut.cancel();
    }
    drop(place);
}

fn is_passing(error: &io::Error) -> bool {
    // EMFILE and ENFILE have no kind of their own.
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) || matches!(error.raw_os_error(), Some(23 | 24))
}

fn config(host: PrivateKey) -> Config {
    let preferred = Preferred {
        kex: Cow::Borrowed(&[
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::EXTENSION_SUPPORT_AS_SERVER,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        key: Cow::Borrowed(&[Algorithm::Ed25519]),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(&[cipher::AES_256_GCM, cipher::CHACHA20_POLY1305]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA256_ETM]),
        // Artifacts are compressed already.
        compression: Cow::Borrowed(&[compression::NONE]),
    };
    Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-drawbridge")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::from_secs(1),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host],
        window_size: 8 << 20,
        maximum_packet_size: 65_535,
        // Packets that wait for a reader who waits for room, of 64 KiB at the most.
        channel_buffer_size: 4,
        event_buffer_size: 32,
        preferred,
        max_auth_attempts: 3,
        inactivity_timeout: Some(SILENCE),
        nodelay: true,
        ..Config::default()
    }
}
