//! Compares two policy documents by what they mean, statement by statement: AWS gives lists in another order than it
//! was given them, writes a list of one as a text, and does not care for the case of an action or of a condition's key.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::short;

/// What differs between the shipped document and the one that was found, in words, or nothing.
pub(super) fn difference(shipped: &Value, found: &Value) -> Option<String> {
    let (mut missing, mut extra) = (statements(shipped), statements(found));
    // What both have is taken out of both, once each.
    missing.retain(|(_, wanted)| {
        let same = extra.iter().position(|(_, other)| other == wanted);
        same.map(|at| extra.remove(at)).is_none()
    });
    if missing.is_empty() && extra.is_empty() {
        return None;
    }
    let mut words = Vec::new();
    for (sid, wanted) in &missing {
        match extra.iter().position(|(other, _)| other == sid) {
            Some(at) => words.push(changed(sid, wanted, &extra.remove(at).1)),
            None => words.push(format!("statement {sid} is missing")),
        }
    }
    let beside =
        extra.iter().map(|(sid, statement)| format!("statement {sid} besides: {}", short(statement)));
    words.extend(beside);
    Some(words.join(", "))
}

/// How many statements a document has.
pub(super) fn count(document: &Value) -> usize {
    as_list(&document["Statement"]).len()
}

fn changed(sid: &str, wanted: &Value, found: &Value) -> String {
    let keys: BTreeSet<&String> =
        [wanted, found].iter().filter_map(|statement| statement.as_object()).flat_map(Map::keys).collect();
    let differing = keys.into_iter().find(|key| wanted.get(*key) != found.get(*key));
    let part = differing.map_or_else(
        || "it".to_owned(),
        |key| format!("its {key} {}", short(found.get(key).unwrap_or(&Value::Null))),
    );
    format!("statement {sid} with {part}")
}

/// Each statement with its Sid, in a form in which equal means the same.
fn statements(document: &Value) -> Vec<(String, Value)> {
    let one = |statement: &Value| {
        let sid = statement["Sid"].as_str().unwrap_or("without a Sid").to_owned();
        (sid, canonical(statement))
    };
    as_list(&document["Statement"]).iter().map(one).collect()
}

fn canonical(statement: &Value) -> Value {
    let fields = statement.as_object().into_iter().flatten().filter(|(key, _)| *key != "Sid");
    let plain = |(key, value): (&String, &Value)| {
        let value = match key.as_str() {
            "Action" | "NotAction" => texts(value, str::to_lowercase),
            "Resource" | "NotResource" => texts(value, str::to_owned),
            "Principal" | "NotPrincipal" => principal(value),
            "Condition" => condition(value),
            _ => value.clone(),
        };
        (key.clone(), value)
    };
    Value::Object(fields.map(plain).collect())
}

/// `"*"` means `{"AWS": "*"}`.
fn principal(value: &Value) -> Value {
    match value {
        Value::Object(kinds) => {
            let kinds = kinds.iter().map(|(kind, who)| (kind.clone(), texts(who, str::to_owned)));
            Value::Object(kinds.collect())
        }
        anyone => Value::Object([("AWS".to_owned(), texts(anyone, str::to_owned))].into_iter().collect()),
    }
}

fn condition(value: &Value) -> Value {
    let operators = value.as_object().into_iter().flatten().map(|(operator, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        let keys = keys.map(|(key, values)| (key.to_lowercase(), texts(values, str::to_owned)));
        (operator.to_lowercase(), Value::Object(keys.collect()))
    });
    Value::Object(operators.collect())
}

/// A text or a list of texts, numbers and booleans, as a sorted list of texts without doubles.
fn texts(value: &Value, form: impl Fn(&str) -> String) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => form(text),
        other => other.to_string(),
    };
    let sorted: BTreeSet<String> = as_list(value).iter().map(text).collect();
    sorted.into_iter().collect()
}

fn as_list(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::difference;

    fn document(statements: &Value) -> Value {
        json!({"Version": "2012-10-17", "Statement": statements})
    }

    fn shipped() -> Value {
        document(&json!([
            {"Sid": "A", "Effect": "Allow", "Principal": "*", "Action": ["s3:PutObject", "s3:ListBucket"],
             "Resource": "arn:x", "Condition": {"Null": {"s3:if-none-match": "true"}}},
            {"Sid": "B", "Effect": "Deny", "Action": "s3:*", "Resource": ["b", "a"]},
        ]))
    }

    #[test]
    fn the_same_in_other_words_is_no_difference() {
        let other = document(&json!([
            {"Effect": "Deny", "Sid": "renamed", "Action": ["S3:*"], "Resource": ["a", "b"]},
            {"Sid": "A", "Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:listbucket", "s3:PutObject"],
             "Resource": ["arn:x"], "Condition": {"null": {"S3:If-None-Match": [true]}}},
        ]));
        assert_eq!(difference(&shipped(), &other), None);
        let alone = document(&shipped()["Statement"][1]);
        assert_eq!(difference(&alone, &document(&json!([shipped()["Statement"][1]]))), None);
    }

    #[test]
    fn every_other_meaning_is_a_difference_that_names_its_statement() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 8] = [
            ("statement B is missing", |it| {
                it["Statement"].as_array_mut().unwrap().pop();
            }),
            ("statement without a Sid besides", |it| {
                let more = json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"});
                it["Statement"].as_array_mut().unwrap().push(more);
            }),
            ("statement A with its Action", |it| it["Statement"][0]["Action"] = json!("s3:PutObject")),
            ("statement A with its Effect", |it| it["Statement"][0]["Effect"] = json!("Deny")),
            ("statement A with its Principal", |it| {
                it["Statement"][0]["Principal"] = json!({"AWS": "arn:y"});
            }),
            ("statement A with its Condition none", |it| {
                it["Statement"][0].as_object_mut().unwrap().remove("Condition");
            }),
            ("statement A with its Condition", |it| {
                it["Statement"][0]["Condition"] = json!({"Null": {"s3:if-none-match": "false"}});
            }),
            ("statement B with its NotAction", |it| {
                it["Statement"][1] = json!({"Sid": "B", "Effect": "Deny", "Action": "s3:*", "NotAction": "s3:Get*",
                    "Resource": ["a", "b"]});
            }),
        ];
        for (said, change) in cases {
            let mut other = shipped();
            change(&mut other);
            let told = difference(&shipped(), &other).unwrap_or_default();
            assert!(told.contains(said), "{told:?} does not say {said:?}");
        }
    }
}
