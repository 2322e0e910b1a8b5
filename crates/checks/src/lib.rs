//! The checks that a box makes of an artifact while it streams. Nothing here does I/O or keeps the data: bytes as stored
//! go in, and what comes out is a rejection, or findings and measures.
//!
//! ```text
//! stored bytes ─▶ unpack ─▶ look ─┬─▶ tar ─▶ members, names      (archives)
//!                 one frame,      ├─▶ lines                      (logs, JSON streams)
//!                 bounded         ├─▶ entropy
//!                                 └─▶ inspectors                 (other crates: rules, secrets, types)
//! ```
//! Memory: zstd's window and buffers (2.5 MiB an artifact), tables of names that a session shares, and a few KiB.

mod checker;
mod entropy;
mod findings;
pub mod inspect;
mod lines;
mod look;
mod members;
mod names;
mod seen;
mod shared;
mod tar;
mod unpack;

pub use checker::{Checker, Report};
pub use findings::{Findings, Path, Rejection};
pub use inspect::{EntryHead, EntryKind, Form, Inspector, Inspectors, NoInspectors};
pub use shared::Shared;
pub use tar::{Members, TarFault, TarReader};
