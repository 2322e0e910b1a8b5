//! Which program may reach which part of AWS, held by what it links.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

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

/// Every file of the sources below `directory`.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("__pycache__") {
            files(&path, found);
        } else if path
            .extension()
            .is_some_and(|kind| ["rs", "py", "sh", "toml", "tpl", "yaml"].iter().any(|k| kind == *k))
        {
            found.push(path);
        }
    }
}

#[test]
fn nothing_switches_the_verification_of_certificates_off() {
    // In two halves each, so that this file does not hold them.
    let switches = [
        ("verify", "=False"),
        ("CERT_", "NONE"),
        ("check_hostname", " = False"),
        ("_create_", "unverified"),
        ("danger", "ous()"),
        ("danger_", "accept"),
        ("--no-verify", "-ssl"),
        ("--in", "secure"),
        ("curl -", "k"),
        ("insecure-skip-", "tls"),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for directory in
        ["src", "crates", "tests", "testbed", "benches", "infra", "charts", "images", "xtask", "examples"]
    {
        files(&root.join(directory), &mut sources);
    }
    assert!(sources.len() > 200, "the sources are not where they were: {}", sources.len());
    for path in sources {
        let text = std::fs::read_to_string(&path).unwrap();
        for (first, second) in switches {
            let switch = format!("{first}{second}");
            assert!(!text.contains(&switch), "{} holds {switch}", path.display());
        }
    }
}
