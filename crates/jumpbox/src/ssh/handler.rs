//! russh's callbacks for one connection. They decide who may do what, and turn the one thing that is allowed into a
//! task; no upload logic lives here.

use std::{sync::Arc, time::Duration};

use drawbridge_protocol::upload::{SUBSYSTEM, USER};
use russh::{
    Channel, ChannelId, ChannelOpenFailure, Pty,
    keys::PublicKey,
    server::{
        Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session as SshSession, VerifiedPublicKey,
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{connection, session::Session};

/// How long an open channel may stay without the subsystem.
const ASKING: Duration = Duration::from_secs(10);
/// How long the last answer may take to leave before the connection is shut.
const FAREWELL: Duration = Duration::from_secs(3);

/// Whoever is at the other end.
pub(super) struct Visitor {
    session: Arc<Session>,
    client_key: PublicKey,
    guests: Arc<Semaphore>,
    /// Tells the clock that the key was shown.
    admitted: CancellationToken,
    /// Shuts the connection.
    shut: CancellationToken,
    guest: Option<OwnedSemaphorePermit>,
    /// The one channel, and what starts its subsystem. Gone once it has started.
    channel: Option<(ChannelId, oneshot::Sender<()>)>,
    opened: bool,
}

impl Visitor {
    pub(super) fn new(
        session: Arc<Session>,
        client_key: PublicKey,
        guests: Arc<Semaphore>,
        admitted: CancellationToken,
        shut: CancellationToken,
    ) -> Self {
        Self { session, client_key, guests, admitted, shut, guest: None, channel: None, opened: false }
    }

    fn knows(&self, user: &str, key: &PublicKey) -> Auth {
        if user == USER && key.key_data() == self.client_key.key_data() {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }
}

/// Says no to a request on a channel, by name in the log: it should never come.
fn deny(what: &str, channel: ChannelId, ssh: &mut SshSession) -> Result<(), russh::Error> {
    tracing::warn!(what, "denied: the box offers the subsystem {SUBSYSTEM} and nothing else");
    ssh.channel_failure(channel)
}

/// Waits for the subsystem to be asked for, then serves the channel.
async fn attend(
    session: Arc<Session>,
    channel: Channel<Msg>,
    start: oneshot::Receiver<()>,
    shut: CancellationToken,
) {
    let (reader, writer) = channel.split();
    if let Ok(Ok(())) = tokio::time::timeout(ASKING, start).await {
        connection::serve(session, reader, writer).await;
    } else {
        // Nobody reads this channel, so it must not stay: it would stall the connection.
        drop(reader);
    }
    tokio::select! {
        () = tokio::time::sleep(FAREWELL) => shut.cancel(),
        () = shut.cancelled() => {}
    }
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.knows(user, offer.public_key))
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(self.knows(user, key.public_key))
    }

    async fn auth_succeeded(&mut self, _: &mut SshSession) -> Result<(), Self::Error> {
        self.guest = Arc::clone(&self.guests).try_acquire_owned().ok();
        if self.guest.is_none() {
            tracing::warn!("turned away: as many connections as allowed are open");
            self.shut.cancel();
        }
        self.admitted.cancel();
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut SshSession,
    ) -> Result<(), Self::Error> {
        if std::mem::replace(&mut self.opened, true) || self.guest.is_none() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let (start, started) = oneshot::channel();
        self.channel = Some((channel.id(), start));
        tokio::spawn(attend(Arc::clone(&self.session), channel, started, self.shut.clone()));
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        ssh: &mut SshSession,
    ) -> Result<(), Self::Error> {
        match self.channel.take() {
            Some((channel, start)) if channel == id && name == SUBSYSTEM => {
                ssh.channel_success(id)?;
                // Closed already when the channel waited too long; then the connection is about to end.
                let _ = start.send(());
                Ok(())
            }
            kept => {
                self.channel = kept;
                deny("another subsystem", id, ssh)
            }
        }
    }

    async fn shell_request(&mut self, id: ChannelId, ssh: &mut SshSession) -> Result<(), Self::Error> {
        deny("shell", id, ssh)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        _: &[u8],
        ssh: &mut SshSession,
    ) -> Result<(), Self::Error> {
        deny("exec", id, ssh)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: &str,
        ssh: &mut SshSession,
    ) -> Result<(), Self::Error> {
        deny("environment variable", id, ssh)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        ssh: &mut SshSession,
    ) -> Result<(), Self::Error> {
        deny("pty", id, ssh)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        ssh: &mut SshSession,
    ) -> Result<(), Self::Error> {
        deny("x11", id, ssh)
    }

    async fn agent_request(&mut self, id: ChannelId, ssh: &mut SshSession) -> Result<bool, Self::Error> {
        deny("agent", id, ssh)?;
        Ok(false)
    }

    // Everything else (forwarding of ports and sockets both ways, X11 channels, passwords) russh refuses by default.
}
