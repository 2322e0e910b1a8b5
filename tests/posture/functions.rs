//! Ways to break the guarantees of the functions, of what ends boxes, and of the receipt key.

use std::time::Duration;

use drawbridge_protocol::posture::Name;
use serde_json::{Value, json};

use crate::{Call, Flip, bed::Bed, call};

/// The sweeper's schedule while its silence is waited for.
const OFTEN: &str = "rate(1 minute)";

pub(crate) fn flips(bed: &Bed) -> Vec<Flip> {
    let (create, cleanup) = (bed.output("CreateFunctionArn"), bed.output("CleanupFunctionArn"));
    let (sweep, marker) = (bed.output("SweepFunctionArn"), bed.output("MarkerFunctionArn"));
    let preload = ("LD_PRELOAD", json!("/tmp/other.so"));
    vec![
        code(
            bed,
            Name::CreateCode,
            "another program as create",
            &create,
            ("CreateCodeKey", "CleanupCodeKey"),
        ),
        code(
            bed,
            Name::CleanupCode,
            "another program as cleanup",
            &cleanup,
            ("CleanupCodeKey", "PostureCodeKey"),
        ),
        code(
            bed,
            Name::CleanupCode,
            "another program as the sweeper",
            &sweep,
            ("CleanupCodeKey", "PostureCodeKey"),
        ),
        code(
            bed,
            Name::CleanupCode,
            "another program as the marker function",
            &marker,
            ("CleanupCodeKey", "PostureCodeKey"),
        ),
        setting(bed, Name::CreateSettings, &create, "a library loaded before create's own", &preload),
        setting(bed, Name::CleanupSettings, &cleanup, "a library loaded before cleanup's own", &preload),
        setting(bed, Name::CleanupSettings, &sweep, "a library loaded before the sweeper's own", &preload),
        setting(
            bed,
            Name::CleanupSettings,
            &marker,
            "the marker function told to serve requests",
            &("DRAWBRIDGE_SERVES", json!("requests")),
        ),
        setting(
            bed,
            Name::CreateSettings,
            &create,
            "the receipt key taken from create",
            &("DRAWBRIDGE_RECEIPT_KEY_ARN", Value::Null),
        ),
        setting(
            bed,
            Name::CreateSettings,
            &create,
            "a thief's CA for the boxes",
            &("DRAWBRIDGE_EXTRA_CA", json!("a thief's")),
        ),
        setting(
            bed,
            Name::CreateSettings,
            &create,
            "the boxes' checks off",
            &("DRAWBRIDGE_CHECKS", json!("all=off")),
        ),
        setting(
            bed,
            Name::Started,
            &create,
            "MaxBoxes 0, the kill switch",
            &("DRAWBRIDGE_MAX_BOXES", json!("0")),
        ),
        invokers(&create),
        rule(bed, Name::SweepRule, "sweep", "the sweeper's rule disabled"),
        rule(bed, Name::EndedRule, "instance-ended", "the rule of ended instances disabled"),
        sweeper(bed),
        key(bed),
        key_policy(bed),
    ]
}

/// Another function's code in this one's name.
fn code(bed: &Bed, guarantee: Name, what: &'static str, function: &str, keys: (&str, &str)) -> Flip {
    let stack: Value = serde_json::from_slice(&std::fs::read(bed.dir().join("stack.json")).unwrap()).unwrap();
    let parameter = |name: &str| stack["parameters"][name].as_str().unwrap().to_owned();
    let bucket = parameter("CodeBucket");
    let put = |key: &str| {
        let key = parameter(key);
        call(&[
            "lambda",
            "update-function-code",
            "--function-name",
            function,
            "--s3-bucket",
            &bucket,
            "--s3-key",
            &key,
        ])
    };
    Flip::of(guarantee, what, vec![put(keys.1)], vec![put(keys.0)])
}

fn variables(bed: &Bed, function: &str) -> Value {
    let text = bed.aws(&["lambda", "get-function-configuration", "--function-name", function]);
    let found: Value = serde_json::from_str(&text).unwrap();
    found["Environment"]["Variables"].clone()
}

fn configure(function: &str, variables: &Value) -> Call {
    let environment = json!({"Variables": variables}).to_string();
    call(&[
        "lambda",
        "update-function-configuration",
        "--function-name",
        function,
        "--environment",
        &environment,
    ])
}

/// Another value of a variable; null takes it away.
fn setting(bed: &Bed, guarantee: Name, function: &str, what: &'static str, change: &(&str, Value)) -> Flip {
    let before = variables(bed, function);
    let mut changed = before.clone();
    if change.1.is_null() {
        changed.as_object_mut().unwrap().remove(change.0).unwrap();
    } else {
        changed[change.0] = change.1.clone();
    }
    Flip::of(guarantee, what, vec![configure(function, &changed)], vec![configure(function, &before)])
}

fn invokers(function: &str) -> Flip {
    let of =
        |what: &str| call(&["lambda", what, "--function-name", function, "--statement-id", "posture-test"]);
    let mut add = of("add-permission");
    add.extend(call(&["--action", "lambda:InvokeFunction", "--principal", "111122223333"]));
    Flip::of(Name::Invokers, "another account let invoke create", vec![add], vec![of("remove-permission")])
}

fn rule(bed: &Bed, guarantee: Name, name: &str, what: &'static str) -> Flip {
    let name = rule_name(bed, name);
    let of = |what: &str| call(&["events", what, "--name", &name]);
    Flip::of(guarantee, what, vec![of("disable-rule")], vec![of("enable-rule")])
}

fn rule_name(bed: &Bed, name: &str) -> String {
    let function = bed.output("CleanupFunctionArn");
    let function = function.rsplit(':').next().unwrap().to_owned();
    format!("{}-{name}", function.strip_suffix("-cleanup").unwrap())
}

/// The key that certifies sessions, disabled.
fn key(bed: &Bed) -> Flip {
    let arn = bed.output("ReceiptKeyArn");
    let of = |what: &str| call(&["kms", what, "--key-id", &arn]);
    Flip::of(Name::Key, "the receipt key disabled", vec![of("disable-key")], vec![of("enable-key")])
}

/// The key that certifies sessions, open to another account.
fn key_policy(bed: &Bed) -> Flip {
    let arn = bed.output("ReceiptKeyArn");
    let of = |what: &str| call(&["kms", what, "--key-id", &arn, "--policy-name", "default"]);
    let get = of("get-key-policy");
    let words: Vec<&str> = get.iter().map(String::as_str).collect();
    let found: Value = serde_json::from_str(&bed.aws(&words)).unwrap();
    let stood = found["Policy"].as_str().unwrap().to_owned();
    let mut wider: Value = serde_json::from_str(&stood).unwrap();
    wider["Statement"].as_array_mut().unwrap().push(json!({"Effect": "Allow", "Action": "kms:Sign",
        "Resource": "*", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}}));
    let put = |policy: String| {
        let mut put = of("put-key-policy");
        put.extend(["--policy".to_owned(), policy]);
        put
    };
    Flip::of(
        Name::Key,
        "another account let sign with the receipt key",
        vec![put(wider.to_string())],
        vec![put(stood)],
    )
}

/// The sweeper is silent. A stack that sweeps each minute is missed after three; the rule is disabled meanwhile.
fn sweeper(bed: &Bed) -> Flip {
    let posture = bed.output("PostureFunctionArn");
    let before = variables(bed, &posture);
    let mut often = before.clone();
    often["DRAWBRIDGE_PARAM_SweepSchedule"] = json!(OFTEN);
    let name = rule_name(bed, "sweep");
    let put = |schedule: &str, state: &str| {
        call(&["events", "put-rule", "--name", &name, "--schedule-expression", schedule, "--state", state])
    };
    let usual = before["DRAWBRIDGE_PARAM_SweepSchedule"].as_str().unwrap().to_owned();
    Flip {
        guarantee: Name::Sweeper,
        what: "no sweep for three times its schedule (of a minute)",
        breaks: vec![configure(&posture, &often), put(OFTEN, "DISABLED")],
        mends: vec![put(&usual, "ENABLED"), configure(&posture, &before)],
        patience: Duration::from_mins(5),
    }
}
