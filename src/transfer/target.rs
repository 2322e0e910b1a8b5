//! Where a session's artifacts go, and how long the way may take.

use std::{net::SocketAddr, time::Duration};

use drawbridge_protocol::{
    Certificate, CertificateError, JobRef, ObjectPrefix, ReceiptKey, SessionId, SessionPublicKey,
    SshPublicKey, certificate::Facts, session::ReadyBox, upload::RESUME_SECONDS,
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
    /// EC2's id of the box.
    pub instance: String,
    /// What vouches for the session key; the box gets it with the commit.
    pub certificate: Option<Certificate>,
    /// What the certificate must be signed with. Without one pinned, the session key is believed as `create` gave it.
    pub receipt_key: Option<ReceiptKey>,
}

impl Target {
    /// The box that `create` reported for this session and job. No receipt key is pinned yet.
    pub fn new(ready: &ReadyBox, session: SessionId, job: JobRef) -> Self {
        Self {
            address: (ready.address, ready.port).into(),
            host_key: ready.host_key.clone(),
            session_key: ready.session_key.clone(),
            session,
            job,
            bucket: ready.bucket.clone(),
            prefix: ready.prefix.clone(),
            instance: ready.instance.clone(),
            certificate: ready.certificate.clone(),
            receipt_key: None,
        }
    }

    /// The same, believed only under this receipt key.
    #[must_use]
    pub fn pinned(self, receipt_key: Option<ReceiptKey>) -> Self {
        Self { receipt_key, ..self }
    }

    /// Fails if a receipt key is pinned and `certificate` does not vouch under it for this box's session key. `client`
    /// is the key that the box was asked to let in.
    pub fn believes(
        &self,
        certificate: Option<&Certificate>,
        client: &SshPublicKey,
    ) -> Result<(), CertificateError> {
        let Some(receipt_key) = &self.receipt_key else { return Ok(()) };
        let certified = certificate.ok_or(CertificateError::Missing)?.verify(receipt_key)?;
        certified.must_name(&Facts {
            session: &self.session,
            job: &self.job,
            client_key: &client.fingerprint(),
            bucket: &self.bucket,
            prefix: &self.prefix,
            session_key: Some(&self.session_key),
            instance: Some(&self.instance),
            // Which program it should be, only the stack knows.
            program: None,
        })
    }
}

/// How long to wait for the network.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a TCP connection.
    pub connect: Duration,
    /// From the open TCP connection to `Welcome`.
    pub handshake: Duration,
    /// For bytes to be taken, by SSH or by the network. While they are not, SSH's keepalive is not sent either. A box reads
    /// whatever comes, so this is a network that is gone; TCP alone would notice after a quarter of an hour.
    pub stuck: Duration,
    /// For what the box owes. Longer than the box itself tries: a part, the completion and a listing, each three times.
    pub answer: Duration,
    /// For a broken connection to come back.
    pub resume: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(20),
            stuck: Duration::from_secs(20),
            answer: Duration::from_mins(10),
            resume: Duration::from_secs(RESUME_SECONDS),
        }
    }
}
