//! The EICAR test file wherever it may lie, and what the rules do not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use drawbridge_protocol::checks::{CheckId, Effect};
use drawbridge_rules::Rules;
use support::{block_end, check, compress, config, eicar, file, found, inspect, rules, tar};

fn with_eicar(path: &str) -> Vec<u8> {
    tar(&[file("etc/a.conf", "a = 1\n"), file(path, eicar()), file("etc/b.conf", "b = 2\n")])
}

#[test]
fn eicar_in_an_archive_is_rejected_by_its_path_and_the_same_archive_without_it_is_not() {
    let rejection = check(&rules(""), "", "etc.web-0.app.tar.zst", &with_eicar("etc/x.bin")).unwrap_err();
    assert_eq!(rejection.check, CheckId::Yara);
    assert_eq!(rejection.reason, "yara.eicar_test_file in etc/x.bin");
    let clean = tar(&[file("etc/a.conf", "a = 1\n"), file("etc/b.conf", "b = 2\n")]);
    let report = check(&rules(""), "", "etc.web-0.app.tar.zst", &clean).unwrap();
    assert_eq!(found(&report), Vec::<String>::new());
}

#[test]
fn eicar_in_a_log_is_rejected() {
    let log = [b"2026-11-22T10:00:00Z upload: ".to_vec(), eicar(), b"\n".to_vec()].concat();
    let rejection = check(&rules(""), "", "logs.web-0.app.log.zst", &log).unwrap_err();
    assert_eq!(rejection.reason, "yara.eicar_test_file in logs.web-0.app.log.zst");
}

#[test]
fn the_stack_says_what_follows_from_a_rule() {
    for (more, flagged) in [
        ("yara.eicar_test_file=flag", true),
        ("yara.eicar_test_file=off", false),
        ("yara=off,yara.eicar_test_file=off", false),
    ] {
        let report = check(&rules(more), more, "etc.web-0.app.tar.zst", &with_eicar("x")).unwrap();
        assert_eq!(!report.findings.is_empty(), flagged, "{more}: {:?}", found(&report));
        assert!(report.findings.iter().all(|finding| finding.effect == Effect::Flag));
    }
}

#[test]
fn an_archive_within_the_archive_is_seen_through_only_where_it_is_not_compressed() {
    let inner = tar(&[file("inner", eicar())]);
    let plain = tar(&[file("a.tar", inner.clone())]);
    assert!(check(&rules(""), "", "etc.web-0.app.tar.zst", &plain).is_err());
    let packed = tar(&[file("a.tar.zst", compress(&inner))]);
    let report = check(&rules(""), "", "etc.web-0.app.tar.zst", &packed).unwrap();
    assert_eq!(found(&report), Vec::<String>::new());
    // What a stack can do about it: refuse what it cannot see through.
    let more = "file_type.archive=reject";
    let rejection = check(&rules(more), more, "etc.web-0.app.tar.zst", &packed).unwrap_err();
    assert_eq!(rejection.reason, "file_type.archive in a.tar.zst");
}

/// One entry through the inspectors alone, in these pieces.
fn reason(rules: &Rules, pieces: &[&[u8]]) -> Option<String> {
    let found = inspect(rules, "etc.web-0.app.tar.zst", config(""), pieces.iter().copied());
    found.rejection().map(|rejection| rejection.reason.clone())
}

#[test]
fn eicar_is_found_wherever_the_pieces_part() {
    let (rules, eicar) = (rules(""), eicar());
    for split in 0..=eicar.len() {
        let (one, two) = eicar.split_at(split);
        assert!(reason(&rules, &[b"before ", one, two, b" after"]).is_some(), "{split}");
    }
    let bytes: Vec<&[u8]> = eicar.chunks(1).collect();
    assert!(reason(&rules, &bytes).is_some());
    assert_eq!(reason(&rules, &[&eicar[..67]]), None);
    assert_eq!(reason(&rules, &[&eicar[..30], b"\0", &eicar[30..]]), None);
}

#[test]
fn eicar_is_found_wherever_a_block_ends() {
    let (rules, eicar) = (rules(""), eicar());
    for end in [0, 1, 4].map(block_end) {
        for before in (end - eicar.len() - 2)..=(end + 2) {
            let filler = vec![b'.'; before];
            assert!(reason(&rules, &[&filler, &eicar, b"."]).is_some(), "{before}");
        }
    }
}

#[test]
fn many_small_files_share_a_block_and_keep_their_names() {
    let mut files: Vec<_> =
        (0..5_000).map(|index| file(&format!("etc/{index}.conf"), "key = value\n")).collect();
    files.insert(4_000, file("etc/here", eicar()));
    let more = "yara.eicar_test_file=flag";
    let report = check(&rules(more), more, "etc.web-0.app.tar.zst", &tar(&files)).unwrap();
    assert_eq!(found(&report), ["yara: yara.eicar_test_file in etc/here"]);
}

#[test]
fn what_stands_in_two_files_is_not_one_match() {
    let (eicar, more) = (eicar(), "");
    let archive = tar(&[file("a", &eicar[..34]), file("b", &eicar[34..])]);
    assert!(check(&rules(more), more, "etc.web-0.app.tar.zst", &archive).unwrap().findings.is_empty());
}
