//! Each detector on a secret made for the test, beside what is like one. No finding may hold a part of the secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use drawbridge_protocol::checks::CheckId;
use drawbridge_rules::DETECTORS;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use support::{check, example, file, found, rules, tar};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn text(seed: u64, alphabet: &[u8], length: usize) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    (0..length).map(|_| char::from(alphabet[random.random_range(0..alphabet.len())])).collect()
}

fn word(length: usize) -> String {
    text(7, &BASE64[..62], length)
}

fn pem(label: &str, indent: &str, newline: &str) -> String {
    let body = text(3, BASE64, 64);
    format!(
        "{indent}-----BEGIN {label}-----{newline}{indent}{body}{newline}{indent}-----END {label}-----{newline}"
    )
}

/// The detector, what it must find, what it must not.
fn cases() -> Vec<(&'static str, String, String)> {
    let base32 = text(5, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16);
    let secret = format!("aB3{}", text(9, BASE64, 37));
    let encoded = |kind: &str| format!("LS0tLS1CRUdJTi{kind}{}", text(4, BASE64, 300));
    let jwt = format!("eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJ{}.{}", word(200), word(300));
    vec![
        ("private_key", pem("PRIVATE KEY", "", "\n"), pem("CERTIFICATE", "", "\n")),
        ("private_key", pem("RSA PRIVATE KEY", "    ", "\n"), pem("PUBLIC KEY", "", "\n")),
        ("private_key", pem("OPENSSH PRIVATE KEY", "", "\r\n"), pem("ENCRYPTED PRIVATE KEY", "", "\n")),
        (
            "private_key",
            pem("EC PRIVATE KEY", "", "\\n"),
            "-----BEGIN PRIVATE KEY-----\n<your key here>\n".into(),
        ),
        (
            "private_key",
            format!("tls.key: {}", encoded("BSU0EgUFJJVkFURSBLRVkt")),
            format!("tls.crt: {}", encoded("BDRVJUSUZJQ0FURS0tLS0t")),
        ),
        ("aws_access_key_id", format!("key=AKIA{base32} "), "key=AKIAIOSFODNN7EXAMPLE ".into()),
        ("aws_access_key_id", format!("ASIA{base32}"), format!("XASIA{base32}")),
        (
            "aws_secret_key",
            format!("aws_secret_access_key = {secret}\n"),
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n".into(),
        ),
        (
            "aws_secret_key",
            format!("\"SecretAccessKey\": \"{secret}\","),
            "\"SecretAccessKey\": \"da39a3ee5e6b4b0d3255bfef95601890afd80709\",".into(),
        ),
        (
            "kubeconfig",
            format!("    client-key-data: {}\n", encoded("BFQyBQ")),
            format!("    client-certificate-data: {}\n", encoded("BDRVJU")),
        ),
        ("jwt", format!("token: {jwt}\n"), "token: eyJhbGciOiJub25lIn0.redacted\n".into()),
        ("github_token", format!("ghp_{}", word(36)), format!("ghp_{}", "x".repeat(36))),
        ("github_token", format!("github_pat_{}", word(82)), format!("ghp_{}", word(35))),
        ("gitlab_token", format!("glpat-{}", word(20)), "glpat-short".into()),
        ("slack_token", format!("xoxb-{}", word(40)), "xoxb-your-token".into()),
        ("stripe_key", format!("sk_live_{}", word(30)), format!("sk_test_{}", word(30))),
        ("google_api_key", format!("AIza{}", word(35)), format!("AIza{}", word(34))),
        ("npm_token", format!("npm_{}", word(36)), "npm_config_cache=/tmp".into()),
        ("pypi_token", format!("pypi-AgEIcHlwaS5vcmc{}", word(80)), "pypi-mirror".into()),
        ("sendgrid_key", format!("SG.{}.{}", word(22), word(43)), "SG.example.key".into()),
        ("vault_token", format!("hvs.{}", word(95)), "hvs.short".into()),
    ]
}

#[test]
fn each_detector_finds_its_secret_and_not_what_is_like_it_and_never_tells_it() {
    let rules = rules("");
    for (detector, secret, harmless) in cases() {
        for surrounding in [("", ""), ("a: b\n", "\nc: d\n"), ("{\"k\":\"", "\"}")] {
            let (before, after) = surrounding;
            let archive = tar(&[file("etc/x", format!("{before}{secret}{after}"))]);
            let report = check(&rules, "", "etc.web-0.app.tar.zst", &archive).unwrap();
            let told = example(&report, CheckId::Secret);
            assert!(told.contains(&format!("secret.{detector} in etc/x")), "{detector}: {told}");
            let parts = secret.as_bytes().windows(12).filter_map(|part| std::str::from_utf8(part).ok());
            for part in parts.filter(|part| !detector.contains(part)) {
                assert!(!told.contains(part), "{detector}: {told}");
            }
            let archive = tar(&[file("etc/x", format!("{before}{harmless}{after}"))]);
            let report = check(&rules, "", "etc.web-0.app.tar.zst", &archive).unwrap();
            assert_eq!(found(&report), Vec::<String>::new(), "{detector}");
        }
    }
}

#[test]
fn each_detector_has_a_case() {
    for detector in DETECTORS {
        assert!(cases().iter().any(|(name, _, _)| *name == detector.name), "{}", detector.name);
    }
}

#[test]
fn a_secret_is_found_once_wherever_the_blocks_that_are_searched_part() {
    let rules = rules("");
    let token = format!("ghp_{}", word(36));
    for before in ((64 << 10) - 700)..=((64 << 10) + 4) {
        let body = format!("{} {token} ", ".".repeat(before));
        let report = check(&rules, "", "logs.web-0.app.log.zst", body.as_bytes()).unwrap();
        assert_eq!(found(&report), ["secret: secret.github_token in logs.web-0.app.log.zst"], "{before}");
    }
}

#[test]
fn files_are_counted_and_a_detector_can_be_turned_off() {
    let secret = pem("PRIVATE KEY", "", "\n");
    let files = ["a.pem", "b.pem", "c.pem"].map(|path| file(path, format!("{secret}{secret}")));
    let report = check(&rules(""), "", "etc.web-0.app.tar.zst", &tar(&files)).unwrap();
    assert_eq!(found(&report), ["secret: secret.private_key in a.pem and 2 more"]);
    let more = "secret.private_key=off";
    let report = check(&rules(more), more, "etc.web-0.app.tar.zst", &tar(&files)).unwrap();
    assert_eq!(found(&report), Vec::<String>::new());
    let more = "secret.private_key=reject";
    let rejection = check(&rules(more), more, "etc.web-0.app.tar.zst", &tar(&files)).unwrap_err();
    assert_eq!(rejection.reason, "secret.private_key in a.pem");
}
