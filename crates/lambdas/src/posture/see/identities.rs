//! Roles, the profile and the operator's user, as IAM shows them.

use aws_sdk_iam::Client;
use serde_json::{Map, Value, json};

use super::{Seen, answered, document, failed};

const GONE: &[&str] = &["NoSuchEntity"];

pub(super) async fn role(client: &Client, name: &str) -> Seen {
    let action = "iam:GetRole";
    let answer = client.get_role().role_name(name).send().await;
    let Some(role) = answered(action, answer, GONE)?.and_then(|found| found.role) else { return Ok(None) };
    let trust = role.assume_role_policy_document.as_deref().map(|text| document(action, text)).transpose()?;

    let listed = client.list_role_policies().role_name(name).send().await;
    let listed = listed.map_err(|error| failed("iam:ListRolePolicies", &error))?;
    let mut inline = Map::new();
    for policy in listed.policy_names() {
        let action = "iam:GetRolePolicy";
        let found = client.get_role_policy().role_name(name).policy_name(policy).send().await;
        let found = found.map_err(|error| failed(action, &error))?;
        inline.insert(policy.clone(), document(action, &found.policy_document)?);
    }

    let attached = client.list_attached_role_policies().role_name(name).send().await;
    let attached = attached.map_err(|error| failed("iam:ListAttachedRolePolicies", &error))?;
    let attached: Vec<_> = attached.attached_policies().iter().map(|policy| &policy.policy_arn).collect();
    Ok(Some(json!({"Trust": trust, "Inline": inline, "Attached": attached})))
}

pub(super) async fn profile(client: &Client, name: &str) -> Seen {
    let answer = client.get_instance_profile().instance_profile_name(name).send().await;
    let found = answered("iam:GetInstanceProfile", answer, GONE)?.and_then(|found| found.instance_profile);
    Ok(found
        .map(|profile| profile.roles().iter().map(|role| Value::String(role.role_name.clone())).collect()))
}

pub(super) async fn user(client: &Client, name: &str) -> Seen {
    let inline = client.list_user_policies().user_name(name).send().await;
    let Some(inline) = answered("iam:ListUserPolicies", inline, GONE)? else { return Ok(None) };
    let attached = client.list_attached_user_policies().user_name(name).send().await;
    let attached = attached.map_err(|error| failed("iam:ListAttachedUserPolicies", &error))?;
    let groups = client.list_groups_for_user().user_name(name).send().await;
    let groups = groups.map_err(|error| failed("iam:ListGroupsForUser", &error))?;
    let attached: Vec<_> = attached.attached_policies().iter().map(|policy| &policy.policy_arn).collect();
    let groups: Vec<_> = groups.groups().iter().map(|group| &group.group_name).collect();
    Ok(Some(json!({"Inline": inline.policy_names(), "Attached": attached, "Groups": groups})))
}

pub(super) async fn managed_policy(client: &Client, arn: &str) -> Seen {
    let answer = client.get_policy().policy_arn(arn).send().await;
    let found = answered("iam:GetPolicy", answer, GONE)?.and_then(|found| found.policy);
    let Some(version) = found.and_then(|policy| policy.default_version_id) else { return Ok(None) };
    let action = "iam:GetPolicyVersion";
    let answer = client.get_policy_version().policy_arn(arn).version_id(version).send().await;
    let found = answered(action, answer, GONE)?.and_then(|found| found.policy_version);
    found.and_then(|version| version.document).map(|text| document(action, &text)).transpose()
}
