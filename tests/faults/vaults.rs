//! What can be wrong with the vault. A job waits for it, and says for what.

use serde_json::{Value, json};

use crate::{
    aws::Rule,
    bed::{Bed, wait},
    case::{Case, LIMIT, Spec},
    network::Table,
    pods::{LONG, Place, SMALL},
};

/// A key of the right kind that is not the stack's.
const ANOTHER_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdd6/qiwb1TxfjErLWWkYSA4eQ0ka
JjHheC37+RhTBruVx/UHfCVVIRx3RDIiLWEdO6GRC2QZVurTED3d5sPxtw==
-----END PUBLIC KEY-----
";

/// A vault of the bed's stack under another name.
fn vault(bed: &Bed, name: &str, cleanup: &str) -> Value {
    json!({"apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupVault", "metadata": {"name": name},
        "spec": {"region": bed.fact("/aws/region"),
            "functions": {"create": bed.output("CreateFunctionArn"), "cleanup": cleanup},
            "allowedNamespaces": {"selector": {"matchLabels": {"drawbridge.dev/backups": "allowed"}}}}})
}

#[test]
fn a_vault_that_does_not_exist() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-no-vault");
    place.pod("app", SMALL);
    let spec = Spec { vault: "fault-later", ..Spec::of("app") };
    Case::begin(&bed, "a vault that does not exist", "fault-no-vault", "job", &spec).waits_until_mended(
        "VaultNotFound",
        &["there is no BackupVault fault-later", "create it"],
        || {
            bed.apply(&vault(&bed, "fault-later", &bed.output("CleanupFunctionArn"))).unwrap();
        },
    );
}

#[test]
fn a_vault_that_is_not_ready() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-unready");
    place.pod("app", SMALL);
    bed.apply(&vault(&bed, "fault-unready", "drawbridge-demo-nothing")).unwrap();
    let spec = Spec { vault: "fault-unready", ..Spec::of("app") };
    Case::begin(&bed, "a vault that is not ready (wrong function)", "fault-unready", "job", &spec)
        .waits_until_mended(
            "VaultNotReady",
            &["BackupVault fault-unready is not ready", "drawbridge-demo-nothing"],
            || {
                bed.apply(&vault(&bed, "fault-unready", &bed.output("CleanupFunctionArn"))).unwrap();
            },
        );
}

#[test]
fn a_vault_that_pins_another_receipt_key() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-other-key");
    place.pod("app", SMALL);
    let mut pins = vault(&bed, "fault-other-key", &bed.output("CleanupFunctionArn"));
    pins["spec"]["receiptKey"] = json!(ANOTHER_KEY);
    bed.apply(&pins).unwrap();
    let spec = Spec { vault: "fault-other-key", ..Spec::of("app") };
    Case::begin(&bed, "a vault that pins another receipt key", "fault-other-key", "job", &spec).fails(
        "ReceiptUnverified",
        &["not signed with the pinned receipt key", "nothing was sent to it", "ReceiptKeyArn"],
    );
    // The default vault pins the stack's own.
    Case::twin(&bed, "fault-other-key", "twin", &Spec::of("app"));
}

#[test]
fn a_vault_whose_receipt_key_is_none() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-no-key");
    place.pod("app", SMALL);
    let mut pins = vault(&bed, "fault-no-key", &bed.output("CleanupFunctionArn"));
    pins["spec"]["receiptKey"] = json!(ANOTHER_KEY.replace("MFkw", "MFkx"));
    bed.apply(&pins).unwrap();
    let spec = Spec { vault: "fault-no-key", ..Spec::of("app") };
    Case::begin(&bed, "a vault whose receipt key is no key", "fault-no-key", "job", &spec)
        .waits_until_mended(
            "VaultNotReady",
            &["BackupVault fault-no-key is not ready", "ReceiptKeyInvalid", "aws kms get-public-key"],
            || {
                bed.apply(&vault(&bed, "fault-no-key", &bed.output("CleanupFunctionArn"))).unwrap();
            },
        );
}

#[test]
fn a_vault_that_cannot_be_reached() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-unreachable");
    place.pod("app", SMALL);
    let cut = Table::without_the_api(&bed);
    bed.apply(&vault(&bed, "fault-unreachable", &bed.output("CleanupFunctionArn"))).unwrap();
    let spec = Spec { vault: "fault-unreachable", ..Spec::of("app") };
    Case::begin(&bed, "a vault that cannot be reached", "fault-unreachable", "job", &spec)
        .waits_until_mended(
            "VaultNotReady",
            &["BackupVault fault-unreachable is not ready", "cannot be reached", "way to the AWS API"],
            || drop(cut),
        );
}

#[test]
fn a_namespace_that_the_vault_does_not_allow() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-namespace");
    place.pod("app", SMALL);
    let label = |change: &str| {
        bed.kubectl(&["label", "--overwrite", "namespace", "fault-namespace", change]).unwrap()
    };
    label("drawbridge.dev/backups-");
    Case::begin(
        &bed,
        "a namespace that the vault does not allow",
        "fault-namespace",
        "job",
        &Spec::of("app"),
    )
    .waits_until_mended(
        "NamespaceNotAllowed",
        &["BackupVault default does not take jobs of namespace fault-namespace", "spec.allowedNamespaces"],
        || {
            label("drawbridge.dev/backups=allowed");
        },
    );
}

#[test]
fn a_session_that_cannot_be_closed_yet() {
    let bed = Bed::open();
    let place = Place::new(&bed, "fault-closing");
    place.pod("app", LONG);
    let case = Case::begin(
        &bed,
        "the AWS API is cut off while a session is closed",
        "fault-closing",
        "cut",
        &Spec::of("app"),
    );
    case.job.wait_until_bytes_cross(LIMIT);
    let cut = Table::without_the_api(&bed);
    case.waits_until_mended(
        "ClosingFailed",
        &["the session cannot be closed yet", "cannot be reached"],
        || drop(cut),
    );

    let rule = Rule::times(&bed, "Invoke", "*-cleanup", "TooManyRequestsException", 6);
    let case = Case::begin(
        &bed,
        "AWS throttles cleanup for a while",
        "fault-closing",
        "throttled",
        &Spec::of("app"),
    );
    let closed = wait(LIMIT, || case.job.condition("Complete").is_some());
    assert!(closed && rule.struck() == 6, "{} strikes: {:#}", rule.struck(), case.job.status());
    case.completes_in_the_first_attempt("cleanup is asked until it answers");
}
