//! The judges of the identities: each has the shipped policy, the shipped trust, and nothing else.

use serde_json::{Value, json};

use super::{Checker, Judged, NotHeld, Thing, policy, short};

impl Checker {
    /// A role whose one inline policy has the name of its file.
    pub(super) async fn role(&self, file: &'static str, resource: &str) -> Judged {
        let role = &short(&self.shipped.template.property(resource, &["RoleName"])?);
        let found = self.see(Thing::Role(role.to_owned())).await?;
        let trust = self.shipped.template.property(resource, &["AssumeRolePolicyDocument"])?;
        if let Some(difference) = policy::difference(&trust, &found["Trust"]) {
            return Err(NotHeld::broken(
                format!("role {role} to trust whom it was shipped to trust"),
                difference,
                "put its trust policy back and find in CloudTrail who called UpdateAssumeRolePolicy",
            ));
        }
        nothing_attached(&format!("role {role}"), &found["Attached"], "AttachRolePolicy")?;
        let inline = found["Inline"].as_object().cloned().unwrap_or_default();
        if let Some(name) = inline.keys().find(|name| *name != file) {
            return Err(NotHeld::broken(
                format!("role {role} to have the inline policy {file} alone"),
                format!("{name} besides"),
                "remove it and find in CloudTrail who called PutRolePolicy",
            ));
        }
        let document = inline.get(file).unwrap_or(&Value::Null);
        self.as_shipped(file, &format!("role {role}"), document, "PutRolePolicy")
    }

    /// The boxes' role, and the profile that hands it to them.
    pub(super) async fn box_role(&self) -> Judged {
        let names = &self.shipped.names;
        let words = self.role("jumpbox", "JumpBoxRole").await?;
        let roles = self.see(Thing::Profile(names.instance_profile.clone())).await?;
        super::expect(
            &format!("instance profile {} to hold", names.instance_profile),
            &json!([names.box_role]),
            &roles,
            || "put its role back and find in CloudTrail who called AddRoleToInstanceProfile".to_owned(),
        )?;
        Ok(words)
    }

    /// The cluster's identity. A policy of another path, a group or an inline policy would all be rights besides.
    pub(super) async fn operator(&self) -> Judged {
        let names = &self.shipped.names;
        let (user, arn) = (&names.operator, names.operator_policy_arn());
        let found = self.see(Thing::User(user.clone())).await?;
        for (what, event) in [("Inline", "PutUserPolicy"), ("Groups", "AddUserToGroup")] {
            nothing_attached(&format!("user {user} ({what})"), &found[what], event)?;
        }
        let beside: Vec<&Value> =
            found["Attached"].as_array().into_iter().flatten().filter(|one| **one != arn).collect();
        nothing_attached(&format!("user {user}"), &json!(beside), "AttachUserPolicy")?;
        let document = self.see(Thing::ManagedPolicy(arn)).await?;
        self.as_shipped("operator", &format!("the cluster ({user})"), &document, "CreatePolicyVersion")
    }
}

fn nothing_attached(of: &str, found: &Value, event: &str) -> Result<(), NotHeld> {
    if found.as_array().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    Err(NotHeld::broken(
        format!("{of} to have nothing besides what was shipped"),
        short(found),
        format!("take it away and find in CloudTrail who called {event}"),
    ))
}
