//! Every type that crosses a boundary: cluster to Lambda, Lambda to box, cluster to box, box to bucket.
//!
//! Nothing here does I/O. Everything that is read from another party is bounded in size, denies unknown
//! fields and carries a version; what a value of these types says about itself has been checked when it was made.

pub mod ca;
pub mod certificate;
pub mod checks;
pub mod details;
pub mod dsse;
pub mod error;
pub mod ids;
pub mod json;
pub mod manifest;
pub mod measures;
pub mod orders;
pub mod posture;
pub mod receipt_key;
pub mod rejection;
pub mod revision;
pub mod session;
pub mod upload;

pub use ca::ExtraCa;
pub use certificate::{Certificate, CertificateError, CertifiedSession};
pub use dsse::{Envelope, SessionSigner};
pub use error::ProtocolError;
pub use ids::{
    ArtifactName, ClusterName, JobRef, ObjectKey, ObjectPrefix, SessionId, SessionPublicKey, Sha256,
    SshPublicKey,
};
pub use manifest::{Manifest, Receipt};
pub use measures::{Baseline, SeriesName, SourceMeasures, Sources};
pub use orders::{Orders, ReadyReport};
pub use posture::{Posture, PostureAnswer, PostureRequest};
pub use receipt_key::ReceiptKey;
pub use rejection::RejectionRecord;
pub use revision::{Revision, Revisions};
pub use session::{CleanupAnswer, CleanupRequest, CreateAnswer, CreateRequest};

use serde::{Deserialize, Serialize};

/// The version of every document and of the upload protocol. Any other is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Version;

impl Version {
    /// The number on the wire.
    pub const NUMBER: u32 = 1;
}

impl TryFrom<u32> for Version {
    type Error = ProtocolError;

    fn try_from(number: u32) -> Result<Self, ProtocolError> {
        if number == Self::NUMBER { Ok(Self) } else { Err(ProtocolError::Version { got: number }) }
    }
}

impl From<Version> for u32 {
    fn from(_: Version) -> Self {
        Version::NUMBER
    }
}
