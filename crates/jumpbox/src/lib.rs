//! The box: a machine that lives for one session, takes artifacts over SSH, checks them and puts them in S3.
//!
//! ```text
//! ssh/         transport: who gets in, and that nothing but the one subsystem exists
//! connection   one upload connection: frames in, calls on the session, frames out
//! rules        compiled by this program, in a process of its own
//! backlog      how much may wait, of all connections together
//! session      what the session has taken, is taking and has sealed
//! ingest/      one artifact: digests, parts, checks; outlives a dropped connection
//! store/       the backup bucket, write-once
//! ```
//! The box trusts nobody: not the client (every frame is bounded and checked), not the network (it makes its own keys),
//! not a second writer (every object is written with `If-None-Match: *`).

mod backlog;
mod connection;
mod ingest;
mod keys;
mod machine;
mod orders;
mod ready;
mod rejections;
mod rules;
mod run;
mod seal;
mod session;
mod ssh;
mod store;

pub use ingest::Bounds;
pub use machine::{Machine, MachineError};
pub use orders::{OrdersError, load as load_orders};
pub use ready::ReadyError;
pub use rules::{COMPILE, compile};
pub use run::{BoxError, Ending, Jumpbox, Place};
pub use store::StoreError;
