//! One genuine prefix, and everything that must not pass for one. `drawbridge verify` and the commands of
//! docs/restore.md give the same verdict on each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod prefix;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use drawbridge_cli::verify::{Report, Trust, Wanted, directory};
use drawbridge_protocol::SessionSigner;
use serde_json::json;

use crate::prefix::{Prefix, REJECTED};

fn verify(prefix: &Prefix) -> Report {
    directory(prefix.path(), &Trust::Pinned(prefix.receipt_key()), &Wanted::default()).unwrap()
}

/// The block of docs/restore.md that carries the name `verify`.
fn documented(prefix: &Prefix) -> Output {
    let text = include_str!("../../../docs/restore.md");
    let script = text.split("```sh verify\n").nth(1).unwrap().split("```").next().unwrap();
    Command::new("bash")
        .args(["-c", script])
        .current_dir(prefix.path())
        .env("RECEIPT_KEY", prefix.pem_file())
        .output()
        .unwrap()
}

type Change = fn(&mut Prefix);

/// Each with a word of what must be said of it.
const TAMPERED: &[(&str, Change, &str)] = &[
    (
        "an object changed, its length kept",
        |p| p.write("config-web-0.tar.zst", b"dbta"),
        "config-web-0.tar.zst",
    ),
    ("an object cut short", |p| p.write("config-web-0.tar.zst", b"dat"), "3 bytes"),
    ("an object gone", |p| p.remove("config-web-0.tar.zst"), "config-web-0.tar.zst"),
    ("an object more", |p| p.write("extra.tar.zst", b"x"), "no signed manifest names it"),
    ("a hidden file", |p| p.write(".hidden", b"x"), ".hidden"),
    ("a directory", |p| fs::create_dir(p.path().join("more")).unwrap(), "more"),
    ("the sums gone", |p| p.remove("SHA256SUMS"), "SHA256SUMS"),
    ("the sums say something else", |p| p.write("SHA256SUMS", b"00  config-web-0.tar.zst\n"), "SHA256SUMS"),
    ("manifest.json gone", |p| p.remove("manifest.json"), "manifest.json"),
    ("manifest.json changed", |p| p.edit_text("manifest.json", "web-0", "web-1"), "not what was signed"),
    ("the envelope gone", |p| p.remove("manifest.dsse.json"), "manifest.dsse.json"),
    ("the manifest re-signed with another key", Prefix::sign_with_another_key, "does not verify"),
    ("a certificate of another receipt key", Prefix::certify_with_another_key, "pinned receipt key"),
    ("no certificate", Prefix::strip_certificate, "no certificate"),
    (
        "a certificate of another session",
        |p| p.recertify("session", json!("f".repeat(32))),
        "another session",
    ),
    ("a certificate of another job", |p| p.recertify_job("uid", json!("ffff")), "another job"),
    ("a certificate of another attempt", |p| p.recertify_job("attempt", json!(2)), "another job"),
    (
        "a certificate of another prefix",
        |p| p.recertify("prefix", json!("clusters/other/")),
        "another object prefix",
    ),
    ("a certificate of another box", |p| p.recertify("instance", json!("i-2")), "another instance"),
    (
        "a certificate that ended before",
        |p| p.recertify("expires_at", json!("2026-11-21T10:00:00Z")),
        "after the certificate's end",
    ),
    ("the certificate's payload changed", Prefix::tamper_with_the_certificate, "pinned receipt key"),
    ("the certificate's signature cut short", Prefix::cut_the_certificate_s_signature, "pinned receipt key"),
    ("an object under another name", |p| p.rename("config-web-0.tar.zst", "other.tar.zst"), "other.tar.zst"),
    (
        "a rejection signed with another key",
        |p| p.reject(&SessionSigner::generate().unwrap(), &[]),
        "signature of the rejection",
    ),
    (
        "a rejection of another session",
        |p| p.reject(&p.signer, &[("session", json!("f".repeat(32)))]),
        "another session than the manifest",
    ),
    (
        "a rejection by another program",
        |p| p.reject(&p.signer, &[("program", json!("0".repeat(64)))]),
        "another session than the manifest",
    ),
    ("a rejection that nobody signed", |p| p.write(REJECTED, b"{}"), REJECTED),
    (
        "a rejection of another artifact",
        |p| p.reject(&p.signer, &[("artifact", json!("other.log.zst"))]),
        "the record of 'other.log.zst'",
    ),
    (
        "a rejection of what can be no artifact",
        |p| {
            p.reject(&p.signer, &[]);
            p.rename(REJECTED, "-n.rejected.dsse.json");
        },
        "no signed manifest names it",
    ),
];

#[test]
fn what_is_genuine_passes_with_our_program_and_with_openssl() {
    let prefix = Prefix::new();
    let report = verify(&prefix);
    assert!(report.is_verified(), "{report}");
    assert!(report.to_string().contains("VERIFIED: job shop/nightly"), "{report}");
    let openssl = documented(&prefix);
    assert!(openssl.status.success(), "{openssl:?}");
}

#[test]
fn what_was_tampered_with_passes_with_neither() {
    for (what, change, said) in TAMPERED {
        let mut prefix = Prefix::new();
        change(&mut prefix);
        let report = verify(&prefix);
        assert!(!report.is_verified(), "{what}:\n{report}");
        assert!(report.to_string().contains(said), "{what}: '{said}' is not said in\n{report}");
        assert!(report.to_string().contains("NOT VERIFIED"), "{what}");
        let openssl = documented(&prefix);
        assert!(!openssl.status.success(), "{what}: openssl took it: {openssl:?}");
    }
}

#[test]
fn a_rejection_beside_a_sealed_backup_is_told_and_the_backup_stays_verified() {
    let prefix = Prefix::new();
    prefix.reject(&prefix.signer, &[("reason", json!("a file named \u{1b}[2J"))]);
    let report = verify(&prefix);
    assert!(report.is_verified(), "{report}");
    let said =
        "artifact 'logs-web-0.log.zst' was rejected at 2026-11-21T10:02:00Z by check 'digest': a file named ";
    assert!(report.to_string().contains(said), "{report}");
    assert!(!report.to_string().contains('\u{1b}'), "a reason cannot command the terminal");
    let openssl = documented(&prefix);
    assert!(openssl.status.success(), "{openssl:?}");
}

#[test]
fn a_rejection_of_what_the_manifest_has_as_stored_is_no_honest_box_s() {
    let prefix = Prefix::new();
    prefix.reject(&prefix.signer, &[("artifact", json!("config-web-0.tar.zst"))]);
    prefix.rename(REJECTED, "config-web-0.tar.zst.rejected.dsse.json");
    let report = verify(&prefix);
    assert!(!report.is_verified() && report.to_string().contains("no honest box signs both"), "{report}");
}

#[test]
fn a_prefix_that_was_never_sealed_says_what_was_rejected_and_is_not_verified() {
    let prefix = Prefix::new();
    prefix.reject(&prefix.signer, &[]);
    prefix.unseal();
    let report = |trust: &Trust, wanted: &Wanted| directory(prefix.path(), trust, wanted).unwrap();
    let said = "NOT SEALED: artifact 'logs-web-0.log.zst' was rejected at 2026-11-21T10:02:00Z by check 'digest': \
                another one arrived";

    let ours = Trust::Session(prefix.signer.public().unwrap());
    let proven = report(&ours, &Wanted::default());
    assert!(proven.to_string().contains(&format!("{said}\n")), "{proven}");
    // No certificate reached the box.
    let unproven = report(&Trust::Pinned(prefix.receipt_key()), &Wanted::default());
    assert!(unproven.to_string().contains(&format!("{said}, says a record whose key ")), "{unproven}");
    let other = Trust::Session(SessionSigner::generate().unwrap().public().unwrap());
    let forged = report(&other, &Wanted::default());
    assert!(forged.to_string().contains("signature of the rejection"), "{forged}");
    assert!(!forged.to_string().contains("was rejected"), "{forged}");
    let another = Wanted { job_uid: Some("ffff".to_owned()), ..Wanted::default() };
    let unwanted = report(&ours, &another);
    assert!(unwanted.to_string().contains("not of ffff"), "{unwanted}");
    for report in [proven, unproven, forged, unwanted] {
        assert!(!report.is_verified(), "{report}");
    }
    assert!(!documented(&prefix).status.success());
}

#[test]
fn a_name_cannot_command_the_terminal() {
    let prefix = Prefix::new();
    prefix.write("x\u{1b}[2Jy", b"x");
    let report = verify(&prefix);
    assert!(!report.is_verified() && !report.to_string().contains('\u{1b}'), "{report}");
}

#[test]
fn a_link_is_no_object() {
    let prefix = Prefix::new();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), b"data").unwrap();
    prefix.remove("config-web-0.tar.zst");
    std::os::unix::fs::symlink(outside.path(), prefix.path().join("config-web-0.tar.zst")).unwrap();
    let report = verify(&prefix);
    assert!(report.to_string().contains("is no regular file"), "{report}");
}

#[test]
fn objects_of_one_artifact_are_checked_alone_and_joined() {
    let prefix = Prefix::of_two_objects();
    let report = verify(&prefix);
    assert!(report.is_verified(), "{report}");
    assert!(documented(&prefix).status.success());
    let prefix = Prefix::of_two_objects_that_do_not_join();
    let report = verify(&prefix);
    assert!(report.to_string().contains("joined they have"), "{report}");
}

#[test]
fn a_prefix_that_climbs_out_of_its_directory_is_refused() {
    let prefix = Prefix::with_an_object_elsewhere();
    let report = verify(&prefix);
    assert!(!report.is_verified() && report.to_string().contains("is no file under"), "{report}");
    assert!(!documented(&prefix).status.success());
}

#[test]
fn it_must_be_the_session_that_is_meant() {
    let prefix = Prefix::new();
    let trust = Trust::Pinned(prefix.receipt_key());
    let good = Wanted {
        session: Some("00112233445566778899aabbccddeeff".parse().unwrap()),
        job_uid: Some("3f2b6c1e-9a54-4c8e-8d2a-1b7d5e9c0a42".to_owned()),
        prefix: Some("clusters/prod-1/shop/nightly/00112233445566778899aabbccddeeff/".parse().unwrap()),
    };
    assert!(directory(prefix.path(), &trust, &good).unwrap().is_verified());
    let wrong = [
        Wanted { session: Some("f".repeat(32).parse().unwrap()), ..good.clone() },
        Wanted { job_uid: Some("ffff".to_owned()), ..good.clone() },
        Wanted { prefix: Some("clusters/prod-1/".parse().unwrap()), ..good },
    ];
    for wanted in wrong {
        let report = directory(prefix.path(), &trust, &wanted).unwrap();
        assert!(!report.is_verified() && report.to_string().contains("not of"), "{report}");
    }
}

#[test]
fn without_a_receipt_key_the_session_key_does() {
    let mut prefix = Prefix::new();
    prefix.strip_certificate();
    let trust = Trust::Session(prefix.signer.public().unwrap());
    assert!(directory(prefix.path(), &trust, &Wanted::default()).unwrap().is_verified());
    let other = Trust::Session(SessionSigner::generate().unwrap().public().unwrap());
    let report = directory(prefix.path(), &other, &Wanted::default()).unwrap();
    assert!(!report.is_verified() && report.to_string().contains("not signed with the given"), "{report}");
}

fn run(arguments: &[&Path]) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    command.arg("verify").args(arguments).output().unwrap().status.code()
}

#[test]
fn the_exit_code_says_what_came_of_it() {
    let prefix = Prefix::new();
    let (flag, pem) = (Path::new("--receipt-key"), prefix.pem_file());
    assert_eq!(run(&[prefix.path(), flag, &pem]), Some(0));
    assert_eq!(run(&[prefix.path(), flag, Path::new("/nonexistent")]), Some(2), "no key");
    assert_eq!(run(&[prefix.path(), flag, &prefix.path().join("SHA256SUMS")]), Some(2), "not a key");
    assert_eq!(run(&[Path::new("/nonexistent"), flag, &pem]), Some(2), "no directory");
    assert_eq!(run(&[prefix.path()]), Some(2), "nothing to trust");
    prefix.write("extra", b"x");
    assert_eq!(run(&[prefix.path(), flag, &pem]), Some(1));
}
