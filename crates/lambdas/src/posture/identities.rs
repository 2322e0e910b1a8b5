//! The judges of the identities: each has the shipped policy, the shipped trust, and nothing else.

use serde_json::{Map, Value, json};

use super::{Checker, Judged, NotHeld, Thing, policy, short};

impl Checker {
    /// A role whose one inline policy has the name of its file.
    pub(super) async fn role(&self, file: &'static str, resource: &str) -> Judged {
        let (role, found) = self.trusting(resource).await?;
        nothing_attached(&format!("role {role}"), &found["Attached"], "AttachRolePolicy")?;
        inline_alone(&role, &found["Inline"], Some(file))?;
        self.as_shipped(file, &format!("role {role}"), &found["Inline"][file], "PutRolePolicy")
    }

    /// A role's name and how it stands, if it trusts whom it was shipped to trust.
    async fn trusting(&self, resource: &str) -> Result<(String, Value), NotHeld> {
        let role = short(&self.shipped.template.property(resource, &["RoleName"])?);
        let found = self.see(Thing::Role(role.clone())).await?;
        let trust = match self.shipped.template.property(resource, &["AssumeRolePolicyDocument"])? {
            // A text in the template. One that is no JSON has no statements, and every other differs from it.
            Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
            document => document,
        };
        match policy::difference(&trust, &found["Trust"]) {
            None => Ok((role, found)),
            Some(difference) => Err(NotHeld::broken(
                format!("role {role} to trust whom it was shipped to trust"),
                difference,
                "put its trust policy back and find in CloudTrail who called UpdateAssumeRolePolicy",
            )),
        }
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

    /// The cluster's identity: the user, the roles that the stack has for it, and the one policy of them all.
    pub(super) async fn operator(&self) -> Judged {
        let names = &self.shipped.names;
        self.operator_user().await?;
        for resource in self.operator_roles()? {
            self.operator_role(resource).await?;
        }
        let document = self.see(Thing::ManagedPolicy(names.operator_policy_arn())).await?;
        let whose = format!("the cluster ({})", names.operator);
        self.as_shipped("operator", &whose, &document, "CreatePolicyVersion")
    }

    /// A policy of another path, a group or an inline policy would all be rights besides.
    async fn operator_user(&self) -> Result<(), NotHeld> {
        let names = &self.shipped.names;
        let (user, arn) = (&names.operator, names.operator_policy_arn());
        let found = self.see(Thing::User(user.clone())).await?;
        for (what, event) in [("Inline", "PutUserPolicy"), ("Groups", "AddUserToGroup")] {
            nothing_attached(&format!("user {user} ({what})"), &found[what], event)?;
        }
        let beside: Vec<&Value> =
            found["Attached"].as_array().into_iter().flatten().filter(|one| **one != arn).collect();
        nothing_attached(&format!("user {user}"), &json!(beside), "AttachUserPolicy")
    }

    /// The roles of this stack that have the operator's policy.
    fn operator_roles(&self) -> Result<Vec<&str>, NotHeld> {
        let template = &self.shipped.template;
        let mut roles = template.of_type("AWS::IAM::Role")?;
        roles.retain(|resource| {
            let properties = template.raw(resource, "Properties");
            properties.is_some_and(|it| it["ManagedPolicyArns"] == json!([{"Ref": "OperatorPolicy"}]))
        });
        Ok(roles)
    }

    async fn operator_role(&self, resource: &str) -> Result<(), NotHeld> {
        let (role, found) = self.trusting(resource).await?;
        inline_alone(&role, &found["Inline"], None)?;
        let policy = json!(self.shipped.names.operator_policy_arn());
        super::expect_set(&format!("role {role} to have attached"), [policy], &found["Attached"], || {
            "leave that policy alone attached and find in CloudTrail who called AttachRolePolicy or DetachRolePolicy"
                .to_owned()
        })
    }
}

/// No inline policy but that one.
fn inline_alone(role: &str, found: &Value, shipped: Option<&str>) -> Result<(), NotHeld> {
    let mut inline = found.as_object().into_iter().flat_map(Map::keys);
    match inline.find(|name| Some(name.as_str()) != shipped) {
        None => Ok(()),
        Some(name) => Err(NotHeld::broken(
            match shipped {
                Some(file) => format!("role {role} to have the inline policy {file} alone"),
                None => format!("role {role} to have no inline policy"),
            },
            format!("{name} besides"),
            "remove it and find in CloudTrail who called PutRolePolicy",
        )),
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
