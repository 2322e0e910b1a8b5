//! Ways to break the identities' guarantees: a right more than was shipped.

use drawbridge_protocol::posture::Name;
use serde_json::{Value, json};

use crate::{Flip, bed::Bed, call};

const MORE: &str = "posture-test";

pub(crate) fn flips(bed: &Bed) -> Vec<Flip> {
    let right = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject",
        "Resource": "*"}]});
    let right = right.to_string();
    let role = |guarantee: Name, output: &str, what: &'static str| {
        let name = role_name(bed, output);
        let of = |what: &str| call(&["iam", what, "--role-name", &name, "--policy-name", MORE]);
        let mut put = of("put-role-policy");
        put.extend(["--policy-document".to_owned(), right.clone()]);
        Flip::of(guarantee, what, vec![put], vec![of("delete-role-policy")])
    };
    let user = bed.output("OperatorUser");
    let of = |what: &str| call(&["iam", what, "--user-name", &user, "--policy-name", MORE]);
    let mut put = of("put-user-policy");
    put.extend(["--policy-document".to_owned(), right.clone()]);
    vec![
        Flip::of(
            Name::OperatorPolicy,
            "a right more for the cluster's identity",
            vec![put],
            vec![of("delete-user-policy")],
        ),
        administers(bed),
        wider_trust(bed),
        role(Name::CreateRole, "CreateRoleArn", "a right more for create"),
        role(Name::CleanupRole, "CleanupRoleArn", "a right more for cleanup"),
        role(Name::PostureRole, "PostureRoleArn", "a right more for posture itself"),
        role(Name::BoxRole, "JumpBoxRoleArn", "a right more for the boxes"),
    ]
}

fn role_name(bed: &Bed, output: &str) -> String {
    bed.output(output).rsplit('/').next().unwrap().to_owned()
}

/// The role that the operator takes by its token may do everything.
fn administers(bed: &Bed) -> Flip {
    let name = role_name(bed, "OperatorRoleArn");
    let policy = "arn:aws:iam::aws:policy/AdministratorAccess";
    let of = |what: &str| call(&["iam", what, "--role-name", &name, "--policy-arn", policy]);
    Flip::of(
        Name::OperatorPolicy,
        "AdministratorAccess for the role that the operator's token opens",
        vec![of("attach-role-policy")],
        vec![of("detach-role-policy")],
    )
}

/// Another account may take the role of the operator's pods.
fn wider_trust(bed: &Bed) -> Flip {
    let name = role_name(bed, "OperatorPodRoleArn");
    let found: Value = serde_json::from_str(&bed.aws(&["iam", "get-role", "--role-name", &name])).unwrap();
    let stood = found["Role"]["AssumeRolePolicyDocument"].clone();
    let mut wider = stood.clone();
    wider["Statement"].as_array_mut().unwrap().push(json!({"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"AWS": "arn:aws:iam::111122223333:root"}}));
    let trusting = |document: &Value| {
        let document = document.to_string();
        call(&["iam", "update-assume-role-policy", "--role-name", &name, "--policy-document", &document])
    };
    Flip::of(
        Name::OperatorPolicy,
        "another account let take the role of the operator's pods",
        vec![trusting(&wider)],
        vec![trusting(&stood)],
    )
}
