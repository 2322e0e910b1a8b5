//! How fast the rules are, each inspector alone and all together, on a seeded normal set in memory.
//! `cargo run --release -p drawbridge-rules --example rules_throughput`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss)]

#[path = "../tests/normal_set/mod.rs"]
mod normal_set;

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use drawbridge_checks::{EntryHead, EntryKind, Findings, Inspector, Inspectors as _};
use drawbridge_protocol::checks::ChecksConfig;
use drawbridge_rules::Rules;
use normal_set::Set;

const ROUNDS: usize = 4;

fn pass(inspectors: &mut [Box<dyn Inspector>], files: &[(String, Vec<u8>)]) -> Duration {
    let mut found = Findings::new(ChecksConfig::default());
    let start = Instant::now();
    for (index, (path, body)) in files.iter().enumerate() {
        let head = EntryHead {
            path: path.as_bytes(),
            kind: EntryKind::File,
            size: Some(body.len() as u64),
            mode: 0o644,
            link: None,
            capability: false,
            index: index as u64,
        };
        for inspector in inspectors.iter_mut() {
            inspector.entry(&head, &mut found);
        }
        for piece in body.chunks(64 << 10) {
            for inspector in inspectors.iter_mut() {
                inspector.data(piece, &mut found);
            }
        }
        for inspector in inspectors.iter_mut() {
            inspector.entry_end(&mut found);
        }
    }
    for inspector in inspectors.iter_mut() {
        inspector.finish(&mut found);
    }
    start.elapsed()
}

fn measure(label: &str, config: &str, artifact: &str, files: &[(String, Vec<u8>)]) -> io::Result<()> {
    let rules = Rules::new(config.parse().unwrap(), &[], None).unwrap();
    let artifact = artifact.parse().unwrap();
    let bytes: usize = files.iter().map(|(_, body)| body.len()).sum();
    let best = (0..ROUNDS).map(|_| pass(&mut rules.of(&artifact), files)).min().unwrap();
    let rate = bytes as f64 / best.as_secs_f64() / 1e6;
    writeln!(io::stdout(), "{label}: {rate:.0} MB/s over {} files, {} MB", files.len(), bytes / 1_000_000)
}

fn main() -> io::Result<()> {
    let start = Instant::now();
    let _rules = Rules::new(ChecksConfig::default(), &[], None).unwrap();
    writeln!(io::stdout(), "compiling the rules: {:.0} ms", start.elapsed().as_secs_f64() * 1e3)?;
    let files = Set::new(1).files(128 << 20);
    let log = vec![("app.log".to_owned(), Set::new(2).log(128 << 20))];
    for (label, config) in [
        ("baseline alone", "all=off"),
        ("yara", "all=off,yara=flag"),
        ("secrets", "all=off,secret=flag"),
        ("types", "all=off,file_type=flag"),
        ("all", ""),
    ] {
        measure(&format!("files, {label}"), config, "etc.web-0.app.tar.zst", &files)?;
        measure(&format!("a log, {label}"), config, "logs.web-0.app.log.zst", &log)?;
    }
    Ok(())
}
