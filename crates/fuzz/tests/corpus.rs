//! Plays everything that the fuzzer kept, and each of it changed a little, on every `cargo test`: a crash that was found
//! and mended stays mended.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use drawbridge_fuzz::{TARGETS, Target};

/// Changed copies of each input that are played as well.
const CHANGED: u64 = 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The inputs of a target, by name: those that were kept, and for documents the protocol's own samples of this
/// release and of the one before.
fn inputs(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let mut directories = vec![root().join("fuzz/corpus").join(target.name)];
    if target.name == "documents" {
        let golden = root().join("crates/protocol/golden");
        directories.extend([golden.join("previous"), golden]);
    }
    let files = directories.iter().flat_map(|directory| {
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
    });
    let files = files.map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let mut inputs: Vec<_> = files.map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
    inputs.sort();
    inputs
}

/// The same copy for the same number: bytes changed, left out, doubled or cut off.
fn changed(input: &[u8], number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    let mut bytes = input.to_vec();
    for _ in 0..=next(4) {
        let at = next(bytes.len());
        match next(5) {
            _ if bytes.is_empty() => bytes.push(7),
            0 => bytes[at] ^= 1 << next(8),
            1 => bytes[at] = [0, 0xff, b'/', b'.', b'"', b'9'][next(6)],
            2 => {
                bytes.remove(at);
            }
            3 => {
                let run = bytes[at..(at + 1 + next(64)).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, run));
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[test]
fn every_kept_input_and_its_likes_break_no_promise() {
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(inputs.len() >= 10, "{}: only {} inputs are kept", target.name, inputs.len());
        for (path, input) in &inputs {
            let what = path.display();
            assert!(catch_unwind(|| (target.run)(input)).is_ok(), "{} breaks on {what}", target.name);
            for number in 0..CHANGED {
                let bytes = changed(input, number);
                let run = AssertUnwindSafe(|| (target.run)(&bytes));
                assert!(catch_unwind(run).is_ok(), "{} breaks on change {number} of {what}", target.name);
            }
        }
    }
}

#[test]
fn what_is_kept_is_small_and_belongs_to_a_target() {
    let corpus = root().join("fuzz/corpus");
    let mut bytes = 0;
    for directory in fs::read_dir(corpus).unwrap() {
        let directory = directory.unwrap();
        let name = directory.file_name().into_string().unwrap();
        assert!(drawbridge_fuzz::target(&name).is_some(), "fuzz/corpus/{name} belongs to no target");
        for file in fs::read_dir(directory.path()).unwrap() {
            bytes += file.unwrap().metadata().unwrap().len();
        }
    }
    assert!(bytes < 2 << 20, "{bytes} bytes are kept; `cargo xtask prove fuzz` merges what says nothing new");
}
