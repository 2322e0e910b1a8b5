//! The local AWS's ways to fail on demand.

use std::process::Command;

use serde_json::{Value, json};

use crate::bed::Bed;

/// A rule of the local AWS, taken back when it goes out of scope.
pub(crate) struct Rule<'a> {
    bed: &'a Bed,
    id: u64,
}

impl<'a> Rule<'a> {
    /// Every request of an operation about something that `pattern` matches is answered with `answer`.
    pub(crate) fn always(bed: &'a Bed, operation: &str, pattern: &str, answer: &str) -> Self {
        Self::of(bed, &json!({"operation": operation, "match": pattern, "answer": answer}))
    }

    /// The first `times` of them.
    pub(crate) fn times(bed: &'a Bed, operation: &str, pattern: &str, answer: &str, times: u32) -> Self {
        Self::of(bed, &json!({"operation": operation, "match": pattern, "answer": answer, "times": times}))
    }

    pub(crate) fn of(bed: &'a Bed, rule: &Value) -> Self {
        let mut rule = rule.clone();
        let service = if rule["operation"] == "Invoke" { "lambda" } else { "s3" };
        if rule["service"].is_null() {
            rule["service"] = service.into();
        }
        let answer = ask(bed, &json!({"add": rule}));
        Self { bed, id: answer["id"].as_u64().unwrap() }
    }

    /// How often it struck.
    pub(crate) fn struck(&self) -> u64 {
        let rules = ask(self.bed, &json!({}));
        let own = rules["rules"].as_array().unwrap().iter().find(|rule| rule["id"] == self.id).cloned();
        own.map_or(0, |rule| rule["struck"].as_u64().unwrap())
    }
}

impl Drop for Rule<'_> {
    fn drop(&mut self) {
        ask(self.bed, &json!({"remove": self.id}));
    }
}

fn ask(bed: &Bed, asked: &Value) -> Value {
    post(bed, &format!("{}/_testbed/faults", bed.fact("/aws/endpoint")), asked)
}

/// An instance type that has no capacity while this lives.
pub(crate) struct NoCapacity<'a>(&'a Bed, &'static str);

impl<'a> NoCapacity<'a> {
    pub(crate) fn of(bed: &'a Bed, kind: &'static str) -> Self {
        Self::set(bed, kind, false);
        Self(bed, kind)
    }

    fn set(bed: &Bed, kind: &str, available: bool) {
        post(
            bed,
            &format!("{}/capacity", bed.fact("/aws/control")),
            &json!({"type": kind, "available": available}),
        );
    }
}

impl Drop for NoCapacity<'_> {
    fn drop(&mut self) {
        Self::set(self.0, self.1, true);
    }
}

fn post(bed: &Bed, url: &str, body: &Value) -> Value {
    let body = body.to_string();
    let output = Command::new("curl")
        .env("CURL_CA_BUNDLE", bed.fact("/aws/ca_bundle"))
        .args(["-fsS", "--max-time", "20", "-H", "Content-Type: application/json", "-d", &body, url])
        .output()
        .unwrap();
    assert!(output.status.success(), "POST {url}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs the AWS CLI as the account's owner.
pub(crate) fn cli(bed: &Bed, arguments: &[&str]) -> Value {
    let text = bed.aws(arguments);
    if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
}

/// The create function's environment, with one variable changed while this lives: what a stack update does.
pub(crate) struct Setting<'a> {
    bed: &'a Bed,
    before: Value,
}

impl<'a> Setting<'a> {
    pub(crate) fn of(bed: &'a Bed, name: &str, value: &str) -> Self {
        let function = bed.output("CreateFunctionArn");
        let found = cli(bed, &["lambda", "get-function-configuration", "--function-name", &function]);
        let before = found["Environment"]["Variables"].clone();
        let mut changed = before.clone();
        changed[name] = value.into();
        update(bed, &changed);
        Self { bed, before }
    }
}

impl Drop for Setting<'_> {
    fn drop(&mut self) {
        update(self.bed, &self.before);
    }
}

fn update(bed: &Bed, variables: &Value) {
    let (function, environment) =
        (bed.output("CreateFunctionArn"), json!({"Variables": variables}).to_string());
    cli(
        bed,
        &[
            "lambda",
            "update-function-configuration",
            "--function-name",
            &function,
            "--environment",
            &environment,
        ],
    );
}
