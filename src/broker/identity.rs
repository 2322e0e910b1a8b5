//! What the cluster's AWS identity rests on, as far as the operator can tell.

/// The kind of credentials that functions are invoked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// They expire: a web identity's, EKS Pod Identity's, a session's.
    Temporary,
    /// A long-lived key. Whoever copies it may use it until somebody deletes it.
    StaticKey,
    /// There are none now, or nobody can tell.
    Unknown,
}

impl Credentials {
    /// AWS gives a session token with everything that expires, and with nothing else.
    pub(super) fn of(session_token: Option<&str>) -> Self {
        if session_token.is_some() { Self::Temporary } else { Self::StaticKey }
    }
}
