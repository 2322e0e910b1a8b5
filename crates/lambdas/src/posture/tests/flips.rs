//! Ways in which somebody could break what was shipped.

use drawbridge_protocol::posture::Name;
use serde_json::{Value, json};

use super::shipped;
use crate::posture::Thing;

/// The thing, what is done to it, the one guarantee that breaks, words of its message.
pub(super) type Flip = (Thing, fn(&mut Value), &'static [Name], &'static str);

#[allow(clippy::too_many_lines, reason = "a table")]
pub(super) fn flips() -> Vec<Flip> {
    let names = shipped().names;
    let bucket = || names.backup_bucket.clone();
    let state = || names.state_bucket.clone();
    let create = || Thing::Function(names.create_function.clone());
    let cleanup = || Thing::Function(names.cleanup_function.clone());
    let sweep = || Thing::Function(names.sweep_function.clone());
    let marker = || Thing::Function(names.marker_function.clone());
    let endpoints = || Thing::Endpoints(names.vpc.clone());
    let table = |subnet: &String| Thing::RouteTable(subnet.clone());
    let boxes = || Thing::Boxes(names.stack.clone());
    let user = || Thing::User(names.operator.clone());
    vec![
        (
            Thing::BucketPolicy(bucket()),
            without_a_statement,
            &[Name::BackupPolicy],
            "statement OnlyTheBoxPuts is missing",
        ),
        (Thing::BucketPolicy(state()), anyone_may, &[Name::StatePolicy], "statement Anyone besides"),
        (
            Thing::PublicAccess(bucket()),
            |it| it["BlockPublicPolicy"] = json!(false),
            &[Name::BackupPublicAccess],
            "BlockPublicPolicy",
        ),
        (
            Thing::PublicAccess(state()),
            |it| it["IgnorePublicAcls"] = Value::Null,
            &[Name::StatePublicAccess],
            "IgnorePublicAcls",
        ),
        (
            Thing::Ownership(bucket()),
            |it| *it = json!("ObjectWriter"),
            &[Name::BackupOwnership],
            "ObjectWriter",
        ),
        (
            Thing::Encryption(bucket()),
            |it| it["Algorithm"] = json!("none"),
            &[Name::BackupEncryption],
            "AES256",
        ),
        (
            Thing::Encryption(state()),
            |it| it["Key"] = json!("arn:aws:kms:another"),
            &[Name::StateEncryption],
            "another",
        ),
        (Thing::Lock(bucket()), |it| it["Versioning"] = json!("Enabled"), &[Name::BackupLock], "Enabled"),
        (Thing::Lifecycle(bucket()), expires, &[Name::BackupLifecycle], "with {"),
        (
            Thing::Lifecycle(bucket()),
            |it| it[0]["Enabled"] = json!(false),
            &[Name::BackupLifecycle],
            "unfinished",
        ),
        (endpoints(), |it| it[0]["Policy"] = json!({"Statement": []}), &[Name::EndpointPolicy], "is missing"),
        (
            endpoints(),
            |it| it[0]["Tables"] = json!(["rtb-private", "rtb-public"]),
            &[Name::EndpointRoutes],
            "rtb-public",
        ),
        (endpoints(), |it| it[0]["State"] = json!("pending"), &[Name::EndpointRoutes], "pending"),
        (endpoints(), another_endpoint, &[Name::EndpointRoutes], "vpce-other"),
        (table(&names.private_subnet), to_the_internet, &[Name::PrivateRoutes], "0.0.0.0/0"),
        (
            table(&names.private_subnet),
            |it| it["Routes"].as_array_mut().unwrap().truncate(1),
            &[Name::PrivateRoutes],
            "found none",
        ),
        (
            table(&names.public_subnet),
            |it| it["Routes"][1]["Via"] = json!("nat-1"),
            &[Name::PublicRoutes],
            "nat-1",
        ),
        (
            table(&names.public_subnet),
            |it| it["Routes"].as_array_mut().unwrap().truncate(1),
            &[Name::PublicRoutes],
            "found none",
        ),
        (
            Thing::Acl(names.private_subnet.clone()),
            |it| it[0]["Protocol"] = json!("-1"),
            &[Name::PrivateAcl],
            "with {",
        ),
        (
            Thing::Acl(names.private_subnet.clone()),
            |it| it.as_array_mut().unwrap().truncate(1),
            &[Name::PrivateAcl],
            "without {",
        ),
        (
            Thing::Group(names.private_group.clone()),
            |it| it["In"] = it["Out"].clone(),
            &[Name::PrivateGroup],
            "security group",
        ),
        (boxes(), |it| it[0]["Tokens"] = json!("optional"), &[Name::Boxes], "optional"),
        (boxes(), |it| it[0]["Hops"] = json!(2), &[Name::Boxes], "Hops"),
        (boxes(), |it| it[0]["KeyPair"] = json!("mine"), &[Name::Boxes], "mine"),
        (
            boxes(),
            |it| it[0]["Groups"][0]["Out"] = json!([{"Protocol": "-1"}]),
            &[Name::Boxes],
            "the group of box",
        ),
        (
            boxes(),
            |it| it[0]["Groups"][0]["In"][0]["With"] = json!(["0.0.0.0/0"]),
            &[Name::Boxes],
            "0.0.0.0/0",
        ),
        (
            user(),
            |it| it["Attached"].as_array_mut().unwrap().push(json!("arn:aws:iam::aws:policy/ReadOnlyAccess")),
            &[Name::OperatorPolicy],
            "ReadOnlyAccess",
        ),
        (user(), |it| it["Groups"] = json!(["admins"]), &[Name::OperatorPolicy], "admins"),
        (user(), |it| it["Inline"] = json!(["more"]), &[Name::OperatorPolicy], "more"),
        (Thing::ManagedPolicy(names.operator_policy_arn()), anyone_may, &[Name::OperatorPolicy], "besides"),
        (
            Thing::Role(names.create_role.clone()),
            |it| it["Attached"] = json!(["arn:aws:iam::aws:policy/AdministratorAccess"]),
            &[Name::CreateRole],
            "AdministratorAccess",
        ),
        (
            Thing::Role(names.cleanup_role.clone()),
            |it| without_a_statement(&mut it["Inline"]["cleanup"]),
            &[Name::CleanupRole],
            "ReadState is missing",
        ),
        (
            Thing::Role(names.posture_role.clone()),
            |it| anyone_may(&mut it["Inline"]["posture"]),
            &[Name::PostureRole],
            "besides",
        ),
        (
            Thing::Role(names.box_role.clone()),
            |it| it["Trust"]["Statement"][0]["Principal"] = json!({"AWS": "*"}),
            &[Name::BoxRole],
            "to trust whom it was shipped to trust",
        ),
        (
            Thing::Role(names.box_role.clone()),
            |it| it["Inline"]["more"] = json!({}),
            &[Name::BoxRole],
            "more besides",
        ),
        (
            Thing::Profile(names.instance_profile.clone()),
            |it| *it = json!(["another"]),
            &[Name::BoxRole],
            "another",
        ),
        (create(), |it| it["Code"] = json!("other"), &[Name::CreateCode], "UpdateFunctionCode"),
        (cleanup(), |it| it["Code"] = json!("other"), &[Name::CleanupCode], "UpdateFunctionCode"),
        (sweep(), |it| it["Code"] = json!("other"), &[Name::CleanupCode], "demo-sweep to run the code"),
        (
            sweep(),
            |it| it["Variables"]["DRAWBRIDGE_SERVES"] = json!("requests"),
            &[Name::CleanupSettings],
            "DRAWBRIDGE_SERVES of function drawbridge-demo-sweep",
        ),
        (marker(), |it| it["Code"] = json!("other"), &[Name::CleanupCode], "demo-marker to run the code"),
        (
            marker(),
            |it| it["Variables"]["DRAWBRIDGE_SERVES"] = json!("requests"),
            &[Name::CleanupSettings],
            "DRAWBRIDGE_SERVES of function drawbridge-demo-marker",
        ),
        (
            create(),
            |it| it["Variables"]["LD_PRELOAD"] = json!("/tmp/x.so"),
            &[Name::CreateSettings],
            "LD_PRELOAD",
        ),
        (
            create(),
            |it| it["Variables"]["DRAWBRIDGE_CLIENT_CIDRS"] = json!("0.0.0.0/0"),
            &[Name::CreateSettings],
            "0.0.0.0/0",
        ),
        (
            create(),
            |it| it["Variables"]["DRAWBRIDGE_EXTRA_CA"] = json!("a thief's"),
            &[Name::CreateSettings],
            "to be empty; found a thief's",
        ),
        (
            create(),
            |it| it["Variables"]["DRAWBRIDGE_CHECKS"] = json!("all=off"),
            &[Name::CreateSettings],
            "to be empty; found all=off",
        ),
        (create(), |it| it["Layers"] = json!(["arn:layer"]), &[Name::CreateSettings], "arn:layer"),
        (
            cleanup(),
            |it| it["Role"] = json!("arn:aws:iam::1:role/admin"),
            &[Name::CleanupSettings],
            "role/admin",
        ),
        (
            cleanup(),
            |it| it["Variables"]["DRAWBRIDGE_STATE_BUCKET"] = json!("theirs"),
            &[Name::CleanupSettings],
            "theirs",
        ),
        (Thing::Invokers(names.sweep_function.clone()), anyone_may, &[Name::Invokers], "besides"),
        (Thing::Invokers(names.marker_function.clone()), anyone_may, &[Name::Invokers], "besides"),
        (
            Thing::Rule(names.sweep_rule.clone()),
            |it| it["State"] = json!("DISABLED"),
            &[Name::SweepRule],
            "DISABLED",
        ),
        (
            Thing::Rule(names.sweep_rule.clone()),
            |it| it["Schedule"] = json!("rate(7 days)"),
            &[Name::SweepRule],
            "7 days",
        ),
        (
            Thing::Rule(names.sweep_rule.clone()),
            |it| it["Targets"] = json!([]),
            &[Name::SweepRule],
            "targets",
        ),
        (
            create(),
            |it| it["Variables"]["DRAWBRIDGE_MORE"] = json!("1"),
            &[Name::CreateSettings],
            "no such variable",
        ),
        (
            Thing::LastSweep(state()),
            |it| *it = json!("2026-11-21T09:00:00Z"),
            &[Name::Sweeper],
            "the last at 2026-11-21T09:00:00Z",
        ),
        (
            Thing::Rule(names.ended_rule.clone()),
            |it| it["Pattern"]["detail"]["state"] = json!(["pending"]),
            &[Name::EndedRule],
            "pattern",
        ),
        (Thing::Notifications(bucket()), |it| *it = json!([]), &[Name::EndedMarker], "s3:ObjectCreated"),
        (Thing::Notifications(bucket()), to_the_sweeper, &[Name::EndedMarker], "demo-sweep"),
        (
            create(),
            |it| it["Variables"]["DRAWBRIDGE_MAX_BOXES"] = json!("0"),
            &[Name::Started],
            "stopped on purpose",
        ),
    ]
}

pub(super) fn without_a_statement(document: &mut Value) {
    document["Statement"].as_array_mut().unwrap().remove(0);
}

pub(super) fn anyone_may(document: &mut Value) {
    let more =
        json!({"Sid": "Anyone", "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"});
    document["Statement"].as_array_mut().unwrap().push(more);
}

fn expires(rules: &mut Value) {
    let rule = json!({"Id": "x", "Enabled": true, "Prefix": "", "Expires": 1, "NoncurrentExpires": null, "Markers": false,
        "AbortsAfter": null});
    rules.as_array_mut().unwrap().push(rule);
}

fn to_the_sweeper(notifications: &mut Value) {
    let target = notifications[0]["Target"].as_str().unwrap().replace("-marker", "-sweep");
    notifications[0]["Target"] = json!(target);
}

fn another_endpoint(endpoints: &mut Value) {
    let other = json!({"Id": "vpce-other", "Type": "Interface", "Service": "com.amazonaws.us-east-1.ssm"});
    endpoints.as_array_mut().unwrap().push(other);
}

fn to_the_internet(table: &mut Value) {
    table["Routes"].as_array_mut().unwrap().push(json!({"To": "0.0.0.0/0", "Via": "igw-1"}));
}
