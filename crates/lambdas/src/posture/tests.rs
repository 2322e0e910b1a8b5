#![allow(clippy::unwrap_used, clippy::panic)]
//! Every guarantee, once as it was shipped and once for each way in which somebody could break it.

mod account;

use std::{collections::BTreeMap, sync::Arc};

use drawbridge_protocol::posture::{GuaranteeState, Name};
use serde_json::{Value, json};

use super::{Checker, Shipped, Thing, Unseen};
use account::{Standing, as_shipped, environment, now};

fn shipped() -> Shipped {
    Shipped::read(&environment).unwrap()
}

async fn states(standing: Standing) -> BTreeMap<String, (GuaranteeState, String)> {
    let checker = Checker { shipped: shipped(), account: Arc::new(standing) };
    let posture = checker.check(now()).await.unwrap();
    posture.guarantees.into_iter().map(|one| (one.id, (one.state, one.message))).collect()
}

#[tokio::test]
async fn a_stack_as_it_was_shipped_holds_in_every_respect() {
    for (id, (state, message)) in states(as_shipped(&shipped())).await {
        assert_eq!(state, GuaranteeState::Holds, "{id}: {message}");
    }
}

#[tokio::test]
async fn a_stack_without_a_key_says_nothing_of_one() {
    let shipped = Shipped { key: None, ..shipped() };
    let account = Arc::new(as_shipped(&shipped));
    let posture = Checker { shipped, account }.check(now()).await.unwrap();
    assert_eq!(posture.guarantees.len(), Name::ALL.len() - 1);
    assert!(posture.guarantees.iter().all(|one| one.id != "key"));
}

/// The thing, what is done to it, the one guarantee that breaks, words of its message.
type Flip = (Thing, fn(&mut Value), &'static [Name], &'static str);

fn flips() -> Vec<Flip> {
    let names = shipped().names;
    let bucket = || names.backup_bucket.clone();
    let state = || names.state_bucket.clone();
    let create = || Thing::Function(names.create_function.clone());
    let cleanup = || Thing::Function(names.cleanup_function.clone());
    let endpoints = || Thing::Endpoints(names.vpc.clone());
    let table = |subnet: &String| Thing::RouteTable(subnet.clone());
    let boxes = || Thing::Boxes(names.stack.clone());
    let user = || Thing::User(names.operator.clone());
    vec![
        (Thing::BucketPolicy(bucket()), without_a_statement, &[Name::BackupPolicy], "statement OnlyTheBoxPuts is missing"),
        (Thing::BucketPolicy(state()), anyone_may, &[Name::StatePolicy], "statement Anyone besides"),
        (Thing::PublicAccess(bucket()), |it| it["BlockPublicPolicy"] = json!(false), &[Name::BackupPublicAccess], "BlockPublicPolicy"),
        (Thing::PublicAccess(state()), |it| it["IgnorePublicAcls"] = Value::Null, &[Name::StatePublicAccess], "IgnorePublicAcls"),
        (Thing::Ownership(bucket()), |it| *it = json!("ObjectWriter"), &[Name::BackupOwnership], "ObjectWriter"),
        (Thing::Encryption(bucket()), |it| it["Algorithm"] = json!("none"), &[Name::BackupEncryption], "AES256"),
        (Thing::Encryption(state()), |it| it["Key"] = json!("arn:aws:kms:another"), &[Name::StateEncryption], "another"),
        (Thing::Lock(bucket()), |it| it["Versioning"] = json!("Enabled"), &[Name::BackupLock], "Enabled"),
        (Thing::Lifecycle(bucket()), expires, &[Name::BackupLifecycle], "with {"),
        (Thing::Lifecycle(bucket()), |it| it[0]["Enabled"] = json!(false), &[Name::BackupLifecycle], "unfinished"),
        (endpoints(), |it| it[0]["Policy"] = json!({"Statement": []}), &[Name::EndpointPolicy], "is missing"),
        (endpoints(), |it| it[0]["Tables"] = json!(["rtb-private", "rtb-public"]), &[Name::EndpointRoutes], "rtb-public"),
        (endpoints(), |it| it[0]["State"] = json!("pending"), &[Name::EndpointRoutes], "pending"),
        (endpoints(), another_endpoint, &[Name::EndpointRoutes], "vpce-other"),
        (table(&names.private_subnet), to_the_internet, &[Name::PrivateRoutes], "0.0.0.0/0"),
        (table(&names.private_subnet), |it| it["Routes"].as_array_mut().unwrap().truncate(1), &[Name::PrivateRoutes], "found none"),
        (table(&names.public_subnet), |it| it["Routes"][1]["Via"] = json!("nat-1"), &[Name::PublicRoutes], "nat-1"),
        (table(&names.public_subnet), |it| it["Routes"].as_array_mut().unwrap().truncate(1), &[Name::PublicRoutes], "found none"),
        (Thing::Acl(names.private_subnet.clone()), |it| it[0]["Protocol"] = json!("-1"), &[Name::PrivateAcl], "with {"),
        (Thing::Acl(names.private_subnet.clone()), |it| it.as_array_mut().unwrap().truncate(1), &[Name::PrivateAcl], "without {"),
        (Thing::Group(names.private_group.clone()), |it| it["In"] = it["Out"].clone(), &[Name::PrivateGroup], "security group"),
        (boxes(), |it| it[0]["Tokens"] = json!("optional"), &[Name::Boxes], "optional"),
        (boxes(), |it| it[0]["Hops"] = json!(2), &[Name::Boxes], "Hops"),
        (boxes(), |it| it[0]["KeyPair"] = json!("mine"), &[Name::Boxes], "mine"),
        (boxes(), |it| it[0]["Groups"][0]["Out"] = json!([{"Protocol": "-1"}]), &[Name::Boxes], "the group of box"),
        (boxes(), |it| it[0]["Groups"][0]["In"][0]["With"] = json!(["0.0.0.0/0"]), &[Name::Boxes], "0.0.0.0/0"),
        (user(), |it| it["Attached"].as_array_mut().unwrap().push(json!("arn:aws:iam::aws:policy/ReadOnlyAccess")), &[Name::OperatorPolicy], "ReadOnlyAccess"),
        (user(), |it| it["Groups"] = json!(["admins"]), &[Name::OperatorPolicy], "admins"),
        (user(), |it| it["Inline"] = json!(["more"]), &[Name::OperatorPolicy], "more"),
        (Thing::ManagedPolicy(names.operator_policy_arn()), anyone_may, &[Name::OperatorPolicy], "besides"),
        (Thing::Role(names.create_role.clone()), |it| it["Attached"] = json!(["arn:aws:iam::aws:policy/AdministratorAccess"]), &[Name::CreateRole], "AdministratorAccess"),
        (Thing::Role(names.cleanup_role.clone()), |it| without_a_statement(&mut it["Inline"]["cleanup"]), &[Name::CleanupRole], "ReadState is missing"),
        (Thing::Role(names.posture_role.clone()), |it| anyone_may(&mut it["Inline"]["posture"]), &[Name::PostureRole], "besides"),
        (Thing::Role(names.box_role.clone()), |it| it["Trust"]["Statement"][0]["Principal"] = json!({"AWS": "*"}), &[Name::BoxRole], "to trust whom it was shipped to trust"),
        (Thing::Role(names.box_role.clone()), |it| it["Inline"]["more"] = json!({}), &[Name::BoxRole], "more besides"),
        (Thing::Profile(names.instance_profile.clone()), |it| *it = json!(["another"]), &[Name::BoxRole], "another"),
        (create(), |it| it["Code"] = json!("other"), &[Name::CreateCode], "UpdateFunctionCode"),
        (cleanup(), |it| it["Code"] = json!("other"), &[Name::CleanupCode], "UpdateFunctionCode"),
        (create(), |it| it["Variables"]["LD_PRELOAD"] = json!("/tmp/x.so"), &[Name::CreateSettings], "LD_PRELOAD"),
        (create(), |it| it["Variables"]["DRAWBRIDGE_CLIENT_CIDRS"] = json!("0.0.0.0/0"), &[Name::CreateSettings], "0.0.0.0/0"),
        (create(), |it| it["Layers"] = json!(["arn:layer"]), &[Name::CreateSettings], "arn:layer"),
        (cleanup(), |it| it["Role"] = json!("arn:aws:iam::1:role/admin"), &[Name::CleanupSettings], "role/admin"),
        (cleanup(), |it| it["Variables"]["DRAWBRIDGE_STATE_BUCKET"] = json!("theirs"), &[Name::CleanupSettings], "theirs"),
        (Thing::Invokers(names.cleanup_function.clone()), anyone_may, &[Name::Invokers], "besides"),
        (Thing::Rule(names.sweep_rule.clone()), |it| it["State"] = json!("DISABLED"), &[Name::SweepRule], "DISABLED"),
        (Thing::Rule(names.sweep_rule.clone()), |it| it["Schedule"] = json!("rate(7 days)"), &[Name::SweepRule], "7 days"),
        (Thing::Rule(names.sweep_rule.clone()), |it| it["Targets"] = json!([]), &[Name::SweepRule], "targets"),
        (create(), |it| it["Variables"]["DRAWBRIDGE_MORE"] = json!("1"), &[Name::CreateSettings], "no such variable"),
        (Thing::LastSweep(state()), |it| *it = json!("2026-11-21T09:00:00Z"), &[Name::Sweeper], "the last at 2026-11-21T09:00:00Z"),
        (Thing::Rule(names.ended_rule.clone()), |it| it["Pattern"]["detail"]["state"] = json!(["pending"]), &[Name::EndedRule], "pattern"),
        (Thing::Notifications(bucket()), |it| *it = json!([]), &[Name::EndedMarker], "clusters/demo/ended/"),
        (create(), |it| it["Variables"]["DRAWBRIDGE_MAX_BOXES"] = json!("0"), &[Name::Started], "stopped on purpose"),
        (Thing::Key(account::KEY.to_owned()), |it| it["State"] = json!("PendingDeletion"), &[Name::Key], "cancel its deletion"),
    ]
}

fn without_a_statement(document: &mut Value) {
    document["Statement"].as_array_mut().unwrap().remove(0);
}

fn anyone_may(document: &mut Value) {
    let more = json!({"Sid": "Anyone", "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"});
    document["Statement"].as_array_mut().unwrap().push(more);
}

fn expires(rules: &mut Value) {
    let rule = json!({"Id": "x", "Enabled": true, "Prefix": "", "Expires": 1, "NoncurrentExpires": null, "Markers": false,
        "AbortsAfter": null});
    rules.as_array_mut().unwrap().push(rule);
}

fn another_endpoint(endpoints: &mut Value) {
    let other = json!({"Id": "vpce-other", "Type": "Interface", "Service": "com.amazonaws.us-east-1.ssm"});
    endpoints.as_array_mut().unwrap().push(other);
}

fn to_the_internet(table: &mut Value) {
    table["Routes"].as_array_mut().unwrap().push(json!({"To": "0.0.0.0/0", "Via": "igw-1"}));
}

#[tokio::test]
async fn each_flip_breaks_its_guarantee_and_no_other() {
    for (thing, change, broken, words) in flips() {
        let mut standing = as_shipped(&shipped());
        change(standing.things.get_mut(&thing).unwrap_or_else(|| panic!("nothing stands for {thing}")));
        for (id, (state, message)) in states(standing).await {
            let expected = match broken.iter().any(|name| name.id() == id) {
                true => GuaranteeState::Broken,
                false => GuaranteeState::Holds,
            };
            assert_eq!(state, expected, "{thing}: {id}: {message}");
            if expected == GuaranteeState::Broken {
                assert!(message.contains(words), "{thing}: {message:?} does not say {words:?}");
            }
        }
    }
}

#[test]
fn every_guarantee_is_flipped() {
    let flipped: Vec<Name> = flips().into_iter().flat_map(|(_, _, names, _)| names.to_vec()).collect();
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
    let function = Thing::Function(names.cleanup_function);
    young.things.get_mut(&function).unwrap()["Modified"] = json!("2026-11-21T10:00:00.000Z");
    assert_eq!(states(young).await["sweeper"].0, GuaranteeState::Holds);
}

#[tokio::test]
async fn what_the_template_did_not_hand_over_is_unknown() {
    let without = |name: &str| (name != "DRAWBRIDGE_PARAM_S3Port").then(|| environment(name)).flatten();
    let account = Arc::new(as_shipped(&shipped()));
    let checker = Checker { shipped: Shipped::read(&without).unwrap(), account };
    for guarantee in checker.check(now()).await.unwrap().guarantees {
        let untold = ["private-acl", "private-group"].contains(&guarantee.id.as_str());
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
    // As Lambda counts: names and values, at most 4 KiB. Values are counted at their longest.
    let longest = |name: &String| name.len() + if name.starts_with("DRAWBRIDGE_NAME_") { 64 } else { 128 };
    let bytes: usize = variables.as_object().unwrap().keys().map(longest).sum();
    assert!(bytes < 4_096, "{bytes} bytes of variables");
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
