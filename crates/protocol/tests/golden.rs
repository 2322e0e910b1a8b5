//! Every message as it stands on the wire. A change here is a change of the protocol: raise its version.
//!
//! `DRAWBRIDGE_BLESS=1 cargo test --release -p drawbridge-protocol` writes the files anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod samples;

use std::{fmt::Debug, fs, path::PathBuf};

use drawbridge_protocol::session::Refusal;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Compares `message` with its file, reads it back, and tries it with a field that nobody knows.
fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, message: &T) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.json"));
    let written = format!("{}\n", serde_json::to_string_pretty(message).unwrap());
    if std::env::var_os("DRAWBRIDGE_BLESS").is_some() {
        fs::write(&path, &written).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, kept, "{name} has changed");
    assert_eq!(&serde_json::from_str::<T>(&kept).unwrap(), message);

    let value: Value = serde_json::from_str(&kept).unwrap();
    for spoilt in with_an_unknown_field(&value) {
        let refused = serde_json::from_value::<T>(spoilt.clone());
        assert!(refused.is_err(), "{name} took an unknown field: {spoilt}");
    }
    // A number: an object's version is S3's text.
    if value.get("version").is_some_and(Value::is_u64) {
        for version in [0, 2] {
            let mut other = value.clone();
            other["version"] = version.into();
            let error = serde_json::from_value::<T>(other).expect_err("another version").to_string();
            assert!(error.contains(&format!("version {version} is not supported")), "{error}");
        }
    }
}

/// The value once for each object in it, with one field more there.
fn with_an_unknown_field(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Object(fields) => {
            // Maps of free names; every other object has a fixed set of fields.
            if !fields.keys().all(|name| name == "sha256") || fields.len() != 1 {
                let mut more = fields.clone();
                more.insert("surprise".to_owned(), 1.into());
                all.push(Value::Object(more));
            }
            for (name, field) in fields {
                for spoilt in with_an_unknown_field(field) {
                    let mut other = fields.clone();
                    other.insert(name.clone(), spoilt);
                    all.push(Value::Object(other));
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for spoilt in with_an_unknown_field(item) {
                    let mut other = items.clone();
                    other[index] = spoilt;
                    all.push(Value::Array(other));
                }
            }
        }
        _ => {}
    }
    all
}

#[test]
fn requests_and_answers() {
    golden("create_request", &samples::create_request());
    golden("create_request_in_a_series", &samples::create_request_in_a_series());
    golden("create_request_that_speaks", &samples::create_request_that_speaks());
    golden("create_answer_pending", &samples::create_pending());
    golden("create_answer_ready", &samples::create_ready());
    golden("create_answer_ready_certified", &samples::create_ready_certified());
    golden("create_answer_refused", &samples::create_refused());
    golden("refusals", &Refusal::ALL.to_vec());
    golden("cleanup_request", &samples::cleanup_request(None));
    golden("cleanup_request_with_receipt", &samples::cleanup_request(Some(samples::envelope())));
    golden("cleanup_answer_destroying", &samples::cleanup_destroying());
    golden("cleanup_answer_destroyed", &samples::cleanup_destroyed());
    golden("cleanup_answer_refused", &samples::cleanup_refused());
}

#[test]
fn posture() {
    golden("posture_request", &samples::posture_request());
    golden("posture_answer", &samples::posture_checked());
    golden("posture_answer_refused", &samples::posture_refused());
}

#[test]
fn a_refusal_s_name_is_what_stands_on_the_wire() {
    for refusal in Refusal::ALL {
        assert_eq!(serde_json::to_value(refusal).unwrap(), refusal.name());
    }
}

#[test]
fn orders_and_report() {
    golden("orders", &samples::orders());
    golden("orders_with_rules_and_baseline", &samples::orders_with_rules_and_baseline());
    golden("baseline", &samples::baseline());
    golden("ready_report", &samples::ready_report());
    golden("limits_locked", &samples::locked_limits());
}

#[test]
fn upload_frames() {
    golden("hello", &samples::hello());
    golden("welcome", &samples::welcome());
    golden("begin", &samples::begin());
    golden("begun", &samples::begun());
    golden("end", &samples::end());
    golden("accepted", &samples::accepted());
    golden("rejected", &samples::rejected());
    golden("commit", &samples::commit());
    golden("commit_certified", &samples::commit_certified());
    golden("sealed", &samples::sealed());
    golden("error", &samples::failure());
    golden("error_codes", &samples::failure_codes());
}

#[test]
fn manifest_and_receipt() {
    golden("manifest", &samples::manifest());
    golden("receipt", &samples::receipt());
    golden("receipt_with_sources", &samples::receipt_with_sources());
    golden("envelope", &samples::envelope());
    golden("envelope_certified", &samples::envelope_certified());
    golden("certificate", &samples::certificate());
    golden("certified_session", &samples::certified_session());
    let statement: drawbridge_protocol::manifest::Statement<drawbridge_protocol::Manifest> =
        serde_json::from_slice(&samples::manifest().to_statement().unwrap()).unwrap();
    golden("manifest_statement", &statement);
    golden("rejection_record", &samples::rejection_record());
    let statement: drawbridge_protocol::manifest::Statement<drawbridge_protocol::RejectionRecord> =
        serde_json::from_slice(&samples::rejection_record().to_statement().unwrap()).unwrap();
    golden("rejection_statement", &statement);
    golden("claimed_log", &samples::claimed_log());
    golden("stored_object_locked", &samples::locked_object());
}
