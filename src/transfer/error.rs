//! Why a transfer did not succeed, by kind, so that whoever decides on a retry need not read messages.

use std::{io, net::SocketAddr};

use drawbridge_protocol::{ArtifactName, CertificateError, ProtocolError, upload::FailureCode};

/// A transfer that failed.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Somebody else answers at the box's address.
    #[error(
        "the machine at {address} shows host key {got}, the box reported {expected}: something stands between this \
         cluster and the box; nothing was sent"
    )]
    HostKeyMismatch { address: SocketAddr, expected: String, got: String },
    /// Packets to the box vanish: a security group does that.
    #[error(
        "no answer from the box at {address} in {seconds} s: if this cluster's egress address has changed, it is no \
         longer among the stack's client networks (parameter ClientCidrs)"
    )]
    ConnectTimeout { address: SocketAddr, seconds: u64 },
    /// The network said no.
    #[error("cannot connect to the box at {address}: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    /// The box does not know our key: it serves another session.
    #[error("the box at {address} refused this session's client key")]
    KeyRefused { address: SocketAddr },
    /// The connection broke.
    #[error("the connection to the box at {address} broke: {why}")]
    Dropped { address: SocketAddr, why: String },
    /// The connection broke, and for as long as the box keeps what it has, it did not come back.
    #[error(
        "the connection to the box at {address} broke and could not be taken up again in {seconds} s: {why}; another \
         attempt takes another box"
    )]
    Lost { address: SocketAddr, seconds: u64, why: String },
    /// The connection was gone for so long that the box has let the artifact go.
    #[error(
        "the box at {address} kept '{artifact}' no longer: the connection was gone for too long; another attempt sends it \
         again"
    )]
    Forgotten { address: SocketAddr, artifact: ArtifactName },
    /// The connection stands, and what the box owes does not come.
    #[error(
        "the box at {address} has said nothing for {seconds} s, and owes {what}; another attempt takes another box"
    )]
    Silent { address: SocketAddr, seconds: u64, what: &'static str },
    /// A check at the box said no. Sending the same again changes nothing.
    #[error("the box rejected '{artifact}': check '{check}' says {reason}")]
    Rejected { artifact: ArtifactName, check: String, reason: String },
    /// The box cannot go on.
    #[error("the box could not store it: {message}")]
    Box { code: FailureCode, message: String },
    /// The source of an artifact failed before its end; nothing of it was kept.
    #[error("the source failed: {0}")]
    Source(#[source] io::Error),
    /// The box broke the protocol, or says something else than what we sent.
    #[error("the box broke the protocol: {0}")]
    Protocol(String),
    /// The receipt may be genuine; nothing shows that it is.
    #[error("the receipt cannot be verified under the vault's spec.receiptKey: {0}")]
    Unverified(CertificateError),
    /// This process failed itself.
    #[error("compressing failed: {0}")]
    Pipeline(String),
    /// A key could not be made.
    #[error("cannot make a client key: {0}")]
    Key(String),
}

impl TransferError {
    /// Whether the connection, and only the connection, is to blame, so that coming back may help.
    pub(super) fn is_broken_connection(&self) -> bool {
        matches!(self, Self::ConnectTimeout { .. } | Self::Connect { .. } | Self::Dropped { .. })
    }
}

impl From<CertificateError> for TransferError {
    fn from(error: CertificateError) -> Self {
        match error {
            // The certificate holds; the box signed something else.
            CertificateError::Document(error) => error.into(),
            error => Self::Unverified(error),
        }
    }
}

impl From<ProtocolError> for TransferError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error.to_string())
    }
}
