//! Whatever type flag a header has that makes tars unpack a file, it is looked at as one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use drawbridge_protocol::checks::CheckId;
use support::{check, eicar, example, file, found, name, rules, tar_of_kind};

const ARTIFACT: &str = "etc.web-0.app.tar.zst";

/// Files, old and new and contiguous; a sparse one; and flags that Python, GNU tar or both take for a file's because they do
/// not know them.
const KINDS: &[u8] = b"\x0007SZADMNV";

#[test]
fn eicar_is_rejected_whatever_kind_of_file_its_header_makes_it() {
    let rules = rules("");
    for kind in KINDS {
        let archive = tar_of_kind(*kind, &[file("etc/x.bin", eicar())]);
        let Err(rejection) = check(&rules, "", ARTIFACT, &archive) else {
            panic!("kind '{}' was not looked at", kind.escape_ascii());
        };
        assert_eq!(rejection.check, CheckId::Yara);
        assert_eq!(rejection.reason, "yara.eicar_test_file in etc/x.bin");
        let clean = tar_of_kind(*kind, &[file("etc/x.bin", "a = 1\n")]);
        let report = check(&rules, "", ARTIFACT, &clean).unwrap();
        assert_eq!(found(&report), Vec::<String>::new(), "{}", kind.escape_ascii());
    }
}

#[test]
fn a_secret_is_found_in_a_file_of_any_kind() {
    let rules = rules("");
    let token: String = "ghp_".chars().chain('a'..='z').chain('0'..='9').collect();
    for kind in KINDS {
        let archive = tar_of_kind(*kind, &[file("etc/token", token.as_str())]);
        let report = check(&rules, "", ARTIFACT, &archive).unwrap();
        let told = example(&report, CheckId::Secret);
        assert_eq!(told, "secret.github_token in etc/token", "{}", kind.escape_ascii());
    }
}

#[test]
fn a_list_of_the_types_that_are_allowed_counts_for_a_file_of_any_kind() {
    let more = "file_type=reject,file_type.text=off";
    let rules = rules(more);
    for kind in KINDS {
        let archive = tar_of_kind(*kind, &[file("etc/x", "a = 1\n"), file("etc/y", b"\0\x01\x02\x03")]);
        let Err(rejection) = check(&rules, more, ARTIFACT, &archive) else {
            panic!("kind '{}' was not looked at", kind.escape_ascii());
        };
        assert_eq!(rejection.reason, "file_type.binary in etc/y");
        let text = tar_of_kind(*kind, &[file("etc/x", "a = 1\n")]);
        assert!(check(&rules, more, ARTIFACT, &text).is_ok(), "{}", kind.escape_ascii());
    }
}

#[test]
fn the_baseline_counts_a_file_of_any_kind() {
    let rules = rules("");
    for kind in KINDS {
        let archive = tar_of_kind(*kind, &[file("etc/a", vec![b'a'; 1_000]), file("etc/b", vec![b'b'; 500])]);
        check(&rules, "", ARTIFACT, &archive).unwrap();
        let measures = rules.take_measures(&name(ARTIFACT)).unwrap();
        assert_eq!((measures.files, measures.bytes), (2, 1_500), "{}", kind.escape_ascii());
    }
}
