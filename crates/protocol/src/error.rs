//! What can be wrong with something that another party sent.

/// A document or a frame that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error(
        "protocol version {got} is not supported: this side speaks version {}; upgrade {}",
        crate::Version::NUMBER,
        if *got > crate::Version::NUMBER { "this side" } else { "the other side" }
    )]
    Version { got: u32 },
    #[error("{what} has {got} bytes, more than the {max} allowed")]
    TooLarge { what: &'static str, got: usize, max: usize },
    #[error("{what} is not valid: {why}")]
    Invalid { what: &'static str, why: String },
    #[error("the signature of the {what} does not verify under the session key")]
    Signature { what: &'static str },
    #[error("unknown frame kind {kind}")]
    FrameKind { kind: u8 },
    #[error("the connection failed: {0}")]
    Io(String),
}

impl ProtocolError {
    pub(crate) fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { what, why: why.into() }
    }
}

impl From<std::io::Error> for ProtocolError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}
