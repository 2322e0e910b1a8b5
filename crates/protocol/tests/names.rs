//! Names that are taken, and their bad twins that are not.

#![allow(clippy::unwrap_used)]

mod samples;

use std::{fmt::Debug, str::FromStr};

use drawbridge_protocol::{
    ArtifactName, ClusterName, JobRef, ObjectKey, ObjectPrefix, SessionId, SessionPublicKey, Sha256,
    SshPublicKey,
};

fn takes<T: FromStr<Err: Debug>>(good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(text.parse::<T>().is_ok(), "'{text}' was to be taken");
    }
    for text in bad {
        assert!(text.parse::<T>().is_err(), "'{text}' was to be refused");
    }
}

#[test]
fn an_artifact_name_stays_in_its_prefix() {
    takes::<ArtifactName>(
        &["a.tar.zst", "config-web-0.tar.zst", "app_1.log.zst", "0.jsonl.zst"],
        &[
            "",
            "..",
            "../a.tar.zst",
            "a/../b.tar.zst",
            "a/b.tar.zst",
            "a..tar.zst",
            ".a.tar.zst",
            "-a.tar.zst",
            "a.tar",
            "a.tar.zst.0001",
            "A.tar.zst",
            "a b.tar.zst",
            "a\n.tar.zst",
            "ä.tar.zst",
            "a\0.tar.zst",
            "manifest.json",
            "SHA256SUMS",
            ".tar.zst",
        ],
    );
    let long = format!("{}.tar.zst", "a".repeat(192));
    assert!(long.parse::<ArtifactName>().is_ok());
    assert!(format!("a{long}").parse::<ArtifactName>().is_err());
}

#[test]
fn a_prefix_and_a_key_have_no_way_up() {
    takes::<ObjectPrefix>(
        &["clusters/a/b/c/d/", "x/"],
        &["", "/", "x", "/x/", "x//y/", "x/../y/", "x/./y/", "../", "x y/", "x/*/"],
    );
    takes::<ObjectKey>(
        &["clusters/a/ended/0", "a..b"],
        &["", "/", "a/", "/a", "a//b", "a/../b", "..", ".", "a b", "a?b", "a\\b"],
    );
}

#[test]
fn ids_and_digests_are_lower_case_hex_of_one_length() {
    let (id, digest) = ("0123456789abcdef".repeat(2), "0123456789abcdef".repeat(4));
    takes::<SessionId>(
        &[&id],
        &["", &id[1..], &id.to_uppercase(), &digest, "../..//../..//../..//../..//../"],
    );
    takes::<Sha256>(&[&digest], &["", &digest[1..], &digest.to_uppercase(), &id]);
    assert_ne!(SessionId::random().unwrap(), SessionId::random().unwrap());
}

#[test]
fn a_cluster_name_is_a_dns_label() {
    takes::<ClusterName>(&["prod", "eu-1", "0"], &["", "a.b", "-a", "a-", "A", "a/b", "..", &"a".repeat(64)]);
}

#[test]
fn only_ed25519_keys_without_a_comment_are_taken() {
    let key = samples::ssh_key();
    let good = key.as_str();
    let commented = format!("{good} root@host");
    let newline = format!("{good}\n");
    let options = format!("command=\"id\" {good}");
    takes::<SshPublicKey>(
        &[good],
        &["", &commented, &newline, &options, "ssh-rsa AAAAB3NzaC1yc2E=", "ssh-ed25519 AAAA", &good[..40]],
    );
    assert!(key.fingerprint().starts_with("SHA256:") && key.fingerprint().len() == 50);
    let session = samples::session_key();
    takes::<SessionPublicKey>(&[session.as_str()], &["", "AAAA", "!"]);
    assert_eq!(SessionPublicKey::from_raw(&session.raw()).unwrap(), session);
}

#[test]
fn a_job_is_named_as_kubernetes_names_it() {
    let job = |namespace: &str, name: &str, uid: &str, attempt| {
        JobRef::new(namespace.to_owned(), name.to_owned(), uid.to_owned(), attempt)
    };
    assert!(job("shop", "nightly.1", "a-1", 1).is_ok());
    for (namespace, name, uid, attempt) in [
        ("..", "nightly", "a", 1),
        ("shop/..", "nightly", "a", 1),
        ("shop", "..", "a", 1),
        ("shop", "a..b", "a", 1),
        ("shop", "../up", "a", 1),
        ("shop", "", "a", 1),
        ("", "nightly", "a", 1),
        ("shop.x", "nightly", "a", 1),
        ("shop", "nightly", "", 1),
        ("shop", "nightly", "x/y", 1),
        ("shop", "nightly", "a", 0),
    ] {
        assert!(job(namespace, name, uid, attempt).is_err(), "{namespace} {name} {uid} {attempt}");
        let json = serde_json::json!({"namespace": namespace, "name": name, "uid": uid, "attempt": attempt});
        assert!(
            serde_json::from_value::<JobRef>(json).is_err(),
            "from the wire: {namespace} {name} {uid} {attempt}"
        );
    }
}

#[test]
fn an_artifact_past_its_first_object_counts_on() {
    let prefix = samples::prefix();
    let name = "a.tar.zst".parse().unwrap();
    assert_eq!(prefix.artifact(&name, 0).as_str(), format!("{prefix}a.tar.zst"));
    assert_eq!(prefix.artifact(&name, 12).as_str(), format!("{prefix}a.tar.zst.0012"));
    // Whatever the parts, the whole is a key again.
    let last = [prefix.manifest(), prefix.manifest_envelope(), prefix.sums()];
    for key in last.into_iter().chain([prefix.artifact(&name, 9999), prefix.rejection(&name)]) {
        assert!(key.as_str().parse::<ObjectKey>().is_ok());
    }
    // No artifact can lie where the record of another one does.
    assert_eq!(prefix.rejection(&name).as_str(), format!("{prefix}a.tar.zst.rejected.dsse.json"));
    assert!("a.tar.zst.rejected.dsse.json".parse::<ArtifactName>().is_err());
}

#[test]
fn no_namespace_lies_among_the_ended_markers() {
    let mut job = samples::job();
    job.namespace = "ended".to_owned();
    assert!(ObjectPrefix::of_session(&samples::cluster(), &job, &samples::session()).is_err());
    job.namespace = "ended-1".to_owned();
    assert!(ObjectPrefix::of_session(&samples::cluster(), &job, &samples::session()).is_ok());
}
