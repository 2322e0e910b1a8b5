//! A seeded set of files, and what the run after it is when ransomware has been there, or a release, or nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod normal_set;
mod support;

use drawbridge_protocol::{Baseline, Version, checks::CheckId, measures::Sources};
use normal_set::Set;
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use support::{check, example, file, found, name, rules, rules_after, tar};

const ARTIFACT: &str = "etc.web-0.app.tar.zst";
const BYTES: usize = 2 << 20;

type Files = Vec<(String, Vec<u8>)>;

/// What `cleanup` would keep of a run over these files.
fn baseline(files: &Files) -> Baseline {
    let rules = rules("");
    check(&rules, "", ARTIFACT, &tar(files)).unwrap();
    let measures = rules.take_measures(&name(ARTIFACT)).unwrap();
    assert!(rules.take_measures(&name(ARTIFACT)).is_none(), "taken once");
    Baseline {
        version: Version,
        session: "00112233445566778899aabbccddeeff".parse().unwrap(),
        sealed_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        sources: Sources::from([("etc".to_owned(), measures)]),
    }
}

fn normal(seed: u64) -> Files {
    Set::new(seed).files(BYTES)
}

/// As ransomware leaves a file: as long as before, and random.
fn encrypt(files: &mut Files, share: usize, rename: bool) {
    let mut random = StdRng::seed_from_u64(99);
    for (index, (path, body)) in files.iter_mut().enumerate() {
        if index % 100 < share {
            random.fill_bytes(body);
            if rename {
                path.push_str(".locked");
            }
        }
    }
}

fn after(baseline: &Baseline, files: &Files) -> (Vec<String>, bool) {
    let rules = rules_after("", baseline.clone());
    let report = check(&rules, "", ARTIFACT, &tar(files)).unwrap();
    let alarmed = rules.take_measures(&name(ARTIFACT)).unwrap().alarmed;
    (found(&report), alarmed)
}

#[test]
fn an_encrypted_set_is_flagged_against_the_run_before_and_rejected_where_the_stack_says_so() {
    let before = normal(1);
    let baseline = baseline(&before);
    for rename in [false, true] {
        let mut files = before.clone();
        encrypt(&mut files, 100, rename);
        let (found, alarmed) = after(&baseline, &files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("baseline_entropy: source etc against 2026-11-21T10:00:00Z: "),
            "{found:?}"
        );
        assert!(alarmed, "it must not become the next run's measure");
        let more = "baseline_entropy=reject";
        let rules = rules_after(more, baseline.clone());
        let rejection = check(&rules, more, ARTIFACT, &tar(&files)).unwrap_err();
        assert_eq!(rejection.check, CheckId::BaselineEntropy);
    }
}

#[test]
fn what_is_no_attack_is_not_flagged() {
    let before = normal(1);
    let baseline = baseline(&before);
    let mut half = before.clone();
    encrypt(&mut half, 50, false);
    let mut one_more = before.clone();
    let mut noise = vec![0; 500_000];
    StdRng::seed_from_u64(5).fill_bytes(&mut noise);
    one_more.push(file("var/cache/blob", noise));
    for (what, files) in [
        ("nothing changed", before),
        ("a new release", normal(2)),
        ("half of it", half),
        ("a large blob more", one_more),
    ] {
        let (found, alarmed) = after(&baseline, &files);
        assert_eq!((found, alarmed), (Vec::new(), false), "{what}");
    }
}

#[test]
fn another_size_is_flagged_and_becomes_the_measure_of_the_next_run() {
    let files = normal(1);
    let mut before = baseline(&files);
    before.sources.get_mut("etc").unwrap().bytes = 100 << 20;
    let (found, alarmed) = after(&before, &files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("baseline_size: source etc against "), "{found:?}");
    assert!(!alarmed, "a change of size alone is no attack");
}

#[test]
fn a_set_that_never_compressed_and_a_first_run_say_nothing() {
    let mut files = normal(1);
    encrypt(&mut files, 100, false);
    let encrypted = baseline(&files);
    let mut again = normal(3);
    encrypt(&mut again, 100, false);
    assert_eq!(after(&encrypted, &again), (Vec::new(), false));
    let report = check(&rules(""), "", ARTIFACT, &tar(&files)).unwrap();
    assert_eq!(example(&report, CheckId::BaselineEntropy), "");
}

#[test]
fn an_encrypted_log_is_flagged_though_every_log_is_new() {
    let (artifact, next) = ("logs.web-0.app.log.zst", "logs.web-7.app.log.zst");
    let log = Set::new(4).log(300_000);
    let rules = rules("");
    check(&rules, "", artifact, &log).unwrap();
    let sources = Sources::from([("logs".to_owned(), rules.take_measures(&name(artifact)).unwrap())]);
    let baseline = Baseline { sources, ..baseline(&normal(1)) };
    let newer = Set::new(5).log(300_000);
    let rules = rules_after("", baseline.clone());
    assert_eq!(found(&check(&rules, "", next, &newer).unwrap()), Vec::<String>::new());
    let mut noise = vec![0; 300_000];
    StdRng::seed_from_u64(6).fill_bytes(&mut noise);
    let report = check(&rules, "", next, &noise).unwrap();
    assert!(
        example(&report, CheckId::BaselineEntropy).contains("1 of 1 files look encrypted, 0 of 1 did before")
    );
}
