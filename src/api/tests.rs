#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use serde_json::{Value, json};

use super::{BackupJob, Condition, ConditionStatus, Selector, conditions, definitions, to_yaml};

/// The schema of `BackupJob` or `BackupVault` as the API server gets it.
fn schema(index: usize) -> Value {
    let (_, definition) = definitions().into_iter().nth(index).unwrap();
    serde_json::to_value(definition).unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn the_committed_definitions_are_those_of_the_code() {
    for (name, definition) in definitions() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds").join(name);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let generated = to_yaml(&definition).unwrap();
        assert!(committed == generated, "{name} has drifted: run `drawbridge-controller crds --out crds`");
    }
}

#[test]
fn a_jobs_spec_cannot_change() {
    let rules = &schema(1)["properties"]["spec"]["x-kubernetes-validations"];
    assert_eq!(rules[0]["rule"], "self == oldSelf");
}

#[test]
fn sources_are_bounded_and_named_once() {
    let sources = &schema(1)["properties"]["spec"]["properties"]["sources"];
    assert_eq!(sources["maxItems"], 16);
    assert_eq!(sources["minItems"], 1);
    assert_eq!(sources["x-kubernetes-list-map-keys"], json!(["name"]));
}

#[test]
fn paths_are_absolute_and_do_not_climb() {
    let paths = &schema(1)["properties"]["spec"]["properties"]["sources"]["items"]["properties"]["files"]["properties"]
        ["paths"];
    let rules: Vec<&str> = paths["items"]["x-kubernetes-validations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["rule"].as_str().unwrap())
        .collect();
    assert!(rules.contains(&"self.startsWith('/')"));
    assert!(rules.iter().any(|rule| rule.contains("[.][.]")));
}

#[test]
fn every_list_and_string_of_a_spec_is_bounded() {
    fn check(path: &str, schema: &Value) {
        match schema["type"].as_str() {
            Some("array") => {
                assert!(schema["maxItems"].is_number(), "{path} has no maxItems");
                check(&format!("{path}[]"), &schema["items"]);
            }
            Some("string") => {
                let bounded = schema["maxLength"].is_number() || schema["enum"].is_array();
                assert!(bounded, "{path} has no maxLength");
            }
            Some("object") => {
                for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                    check(&format!("{path}.{name}"), property);
                }
            }
            _ => {}
        }
    }
    for index in 0..2 {
        check("spec", &schema(index)["properties"]["spec"]);
    }
}

#[test]
fn no_number_has_a_format_that_kubernetes_does_not_know() {
    for (_, definition) in definitions() {
        assert!(!to_yaml(&definition).unwrap().contains("uint"));
    }
}

#[test]
fn a_minimal_job_gets_its_defaults() {
    let job: BackupJob = serde_json::from_value(json!({
        "apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupJob", "metadata": { "name": "j" },
        "spec": { "vault": "v", "sources": [{ "name": "etc", "files": {
            "selector": { "matchLabels": { "app": "web" } }, "paths": ["/etc"] } }] }
    }))
    .unwrap();
    assert_eq!((job.spec.active_deadline_seconds, job.spec.backoff_limit), (7_200, 3));
    assert_eq!(job.spec.ttl_seconds_after_finished, None);
}

#[test]
fn a_selector_reads_as_kubectl_takes_it() {
    let selector: Selector = serde_json::from_value(json!({
        "matchLabels": { "app": "web" },
        "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["a", "b"] }, { "key": "old", "operator": "DoesNotExist" }]
    }))
    .unwrap();
    assert_eq!(selector.to_string(), "app=web,tier in (a,b),!old");
}

#[test]
fn a_transition_time_moves_only_with_the_status() {
    let mut list: Vec<Condition> = Vec::new();
    let (early, late) = ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-01-02T00:00:00Z".parse().unwrap());
    conditions::set(&mut list, "Ready", ConditionStatus::False, "A", "a", None, early);
    conditions::set(&mut list, "Ready", ConditionStatus::False, "B", "b", None, late);
    assert_eq!((list.len(), list[0].reason.as_str(), list[0].last_transition_time), (1, "B", early));
    conditions::set(&mut list, "Ready", ConditionStatus::True, "C", "c", None, late);
    assert_eq!(list[0].last_transition_time, late);
}

#[test]
fn a_long_message_is_cut_at_a_character() {
    let cut = conditions::shortened(&"é".repeat(2_000));
    assert!(cut.len() <= super::MAX_MESSAGE && cut.ends_with("..."));
}
