//! The checks that a box makes of an artifact while it streams. Nothing here does I/O or keeps the data: bytes as stored
//! go in, and what comes out is a rejection, or findings and measures.

mod findings;
pub mod inspect;

pub use findings::{Findings, Path, Rejection};
pub use inspect::{EntryHead, EntryKind, Form, Inspector, Inspectors};
