//! A client with valid keys and bad intent, against the box's program as it ships: over loopback, in front of a real
//! local S3, each attack on a box of its own. Whatever it does, the box's memory stays bounded, an honest client still
//! gets through, and the box ends when it must.
//!
//! `DRAWBRIDGE_EVIDENCE=file` takes a line for each attack; `cargo xtask prove hostile` makes a table of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "../box/raw.rs"]
#[allow(dead_code, reason = "shared with the tests of the box")]
mod raw;
#[path = "../box/s3.rs"]
#[allow(dead_code, reason = "shared with the tests of the box")]
mod s3;
#[path = "../box/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the box")]
mod support;

mod archives;
mod connections;
mod contents;
mod endings;
mod frames;
mod metadata;
mod relay;
mod requests;
mod strangers;
mod target;
