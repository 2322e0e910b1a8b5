//! How fast the checks are on one core: `throughput FILE.tar.zst|FILE.log.zst`, beside unpacking alone.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss)]

use std::time::Instant;

use drawbridge_checks::{Checker, NoInspectors, Shared};
use drawbridge_protocol::{ArtifactName, Sha256, checks::ChecksConfig};

fn main() {
    let path = std::env::args().nth(1).unwrap();
    let stored = std::fs::read(&path).unwrap();
    let name: ArtifactName = if path.contains(".log") { "a.log.zst" } else { "a.tar.zst" }.parse().unwrap();
    let original = zstd::stream::decode_all(&stored[..]).unwrap();
    let (bytes, sha256) = (original.len() as u64, Sha256::of(&original));
    drop(original);
    let seconds = |work: &dyn Fn()| {
        let times = (0..3).map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64()
        });
        times.fold(f64::INFINITY, f64::min)
    };
    let rate = |seconds: f64| bytes as f64 / seconds / f64::from(1 << 20);
    let unpack = seconds(&|| {
        std::io::copy(&mut zstd::stream::Decoder::new(&stored[..]).unwrap(), &mut std::io::sink()).unwrap();
    });
    let check = seconds(&|| {
        let shared = Shared::new(u64::MAX);
        let config = ChecksConfig::default();
        let mut checker = Checker::new(&name, &config, &shared, &NoInspectors).unwrap().unwrap();
        for chunk in stored.chunks(256 << 10) {
            checker.feed(chunk).unwrap();
        }
        let report = checker.finish((bytes, &sha256)).unwrap();
        assert!(report.original.is_some());
    });
    println!(
        "{bytes} bytes from {}: unpack {:.0} MiB/s, check {:.0} MiB/s",
        stored.len(),
        rate(unpack),
        rate(check)
    );
}
