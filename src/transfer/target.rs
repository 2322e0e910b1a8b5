//! Where a session's artifacts go, and how long the way may take.

use std::{net::SocketAddr, time::Duration};

use drawbridge_protocol::{
    JobRef, ObjectPrefix, SessionId, SessionPublicKey, SshPublicKey, session::ReadyBox,
    upload::RESUME_SECONDS,
};

/// The box to send to, and what its receipt must say.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub host_key: SshPublicKey,
    pub session_key: SessionPublicKey,
    pub session: SessionId,
    pub job: JobRef,
    pub bucket: String,
    pub prefix: ObjectPrefix,
}

impl Target {
    /// The box that `create` reported for this session and job.
    pub fn new(ready: &ReadyBox, session: SessionId, job: JobRef) -> Self {
        Self {
            address: (ready.address, ready.port).into(),
            host_key: ready.host_key.clone(),
            session_key: ready.session_key.clone(),
            session,
            job,
            bucket: ready.bucket.clone(),
            prefix: ready.prefix.clone(),
        }
    }
}

/// How long to wait for the network.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a TCP connection.
    pub connect: Duration,
    /// For a broken connection to come back.
    pub resume: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), resume: Duration::from_secs(RESUME_SECONDS) }
    }
}
