//! Deterministic simulation: the controller's reconcile loop and both Lambdas as they are, over models of Kubernetes,
//! EC2, S3 and the box, in virtual time, with faults from a seed.
//!
//! `DRAWBRIDGE_SIM_SEED=n` plays one seed and prints its trace; `DRAWBRIDGE_SIM_SEEDS=n` plays that many.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    clippy::cast_precision_loss
)]

mod aws;
mod broker;
mod carrier;
mod dice;
mod faults;
mod guards;
mod kube;
mod ledger;
mod process;
mod run;
mod scenario;
mod suite;
mod time;
mod world;
