//! The life of a box: listen, report, serve, end.

use std::{
    fs::File,
    io::{self, Read as _},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use drawbridge_protocol::{ObjectKey, Orders, ReadyReport, Sha256, Version};
use jiff::Timestamp;
use tokio::net::TcpListener;

use crate::{
    ingest::{Bounds, Settings},
    keys::{KeyError, Keys},
    machine::Machine,
    orders::{self, OrdersError},
    ready::{self, ReadyError},
    rules::rules,
    session::Session,
    ssh::Gatehouse,
    store::{Cause, Store, StoreError},
};

/// How long the box tries to put its ended marker. The sweeper and the armed shutdown do not depend on it.
const MARKING: Duration = Duration::from_secs(30);

/// Where the box stands.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where clients come in.
    pub listen: SocketAddr,
    /// The device that everything to S3 leaves by; any, if none is named.
    pub interface: Option<String>,
    /// The box's program as a file: run once more, it compiles the rules, and its digest is reported.
    pub program: PathBuf,
}

/// Why the box cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BoxError {
    #[error(transparent)]
    Orders(#[from] OrdersError),
    #[error(
        "{address} is taken: another SSH server runs here, and clients might talk to it; user data must stop it first"
    )]
    PortTaken { address: SocketAddr },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot make keys: {0}")]
    Keys(String),
    #[error("cannot read the box's own program: {0}")]
    Program(io::Error),
    #[error("the rules could not be compiled: {0}")]
    Rules(io::Error),
    #[error(transparent)]
    Ready(#[from] ReadyError),
    #[error("no connection can be taken any more: {0}")]
    Accept(io::Error),
    #[error("the deadline came, and the ended marker could not be put: {0}")]
    Marker(StoreError),
}

impl From<KeyError> for BoxError {
    fn from(error: KeyError) -> Self {
        Self::Keys(error.to_string())
    }
}

/// How a box ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its own timer ran out, and the marker that ends the session is put.
    Deadline,
}

/// A box that listens and has reported.
pub struct Jumpbox {
    listener: TcpListener,
    gatehouse: Gatehouse,
    store: Store,
    ended_key: ObjectKey,
    deadline: Timestamp,
    report: ReadyReport,
}

impl std::fmt::Debug for Jumpbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jumpbox").field("report", &self.report).finish_non_exhaustive()
    }
}

impl Jumpbox {
    /// Listens first, then reports: whoever reads the report can connect.
    pub async fn start(orders: Orders, place: &Place, machine: Machine) -> Result<Self, BoxError> {
        Self::start_within(Bounds::default(), orders, place, machine).await
    }

    /// As [`Jumpbox::start`], with bounds other than S3's and the protocol's own; for tests.
    pub async fn start_within(
        bounds: Bounds,
        orders: Orders,
        place: &Place,
        machine: Machine,
    ) -> Result<Self, BoxError> {
        orders::check(&orders, Timestamp::now())?;
        let (rules, orders) = rules(orders, place.program.clone()).await.map_err(BoxError::Rules)?;
        let settings = Settings::new(bounds);
        let listener = listen(place.listen).await?;
        let keys = Keys::generate()?;
        let report = ReadyReport {
            version: Version,
            session: orders.session.clone(),
            instance: machine.instance.clone(),
            host_key: keys.host_public()?,
            session_key: keys.signer.public().map_err(KeyError::from)?,
            program: digest_of(place.program.clone()).await.map_err(BoxError::Program)?,
            at: Timestamp::now(),
        };
        let store = Store::new(&orders, &machine, place.interface.as_deref());
        let (deadline, ended_key, client_key) =
            (orders.deadline, orders.ended_key.clone(), orders.client_key.clone());
        ready::send(&report, &orders, place.interface.as_deref()).await?;
        tracing::info!(session = %orders.session, instance = machine.instance, %deadline, "ready");
        let session = Arc::new(Session::new(
            orders,
            machine.instance,
            report.program.clone(),
            settings,
            store.clone(),
            rules,
            keys.signer,
        ));
        let gatehouse = Gatehouse::new(session, keys.host, &client_key).map_err(KeyError::from)?;
        Ok(Self { listener, gatehouse, store, ended_key, deadline, report })
    }

    /// What the box reported.
    pub fn report(&self) -> &ReadyReport {
        &self.report
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves the session until the deadline, then puts the marker that ends the session.
    pub async fn serve(self) -> Result<Ending, BoxError> {
        tokio::select! {
            error = self.gatehouse.serve(&self.listener) => return Err(BoxError::Accept(error)),
            () = until(self.deadline) => {}
        }
        tracing::warn!("the deadline has come");
        let put = self.store.put_new(&self.ended_key, Bytes::new(), "text/plain");
        match tokio::time::timeout(MARKING, put).await {
            // The marker of an earlier run of this box serves as well.
            Ok(Ok(_) | Err(StoreError::Exists { .. })) => Ok(Ending::Deadline),
            Ok(Err(error)) => Err(BoxError::Marker(error)),
            Err(_) => Err(BoxError::Marker(StoreError::Failed {
                operation: "PutObject",
                key: self.ended_key,
                cause: Cause::timed_out(format!("no answer in {} s", MARKING.as_secs())),
            })),
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BoxError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BoxError::PortTaken { address },
        _ => BoxError::Listen { address, source },
    })
}

/// The digest of the program, a piece at a time: the whole of it would be most of the memory that a box has.
async fn digest_of(program: PathBuf) -> io::Result<Sha256> {
    let read = move || {
        let (mut file, mut piece) = (File::open(program)?, vec![0; 64 << 10]);
        let mut digest = Context::new(&SHA256);
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(Sha256::from_digest(&digest.finish())),
                read => digest.update(&piece[..read]),
            }
        }
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// Sleeps by the wall clock, looking at it again and again: the deadline is a time of day, and a clock may be set.
async fn until(deadline: Timestamp) {
    loop {
        let left = deadline.duration_since(Timestamp::now());
        let Ok(left) = Duration::try_from(left) else { return };
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(Duration::from_secs(10))).await;
    }
}
