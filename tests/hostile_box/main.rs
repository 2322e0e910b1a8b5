//! The controller's client against a box that lies, each time in one named way; and against its honest twin, so that a
//! broken test cannot pass as security. SSH and TCP are real, over loopback; nothing of the client is replaced.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod counting;
mod dialogue;
mod door;
mod frames;
mod meeting;
mod memory;
mod receipts;
mod rekeying;
mod server;
mod waiting;
mod wire;
mod world;
