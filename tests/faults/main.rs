//! Every fault has a name: each is made on the real parts, ends in a condition and an event that say what, where and
//! what to do, leaves nothing behind, and is gone when its cause is.
//!
//! `cargo xtask prove faults` runs all of them on two test beds and writes docs/evidence/faults.md; `cargo xtask test` runs
//! those of [`telling`]. On each one after the other: a fault of the network or of AWS is everybody's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod aws;
#[allow(dead_code)] // what the end-to-end tests need besides
#[path = "../e2e/bed.rs"]
mod bed;
mod case;
#[allow(dead_code)] // traps are the crash matrix's
mod clock;
mod evidence;
#[allow(dead_code)]
#[path = "../e2e/job.rs"]
mod job;
mod network;
mod pods;
#[allow(dead_code)]
#[path = "../e2e/workload.rs"]
mod workload;

mod clocks;
mod crossing;
mod gathering;
mod opening;
mod storage;
mod telling;
mod vaults;
