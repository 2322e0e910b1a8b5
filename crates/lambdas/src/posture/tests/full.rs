//! A stack with every option: both keys, a CA and checks of its own, roles for an operator without a key. And ways in
//! which somebody could break what it has besides.

use drawbridge_protocol::posture::Name;
use serde_json::{Value, json};

use super::{
    account::{self, Standing},
    flips::{Flip, anyone_may},
};
use crate::posture::{Shipped, Thing};

const BACKUP_KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/backup";
const RECEIPT_KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/receipt";
const ISSUER: &str = "oidc.eks.us-east-1.amazonaws.com/id/ABC";
const CA: &str = "-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n";
const CHECKS: &str = "tar_setuid=reject";

pub(super) fn environment(name: &str) -> Option<String> {
    let value = match name {
        "DRAWBRIDGE_PARAM_EncryptionKey" | "DRAWBRIDGE_PARAM_ReceiptKey" => "yes",
        "DRAWBRIDGE_NAME_BackupKeyArn" | "DRAWBRIDGE_NAME_BackupKeyOrNone" => BACKUP_KEY,
        "DRAWBRIDGE_NAME_ReceiptKey" => RECEIPT_KEY,
        "DRAWBRIDGE_NAME_Encryption" => "aws:kms",
        "DRAWBRIDGE_PARAM_OidcIssuer" => ISSUER,
        "DRAWBRIDGE_PARAM_EksCluster" => "eks",
        "DRAWBRIDGE_PARAM_Checks" => CHECKS,
        "DRAWBRIDGE_EXTRA_CA" => CA,
        "DRAWBRIDGE_OMITTED" => ",",
        other => return account::environment(other),
    };
    Some(value.to_owned())
}

pub(super) fn shipped() -> Shipped {
    Shipped::read(&environment).unwrap()
}

fn pod_role(shipped: &Shipped) -> String {
    format!("{}-pod", shipped.names.operator)
}

/// An account as the template leaves it.
pub(super) fn as_shipped(shipped: &Shipped) -> Standing {
    let names = &shipped.names;
    let mut standing = account::as_shipped(shipped);
    let things = &mut standing.things;
    let encryption = json!({"Algorithm": "aws:kms", "Key": BACKUP_KEY});
    things.insert(Thing::Encryption(names.backup_bucket.clone()), encryption);
    let of_cleanup = [&names.cleanup_function, &names.marker_function, &names.sweep_function];
    for function in of_cleanup.into_iter().chain([&names.create_function]) {
        let found = things.get_mut(&Thing::Function(function.clone())).unwrap();
        found["Variables"]["DRAWBRIDGE_EXTRA_CA"] = json!(CA);
    }
    let create = things.get_mut(&Thing::Function(names.create_function.clone())).unwrap();
    create["Variables"]["DRAWBRIDGE_CHECKS"] = json!(CHECKS);
    create["Variables"]["DRAWBRIDGE_RECEIPT_KEY_ARN"] = json!(RECEIPT_KEY);

    for (arn, usage, policy) in [
        (BACKUP_KEY, "ENCRYPT_DECRYPT", include_str!("../../../../../infra/policies/backup-key.json")),
        (RECEIPT_KEY, "SIGN_VERIFY", include_str!("../../../../../infra/policies/receipt-key.json")),
    ] {
        let key = json!({"State": "Enabled", "Usage": usage, "Policy": filled(policy)});
        things.insert(Thing::Key(arn.to_owned()), key);
    }
    for (role, trust) in [
        (names.operator.clone(), include_str!("../../../../../infra/policies/operator-web-identity.json")),
        (pod_role(shipped), include_str!("../../../../../infra/policies/operator-pod-identity.json")),
    ] {
        let found = json!({"Trust": filled(trust), "Inline": {}, "Attached": [names.operator_policy_arn()]});
        things.insert(Thing::Role(role), found);
    }
    standing
}

/// A policy file with this stack's names in it.
fn filled(source: &str) -> Value {
    let values = [
        ("Partition", "aws"),
        ("Region", "us-east-1"),
        ("Account", "000000000000"),
        ("CreateRole", "drawbridge-demo-create"),
        ("BreakGlass", "none"),
        ("Deployer", "none"),
        ("OidcIssuer", ISSUER),
        ("EksCluster", "eks"),
        ("OperatorNamespace", "drawbridge-system"),
        ("OperatorAccount", "drawbridge"),
    ];
    let text = values
        .iter()
        .fold(source.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    assert!(!text.contains("${"), "a name was left: {text}");
    serde_json::from_str(&text).unwrap()
}

#[allow(clippy::too_many_lines, reason = "a table")]
pub(super) fn flips() -> Vec<Flip> {
    let shipped = shipped();
    let names = &shipped.names;
    let create = || Thing::Function(names.create_function.clone());
    let key = |arn: &str| Thing::Key(arn.to_owned());
    let role = || Thing::Role(names.operator.clone());
    let of_pods = || Thing::Role(pod_role(&shipped));
    vec![
        (key(RECEIPT_KEY), |it| it["State"] = json!("Disabled"), &[Name::Key], "key/receipt to be Enabled"),
        (key(BACKUP_KEY), |it| it["State"] = json!("PendingDeletion"), &[Name::Key], "PendingDeletion"),
        (key(RECEIPT_KEY), |it| anyone_may(&mut it["Policy"]), &[Name::Key], "statement Anyone besides"),
        (
            key(RECEIPT_KEY),
            |it| it["Policy"]["Statement"][1]["Condition"] = json!({}),
            &[Name::Key],
            "statement CreateSigns with its Condition",
        ),
        (
            key(BACKUP_KEY),
            |it| it["Policy"]["Statement"].as_array_mut().unwrap().truncate(2),
            &[Name::Key],
            "statement OnlyTheStackChanges is missing",
        ),
        (
            key(BACKUP_KEY),
            |it| it["Policy"]["Statement"][1]["Action"] = json!("kms:DisableKey"),
            &[Name::Key],
            "statement OnlyBreakGlassEnds with its Action",
        ),
        (
            role(),
            administers,
            &[Name::OperatorPolicy],
            "found with arn:aws:iam::aws:policy/AdministratorAccess",
        ),
        (
            role(),
            |it| it["Attached"] = json!([]),
            &[Name::OperatorPolicy],
            "found without arn:aws:iam::000000000000:policy/drawbridge-demo-operator",
        ),
        (role(), inline, &[Name::OperatorPolicy], "demo-operator to have no inline policy; found more"),
        (
            role(),
            |it| {
                let only = &mut it["Trust"]["Statement"][0]["Condition"]["StringEquals"];
                only.as_object_mut().unwrap().remove(&format!("{ISSUER}:sub"));
            },
            &[Name::OperatorPolicy],
            "statement TheOperatorsAccount with its Condition",
        ),
        (of_pods(), administers, &[Name::OperatorPolicy], "AdministratorAccess"),
        (of_pods(), inline, &[Name::OperatorPolicy], "demo-operator-pod to have no inline policy"),
        (
            of_pods(),
            |it| anyone_may(&mut it["Trust"]),
            &[Name::OperatorPolicy],
            "role drawbridge-demo-operator-pod to trust whom it was shipped to trust",
        ),
        (
            create(),
            |it| taken_away(it, "DRAWBRIDGE_RECEIPT_KEY_ARN"),
            &[Name::CreateSettings],
            "key/receipt; found no such variable",
        ),
        (
            create(),
            |it| it["Variables"]["DRAWBRIDGE_EXTRA_CA"] = json!("a thief's"),
            &[Name::CreateSettings],
            "found a thief's",
        ),
        (
            create(),
            |it| it["Variables"]["DRAWBRIDGE_CHECKS"] = json!("all=off"),
            &[Name::CreateSettings],
            "to be tar_setuid=reject; found all=off",
        ),
        (
            create(),
            |it| taken_away(it, "DRAWBRIDGE_MAX_BOXES"),
            &[Name::CreateSettings],
            "to be set; found no such variable",
        ),
        (
            Thing::Function(names.cleanup_function.clone()),
            |it| taken_away(it, "DRAWBRIDGE_SERVES"),
            &[Name::CleanupSettings],
            "to be requests; found no such variable",
        ),
    ]
}

fn administers(role: &mut Value) {
    role["Attached"].as_array_mut().unwrap().push(json!("arn:aws:iam::aws:policy/AdministratorAccess"));
}

fn inline(role: &mut Value) {
    role["Inline"]["more"] = json!({});
}

fn taken_away(function: &mut Value, variable: &str) {
    function["Variables"].as_object_mut().unwrap().remove(variable);
}
