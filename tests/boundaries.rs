//! Which program may reach which part of AWS, held by what it links.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::{collections::BTreeSet, process::Command};

/// The AWS SDKs that `package` links, as cargo resolves them.
fn sdks(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "tree",
            "--locked",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.starts_with(package), "cargo tree printed something else: {tree}");
    tree.lines()
        .filter_map(|line| line.split(' ').next()?.strip_prefix("aws-sdk-"))
        .map(str::to_owned)
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_controller_links_lambda_and_sts_of_aws_and_nothing_else() {
    assert_eq!(sdks("drawbridge"), set(&["lambda", "sts"]));
}

#[test]
fn the_box_links_s3_and_what_credentials_need() {
    assert_eq!(sdks("drawbridge-jumpbox"), set(&["s3", "sts"]));
}

#[test]
fn ec2_is_linked_by_the_lambdas_alone() {
    // posture looks at all that the stack is made of; its role lets it only look.
    let all = set(&["ec2", "eventbridge", "iam", "kms", "lambda", "s3", "sts"]);
    assert_eq!(sdks("drawbridge-lambdas"), all);
}
