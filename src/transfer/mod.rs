//! Brings artifacts across: compresses and hashes a stream, sends it over SSH to the box, and takes the receipt home.
//!
//! ```text
//! source stream -> [pipeline: sha256, zstd -3 unless it is done, sha256; a thread] -> [window: unacknowledged bytes] -> [link: SSH]
//! ```
//! Every stage is bounded. An artifact counts as sent only when its source ended well, the box's count and digest equal
//! ours, and its objects lie where they should; a session counts as sealed only with a receipt that verifies.

mod artifact;
mod buffers;
mod door;
mod error;
mod key;
mod link;
mod original;
mod pin;
mod pipeline;
mod progress;
mod receipt;
mod share;
mod target;
mod uploader;
mod window;

#[cfg(test)]
mod trust_tests;

pub use artifact::{Claim, Uploaded};
pub use error::TransferError;
pub use key::ClientKey;
pub use original::Original;
pub use progress::{Progress, Snapshot};
pub use receipt::SealedReceipt;
pub use share::Share;
pub use target::{Patience, Target};
pub use uploader::Uploader;
