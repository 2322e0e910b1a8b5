//! libFuzzer, on the target that `DRAWBRIDGE_FUZZ_TARGET` names. `cargo xtask prove fuzz` builds and runs it, and says how
//! to play a crash again.

#![no_main]

use std::{process::exit, sync::OnceLock};

use drawbridge_fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn chosen() -> &'static Target {
    let name = std::env::var("DRAWBRIDGE_FUZZ_TARGET").unwrap_or_default();
    drawbridge_fuzz::target(&name).unwrap_or_else(|| {
        let names: Vec<_> = drawbridge_fuzz::TARGETS.iter().map(|target| target.name).collect();
        eprintln!("DRAWBRIDGE_FUZZ_TARGET is '{name}'; it must be one of {}", names.join(", "));
        exit(2);
    })
}

fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(chosen);
    if data.len() <= target.max_len {
        (target.run)(data);
    }
});
