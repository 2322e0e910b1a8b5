//! The session protocol as a model, looked at exhaustively. The same with each guard taken away, which must show.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::struct_excessive_bools)] // a state is made of them
#![allow(clippy::unused_self)] // steps are methods of the model, whether they ask it for a guard or not

mod checker;
mod controller;
mod lambdas;
mod model;

use std::{fmt::Write as _, time::Instant};

use checker::{Report, explore};
use model::{Guard, Protocol};

/// Controllers, sessions, deaths of controllers, deaths of Lambdas, Invokes that arrive twice.
type Bounds = (usize, usize, u8, u8, u8);

/// Small enough for CI, and each has what another leaves out.
const BOUNDS: [Bounds; 3] = [(1, 1, 0, 0, 1), (1, 1, 0, 1, 0), (1, 1, 1, 0, 0)];
/// More of each at once; `cargo xtask prove simulation` asks for it.
const MORE: [Bounds; 2] = [(1, 1, 1, 0, 1), (2, 1, 0, 0, 0)];
/// All of them: the bounds are the limit.
const ALL: usize = usize::MAX;
/// A missing guard shows within so many states, or not at all.
const SOON: usize = 5_000_000;

fn check(
    off: Option<Guard>,
    states: usize,
    (controllers, sessions, crashes, deaths, duplicates): Bounds,
) -> Report {
    let begun = Instant::now();
    let report = explore(&Protocol { off, controllers, sessions, crashes, deaths, duplicates }, states);
    eprintln!(
        "  {off:?} {:?}: {} states, {:.1} s",
        (controllers, sessions, crashes, deaths, duplicates),
        report.states,
        begun.elapsed().as_secs_f64()
    );
    report
}

fn tell(name: &str, table: &str) {
    println!("{table}");
    if let Some(directory) = std::env::var_os("DRAWBRIDGE_PROTOCOL_TABLES") {
        std::fs::write(std::path::Path::new(&directory).join(name), table).unwrap();
    }
}

#[test]
fn every_state_keeps_the_promises_and_leads_to_the_end() {
    let mut table = String::from(
        "| controllers | sessions | controllers die | Lambdas die | Invokes twice | states | steps | depth | seconds |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let more: &[Bounds] = if std::env::var_os("DRAWBRIDGE_PROTOCOL_TABLES").is_some() { &MORE } else { &[] };
    for bounds in BOUNDS.iter().chain(more) {
        let begun = Instant::now();
        let report = check(None, ALL, *bounds);
        let (controllers, sessions, crashes, deaths, duplicates) = bounds;
        writeln!(
            table,
            "| {controllers} | {sessions} | {crashes} | {deaths} | {duplicates} | {} | {} | {} | {:.1} |",
            report.states,
            report.steps,
            report.depth,
            begun.elapsed().as_secs_f64()
        )
        .unwrap();
        assert!(report.violation.is_none(), "{bounds:?}: {:#?}", report.violation);
        assert!(report.stuck.is_none(), "{bounds:?}: no way leads to the end from here: {:#?}", report.stuck);
    }
    tell("states.md", &table);
}

/// Where the absence of a guard must show.
fn bounds_of(guard: Guard) -> Bounds {
    match guard {
        Guard::ResourceVersion => (2, 1, 0, 0, 0),
        Guard::ReceiptOfTheSession => (1, 2, 0, 0, 1),
        _ => (1, 1, 1, 0, 0),
    }
}

#[test]
fn without_any_one_guard_a_promise_breaks() {
    let mut table = String::from("| without | broken | steps to it |\n|---|---|---|\n");
    let mut unnoticed = Vec::new();
    for guard in Guard::ALL {
        let report = check(Some(guard), SOON, bounds_of(guard));
        let found = report.violation.or(report.stuck.map(|way| ("everything can end", way)));
        match found {
            Some((promise, way)) => writeln!(table, "| {guard:?} | {promise} | {} |", way.len()).unwrap(),
            None => unnoticed.push(guard),
        }
    }
    tell("guards.md", &table);
    assert!(unnoticed.is_empty(), "nothing breaks without {unnoticed:?}");
}
