//! Ways to break the identities' guarantees: a right more than was shipped.

use drawbridge_protocol::posture::Name;
use serde_json::json;

use crate::{Flip, bed::Bed, call};

const MORE: &str = "posture-test";

pub(crate) fn flips(bed: &Bed) -> Vec<Flip> {
    let right = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject",
        "Resource": "*"}]});
    let right = right.to_string();
    let role = |guarantee: Name, output: &str, what: &'static str| {
        let arn = bed.output(output);
        let name = arn.rsplit('/').next().unwrap().to_owned();
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
        role(Name::CreateRole, "CreateRoleArn", "a right more for create"),
        role(Name::CleanupRole, "CleanupRoleArn", "a right more for cleanup"),
        role(Name::PostureRole, "PostureRoleArn", "a right more for posture itself"),
        role(Name::BoxRole, "JumpBoxRoleArn", "a right more for the boxes"),
    ]
}
