#![allow(clippy::unwrap_used, clippy::panic)]
//! Every guarantee, once as it was shipped and once for each way in which somebody could break it.

mod account;
mod flips;
mod full;

use std::{collections::BTreeMap, sync::Arc};

use drawbridge_protocol::posture::{GuaranteeState, Name};
use serde_json::{Value, json};

use super::{Checker, Shipped, Thing, Unseen};
use account::{Standing, as_shipped, environment, now};
use flips::{Flip, flips};

fn shipped() -> Shipped {
    Shipped::read(&environment).unwrap()
}

/// Each guarantee's state and message, by its id.
type States = BTreeMap<String, (GuaranteeState, String)>;

async fn states(standing: Standing) -> States {
    states_of(shipped(), standing).await
}

async fn states_of(shipped: Shipped, standing: Standing) -> States {
    let checker = Checker { shipped, account: Arc::new(standing) };
    let posture = checker.check(now()).await.unwrap();
    posture.guarantees.into_iter().map(|one| (one.id, (one.state, one.message))).collect()
}

/// A stack with no option and one with every: what was shipped, how it stands, how it can be broken.
fn stacks() -> [(Shipped, Standing, Vec<Flip>); 2] {
    let (plain, full) = (shipped(), full::shipped());
    let stands = (as_shipped(&plain), full::as_shipped(&full));
    [(plain, stands.0, flips()), (full, stands.1, full::flips())]
}

#[tokio::test]
async fn a_stack_as_it_was_shipped_holds_in_every_respect() {
    for (shipped, standing, _) in stacks() {
        for (id, (state, message)) in states_of(shipped, standing).await {
            assert_eq!(state, GuaranteeState::Holds, "{id}: {message}");
        }
    }
}

#[tokio::test]
async fn a_stack_without_a_key_says_nothing_of_one() {
    let [plain, full] = stacks();
    assert!(!states_of(plain.0, plain.1).await.contains_key("key"));
    assert!(states_of(full.0, full.1).await.contains_key("key"), "the other has two");
}

#[tokio::test]
async fn each_flip_breaks_its_guarantee_and_no_other() {
    for (shipped, standing, flips) in stacks() {
        for (thing, change, broken, words) in flips {
            let mut standing = standing.clone();
            change(standing.things.get_mut(&thing).unwrap_or_else(|| panic!("nothing stands for {thing}")));
            for (id, (state, message)) in states_of(shipped.clone(), standing).await {
                let expected = if broken.iter().any(|name| name.id() == id) {
                    GuaranteeState::Broken
                } else {
                    GuaranteeState::Holds
                };
                assert_eq!(state, expected, "{thing}: {id}: {message}");
                if expected == GuaranteeState::Broken {
                    assert!(message.contains(words), "{thing}: {message:?} does not say {words:?}");
                }
            }
        }
    }
}

#[test]
fn every_guarantee_is_flipped() {
    let flips = stacks().into_iter().flat_map(|(_, _, flips)| flips);
    let flipped: Vec<Name> = flips.flat_map(|(_, _, names, _)| names.to_vec()).collect();
    for name in Name::ALL {
        assert!(flipped.contains(name), "{} has no case", name.id());
    }
}

#[tokio::test]
async fn what_is_gone_breaks_and_what_cannot_be_read_is_unknown() {
    let bucket = shipped().names.backup_bucket;
    let mut gone = as_shipped(&shipped());
    gone.things.remove(&Thing::BucketPolicy(bucket.clone()));
    let (state, message) = states(gone).await.remove("backup-bucket-policy").unwrap();
    assert_eq!(state, GuaranteeState::Broken);
    assert!(message.contains("expected a policy on bucket"), "{message}");

    let mut hidden = as_shipped(&shipped());
    let why = Unseen { action: "s3:GetBucketPolicy", why: "AccessDenied: no".to_owned() };
    hidden.unseen.insert(Thing::BucketPolicy(bucket), why);
    let all = states(hidden).await;
    let (state, message) = &all["backup-bucket-policy"];
    assert_eq!(*state, GuaranteeState::Unknown);
    assert!(message.contains("s3:GetBucketPolicy failed: AccessDenied"), "{message}");
    assert_eq!(all["state-bucket-policy"].0, GuaranteeState::Holds);
}

#[tokio::test]
async fn a_stack_of_a_moment_ago_needs_no_sweep_yet() {
    let names = shipped().names;
    let mut young = as_shipped(&shipped());
    young.things.remove(&Thing::LastSweep(names.state_bucket.clone()));
    assert_eq!(states(young.clone()).await["sweeper"].0, GuaranteeState::Broken, "deployed a day ago");
    let function = Thing::Function(names.sweep_function);
    young.things.get_mut(&function).unwrap()["Modified"] = json!("2026-11-21T10:00:00.000Z");
    assert_eq!(states(young).await["sweeper"].0, GuaranteeState::Holds);
}

#[tokio::test]
async fn what_the_template_did_not_hand_over_is_unknown() {
    let without = |name: &str| (name != "DRAWBRIDGE_PARAM_VpcCidr").then(|| environment(name)).flatten();
    let account = Arc::new(as_shipped(&shipped()));
    let checker = Checker { shipped: Shipped::read(&without).unwrap(), account };
    for guarantee in checker.check(now()).await.unwrap().guarantees {
        let untold = guarantee.id == "private-acl";
        let expected = if untold { GuaranteeState::Unknown } else { GuaranteeState::Holds };
        assert_eq!(guarantee.state, expected, "{}: {}", guarantee.id, guarantee.message);
    }
}

#[test]
fn every_name_of_the_policy_files_is_handed_over_by_the_template() {
    let template = include_str!("../../../../infra/drawbridge.template.json");
    let template: Value = serde_json::from_str(template).unwrap();
    let variables = &template["Resources"]["PostureFunction"]["Properties"]["Environment"]["Variables"];
    let given = |name: &str| variables.get(name).map(|_| "1".to_owned());
    let shipped = Shipped::read(&given).unwrap();
    assert!(!shipped.policy("create").to_string().contains("${"), "a name was left");
    // As Lambda counts: names and values, at most 4 KiB. Values are counted as a stack with long names has them; the rest
    // is left for a CA of one's own.
    let names = variables.as_object().unwrap().keys();
    let bytes: usize = names.map(|name| name.len() + 32).sum();
    assert!(bytes < 4_096 - 700, "{bytes} bytes of variables");
}

#[test]
fn a_statement_that_the_stack_leaves_out_is_not_expected() {
    let sids = |shipped: &Shipped| {
        let all = shipped.policy("backup-bucket")["Statement"].as_array().unwrap().clone();
        all.into_iter().map(|statement| statement["Sid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let omitting = |name: &str| match name {
        "DRAWBRIDGE_OMITTED" => Some(",backup-bucket/OnlyTls".to_owned()),
        other => environment(other),
    };
    assert!(sids(&shipped()).contains(&"OnlyTls".to_owned()));
    assert!(!sids(&Shipped::read(&omitting).unwrap()).contains(&"OnlyTls".to_owned()));
}

#[test]
fn a_variable_that_is_missing_is_named() {
    for missing in ["DRAWBRIDGE_NAME_Vpc", "DRAWBRIDGE_CREATE_CODE_SHA256", "DRAWBRIDGE_CLIENT_CIDRS"] {
        let without = |name: &str| (name != missing).then(|| environment(name)).flatten();
        let error = Shipped::read(&without).unwrap_err().to_string();
        assert!(error.contains(missing), "{error}");
    }
}

#[tokio::test]
async fn an_administrator_s_stop_is_seen() {
    let mut stopped = as_shipped(&shipped());
    stopped.things.insert(Thing::Stop(shipped().names.state_bucket), json!("switch/stop"));
    let all = states(stopped).await;
    assert_eq!(all["started"].0, GuaranteeState::Broken);
    assert!(all["started"].1.contains("found switch/stop"), "{}", all["started"].1);
}

#[test]
fn the_document_lists_every_guarantee_as_it_is() {
    let document = include_str!("../../../../docs/posture.md");
    for name in Name::ALL {
        let required = if name.is_required() { "yes" } else { "" };
        let row = format!("| `{}` | {required} | {} |", name.id(), name.says());
        assert!(document.contains(&row), "docs/posture.md has no row {row}");
    }
}
