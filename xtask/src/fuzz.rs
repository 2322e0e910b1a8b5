//! libFuzzer over the targets of `crates/fuzz`, on stable Rust: what cargo-fuzz would pass to a nightly compiler for
//! coverage are options of LLVM, which a stable one passes on as well. No sanitizer is needed where `unsafe` is denied.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    paths,
    shell::{command, output, say, step},
};

/// Where what is kept of each target lies.
const CORPUS: &str = "fuzz/corpus";
/// What tells libFuzzer which branches an input took and what was compared.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares";
/// What a client with valid keys speaks to the box: it has half of the time.
const SPOKEN: &str = "frames";
/// MiB that a target may take, and seconds that one input may.
const LIMITS: [&str; 2] = ["-rss_limit_mb=1024", "-timeout=20"];

/// What became of one target.
#[derive(Debug)]
pub(crate) struct Fuzzed {
    pub(crate) target: String,
    pub(crate) seconds: f64,
    pub(crate) runs: u64,
    pub(crate) inputs: usize,
    pub(crate) features: u64,
}

/// The fuzzer's program; the dependencies are compiled once, with other flags than everything else.
pub(crate) fn build() -> Result<PathBuf> {
    let host = output(command("rustc").args(["--print", "host-tuple"]))?.trim().to_owned();
    let target = paths::target().join("fuzz");
    let mut cargo = command("cargo");
    cargo
        // With a target named, the flags do not reach what runs while compiling.
        .args(["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target", &host])
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", COVERAGE);
    step("building the fuzzer", "fuzz-build", &mut cargo)?;
    Ok(target.join(host).join("release/drawbridge-fuzzer"))
}

/// Runs every target for its share of `seconds`, from what is kept. What is new is kept in `target/` alone, unless `keep`
/// says otherwise.
pub(crate) fn run(program: &Path, seconds: u64, keep: bool) -> Result<Vec<Fuzzed>> {
    let targets = targets()?;
    if !targets.iter().any(|target| target == SPOKEN) {
        bail!(
            "{CORPUS} has no target {SPOKEN}, which gets half of the time: correct SPOKEN in xtask/src/fuzz.rs"
        );
    }
    let others = targets.len() - 1;
    targets.iter().map(|target| one(program, target, share(target, others, seconds), keep)).collect()
}

/// The seconds of one target: half of all for what is spoken to the box, the rest in equal parts for the `others`.
fn share(target: &str, others: usize, seconds: u64) -> u64 {
    let parts = if target == SPOKEN { 2 } else { 2 * others.max(1) as u64 };
    (seconds / parts).max(1)
}

/// The targets: each has a directory of what is kept.
fn targets() -> Result<Vec<String>> {
    let corpus = paths::root().join(CORPUS);
    let mut names = Vec::new();
    for entry in fs::read_dir(&corpus).with_context(|| format!("reading {}", corpus.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn one(program: &Path, target: &str, seconds: u64, keep: bool) -> Result<Fuzzed> {
    let (kept, new) =
        (paths::root().join(CORPUS).join(target), paths::target().join("fuzz/found").join(target));
    let crashes = paths::target().join("fuzz/crashes");
    for directory in [&new, &crashes] {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let begun = Instant::now();
    let mut fuzzer = fuzzer(program, target);
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{target}-", crashes.display()))
        .args(LIMITS)
        .args(["-print_final_stats=1", "-max_len=16384"])
        .args([&new, &kept]);
    if target == "documents" {
        fuzzer.arg(paths::root().join("crates/protocol/golden"));
    }
    let name = format!("fuzz-{target}");
    if let Err(error) = step(&format!("fuzzing {target} for {seconds} s"), &name, &mut fuzzer) {
        bail!(
            "{error:#}\nThe input is {}/{target}-*. Played again: DRAWBRIDGE_FUZZ_TARGET={target} {} FILE; once it lies in \
             {CORPUS}/{target}/, `cargo test --release -p drawbridge-fuzz` plays it as well",
            crashes.display(),
            program.display()
        );
    }
    let seconds = begun.elapsed().as_secs_f64();
    if keep {
        merge(program, target, &kept, &new)?;
    }
    let log = fs::read_to_string(paths::log(&name)?)?;
    let inputs = fs::read_dir(&kept)?.count();
    Ok(Fuzzed {
        target: target.to_owned(),
        seconds,
        runs: number(&log, "stat::number_of_executed_units:"),
        inputs,
        features: log
            .lines()
            .rev()
            .find_map(|line| Some(number(line, " ft: ")).filter(|n| *n > 0))
            .unwrap_or(0),
    })
}

fn fuzzer(program: &Path, target: &str) -> std::process::Command {
    let mut fuzzer = command(program);
    fuzzer.env("DRAWBRIDGE_FUZZ_TARGET", target);
    fuzzer
}

/// Adds to what is kept whatever of the new takes a way that nothing kept takes. How often it goes there does not count: by
/// that an hour of fuzzing keeps thousands of inputs, which every clone and every test would carry.
fn merge(program: &Path, target: &str, kept: &Path, new: &Path) -> Result<()> {
    let mut fuzzer = fuzzer(program, target);
    fuzzer.args(["-set_cover_merge=1", "-use_counters=0", "-max_len=4096"]).args(LIMITS).args([kept, new]);
    step(&format!("keeping what is new of {target}"), &format!("fuzz-merge-{target}"), &mut fuzzer)?;
    say(&format!("{CORPUS}/{target} has {} inputs", fs::read_dir(kept)?.count()));
    Ok(())
}

/// The number after the last `word` of `text`.
fn number(text: &str, word: &str) -> u64 {
    let after = text.rsplit_once(word).map_or("", |(_, after)| after.trim_start());
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_speaks_to_the_box_has_half_of_the_time() {
        assert_eq!(share(SPOKEN, 5, 3240), 1620);
        assert_eq!(share("words", 5, 3240), 324);
        assert_eq!(share(SPOKEN, 5, 1), 1, "no target is left out");
        assert_eq!(share("words", 5, 1), 1, "no target is left out");
    }
}
