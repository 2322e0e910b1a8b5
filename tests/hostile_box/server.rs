//! A box's SSH server with the manners that a test gives it.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use russh::{
    Channel, ChannelId, ChannelOpenFailure,
    keys::PrivateKey,
    server::{
        Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream,
    },
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    dialogue::{self, Taken, Twist},
    world::World,
};

/// Where the box stops on the way to its subsystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Door {
    #[default]
    Open,
    RefusesTheKey,
    NeverAdmits,
    RefusesTheChannel,
    NeverOpensTheChannel,
    RefusesTheSubsystem,
    NeverStarts,
}

/// What the box asks of the client that no box may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Session,
    Agent,
    ForwardedPort,
    ForwardedSocket,
    OtherHost,
    OtherSocket,
    X11,
}

/// How the box behaves. An honest one by default.
pub(crate) struct Manners {
    /// Another host key than the reported one.
    pub(crate) host: Option<PrivateKey>,
    pub(crate) door: Door,
    pub(crate) asks: Option<Ask>,
    /// What SSH lets the client send.
    pub(crate) window: u32,
    pub(crate) packet: u32,
    pub(crate) twist: Twist,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            host: None,
            door: Door::default(),
            asks: None,
            window: 8 << 20,
            packet: 65_535,
            twist: Box::new(|_, honest| honest),
        }
    }
}

pub(crate) struct Server {
    pub(crate) world: World,
    pub(crate) manners: Manners,
    pub(crate) taken: Taken,
    connections: AtomicUsize,
    poured: AtomicUsize,
}

impl Server {
    pub(crate) fn new(world: World, manners: Manners) -> Self {
        let (taken, connections, poured) = Default::default();
        Self { world, manners, taken, connections, poured }
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// So many bytes of an endless stream have left.
    pub(crate) fn poured(&self, bytes: usize) -> usize {
        self.poured.fetch_add(bytes, Ordering::SeqCst) + bytes
    }
}

/// A server that listens until it is dropped.
pub(crate) struct Listening {
    pub(crate) server: Arc<Server>,
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) async fn listen(world: World, manners: Manners) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = Arc::new(Config {
        keys: vec![manners.host.clone().unwrap_or_else(|| world.host.clone())],
        auth_rejection_time: std::time::Duration::ZERO,
        window_size: manners.window,
        maximum_packet_size: manners.packet,
        nodelay: true,
        ..Config::default()
    });
    let server = Arc::new(Server::new(world, manners));
    let host = Arc::clone(&server);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = host.connections.fetch_add(1, Ordering::SeqCst);
            let (config, host) = (Arc::clone(&config), Host { server: Arc::clone(&host), connection });
            tokio::spawn(async move {
                if let Ok(session) = run_stream(config, stream, host).await {
                    let _ = session.await;
                }
            });
        }
    });
    Listening { server, address, serving }
}

/// One connection.
struct Host {
    server: Arc<Server>,
    connection: usize,
}

impl Host {
    fn door(&self) -> Door {
        self.server.manners.door
    }
}

impl Handler for Host {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        match self.door() {
            Door::RefusesTheKey => Ok(Auth::reject()),
            Door::NeverAdmits => pending().await,
            _ => Ok(Auth::Accept),
        }
    }

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.door() {
            Door::RefusesTheChannel => reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await,
            Door::NeverOpensTheChannel => pending().await,
            _ => {
                let (reader, writer) = channel.split();
                let (server, connection) = (Arc::clone(&self.server), self.connection);
                tokio::spawn(async move { dialogue::serve(&server, connection, reader, writer).await });
                reply.accept().await;
            }
        }
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.door() {
            Door::RefusesTheSubsystem => return session.channel_failure(id),
            Door::NeverStarts => return Ok(()),
            _ => session.channel_success(id)?,
        }
        let opened = match self.server.manners.asks {
            None => return Ok(()),
            Some(Ask::Session) => session.channel_open_session(),
            Some(Ask::Agent) => session.channel_open_agent(),
            Some(Ask::ForwardedPort) => session.channel_open_forwarded_tcpip("127.0.0.1", 22, "127.0.0.1", 1),
            Some(Ask::ForwardedSocket) => session.channel_open_forwarded_streamlocal("/run/docker.sock"),
            Some(Ask::OtherHost) => session.channel_open_direct_tcpip("10.0.0.1", 443, "127.0.0.1", 1),
            Some(Ask::OtherSocket) => session.channel_open_direct_streamlocal("/run/docker.sock"),
            Some(Ask::X11) => session.channel_open_x11("127.0.0.1", 1),
        };
        opened.map(|_| ())
    }
}
