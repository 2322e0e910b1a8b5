//! What the rules cost in memory. A test binary of its own, so that its peak is theirs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod normal_set;
mod support;

use std::{fs, sync::Arc, thread};

use drawbridge_protocol::checks::ChecksConfig;
use drawbridge_rules::Rules;
use normal_set::Set;
use support::inspect;

/// For all of it: rules, scanners and blocks of four artifacts at once. The box must stay under 96 MiB with all else.
const MAX_MIB: u64 = 48;

/// The process's peak and present memory, in KiB.
fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let of = |field: &str| {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (of("VmHWM:"), of("VmRSS:"))
}

fn look_at_an_artifact(rules: &Rules, seed: u64) {
    let log = Set::new(seed).log(1 << 20);
    let pieces = (0..64).flat_map(|_| log.chunks(64 << 10));
    let found = inspect(rules, &format!("logs.web-{seed}.app.log.zst"), ChecksConfig::default(), pieces);
    assert_eq!(found.checks().count(), 0);
}

#[test]
fn four_artifacts_at_once_stay_within_the_rules_share_of_the_box() {
    let (before, _) = memory();
    let rules = Arc::new(Rules::new(ChecksConfig::default(), &[], None).unwrap());
    let (compiled, at_rest) = memory();
    let artifacts: Vec<_> = (0..4)
        .map(|seed| {
            let rules = Arc::clone(&rules);
            thread::spawn(move || look_at_an_artifact(&rules, seed))
        })
        .collect();
    for artifact in artifacts {
        artifact.join().unwrap();
    }
    let (peak, _) = memory();
    let figures =
        format!("KiB: before {before}, compiled {compiled} ({at_rest} at rest), four artifacts {peak}");
    fs::write(std::env::temp_dir().join("drawbridge-rules-memory.txt"), &figures).unwrap();
    assert!(peak - before < MAX_MIB << 10, "{figures}");
}
