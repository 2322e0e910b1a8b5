//! What was shipped: the policy files and the template, compiled in, with the stack's own names filled in from the
//! environment.
//!
//! The template hands every name of the policy files to the function (`!Names` of `infra/render.py`), and which optional
//! statements this stack leaves out. So the files are the same for every stack, and nothing in them is said twice.

mod template;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub(crate) use template::{Template, Untold};

use crate::config::Lookup;

/// The files of `infra/policies`.
const FILES: &[(&str, &str)] = &[
    ("backup-bucket", include_str!("../../../../../infra/policies/backup-bucket.json")),
    ("cleanup", include_str!("../../../../../infra/policies/cleanup.json")),
    ("create", include_str!("../../../../../infra/policies/create.json")),
    ("endpoint", include_str!("../../../../../infra/policies/endpoint.json")),
    ("jumpbox", include_str!("../../../../../infra/policies/jumpbox.json")),
    ("operator", include_str!("../../../../../infra/policies/operator.json")),
    ("posture", include_str!("../../../../../infra/policies/posture.json")),
    ("state-bucket", include_str!("../../../../../infra/policies/state-bucket.json")),
];
/// Before each name of the policy files.
const NAME: &str = "DRAWBRIDGE_NAME_";

/// The template did not hand over what the function needs, or this program was built of files that it cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShippedError {
    #[error("the variable {0} is not set: deploy the function with the template of its own version")]
    Missing(String),
    #[error("the shipped policy {file} cannot be read ({why}): this program was built wrongly")]
    Policy { file: &'static str, why: String },
}

/// The stack's names, as the policy files have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub partition: String,
    pub region: String,
    pub account: String,
    pub stack: String,
    pub cluster: String,
    pub backup_bucket: String,
    pub state_bucket: String,
    pub create_function: String,
    pub cleanup_function: String,
    pub posture_function: String,
    pub sweep_function: String,
    pub marker_function: String,
    pub create_role: String,
    pub cleanup_role: String,
    pub posture_role: String,
    pub box_role: String,
    pub instance_profile: String,
    pub vpc: String,
    pub public_subnet: String,
    pub private_subnet: String,
    pub private_group: String,
    pub s3_endpoint: String,
    pub operator: String,
    pub sweep_rule: String,
    pub ended_rule: String,
}

impl Names {
    pub fn profile_arn(&self) -> String {
        format!("arn:{}:iam::{}:instance-profile/{}", self.partition, self.account, self.instance_profile)
    }

    pub fn operator_policy_arn(&self) -> String {
        format!("arn:{}:iam::{}:policy/{}", self.partition, self.account, self.operator)
    }
}

/// Everything that is compared with what is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipped {
    pub names: Names,
    policies: BTreeMap<&'static str, Value>,
    pub(crate) template: Template,
    /// SHA-256 of each zip in base64, as Lambda shows it.
    pub create_code: String,
    pub cleanup_code: String,
    pub clients: BTreeSet<String>,
}

impl Shipped {
    pub fn read(env: Lookup<'_>) -> Result<Self, ShippedError> {
        let given = |name: &str| env(name).filter(|value| !value.is_empty());
        let text = |name: &str| given(name).ok_or_else(|| ShippedError::Missing(name.to_owned()));
        let omitted = env("DRAWBRIDGE_OMITTED").unwrap_or_default();
        let omitted: BTreeSet<&str> = omitted.split(',').filter(|entry| !entry.is_empty()).collect();
        let mut policies = BTreeMap::new();
        for (file, source) in FILES {
            policies.insert(*file, policy(file, source, env, &omitted)?);
        }
        let clients = text("DRAWBRIDGE_CLIENT_CIDRS")?;
        Ok(Self {
            names: names(env)?,
            policies,
            create_code: text("DRAWBRIDGE_CREATE_CODE_SHA256")?,
            cleanup_code: text("DRAWBRIDGE_CLEANUP_CODE_SHA256")?,
            clients: clients.split(',').map(|client| client.trim().to_owned()).collect(),
            template: Template::read(env)?,
        })
    }

    /// A policy file as this stack must have it.
    pub(crate) fn policy(&self, file: &'static str) -> &Value {
        self.policies.get(file).unwrap_or(&Value::Null)
    }
}

fn name(env: Lookup<'_>, name: &str) -> Result<String, ShippedError> {
    let variable = format!("{NAME}{name}");
    env(&variable).filter(|value| !value.is_empty()).ok_or(ShippedError::Missing(variable))
}

fn names(env: Lookup<'_>) -> Result<Names, ShippedError> {
    Ok(Names {
        partition: name(env, "Partition")?,
        region: name(env, "Region")?,
        account: name(env, "Account")?,
        stack: name(env, "Stack")?,
        cluster: name(env, "Cluster")?,
        backup_bucket: name(env, "BackupBucket")?,
        state_bucket: name(env, "StateBucket")?,
        create_function: name(env, "CreateFunction")?,
        cleanup_function: name(env, "CleanupFunction")?,
        posture_function: name(env, "PostureFunction")?,
        sweep_function: name(env, "SweepFunction")?,
        marker_function: name(env, "MarkerFunction")?,
        create_role: name(env, "CreateRole")?,
        cleanup_role: name(env, "CleanupRole")?,
        posture_role: name(env, "PostureRole")?,
        box_role: name(env, "BoxRole")?,
        instance_profile: name(env, "InstanceProfile")?,
        vpc: name(env, "Vpc")?,
        public_subnet: name(env, "PublicSubnet")?,
        private_subnet: name(env, "PrivateSubnet")?,
        private_group: name(env, "PrivateGroup")?,
        s3_endpoint: name(env, "S3Endpoint")?,
        operator: name(env, "Operator")?,
        sweep_rule: name(env, "SweepRule")?,
        ended_rule: name(env, "EndedRule")?,
    })
}

/// A policy file with the stack's names in it, without what the stack leaves out.
fn policy(
    file: &'static str,
    source: &str,
    env: Lookup<'_>,
    omitted: &BTreeSet<&str>,
) -> Result<Value, ShippedError> {
    let broken = |why: String| ShippedError::Policy { file, why };
    let mut document: Value = serde_json::from_str(source).map_err(|error| broken(error.to_string()))?;
    let statements = document.get_mut("Statement").and_then(Value::as_array_mut);
    let statements = statements.ok_or_else(|| broken("it has no statements".to_owned()))?;
    statements.retain(|statement| {
        let sid = statement["Sid"].as_str().unwrap_or_default();
        !omitted.contains(format!("{file}/{sid}").as_str())
    });
    filled(document, env)
}

/// The value with every `${Name}` replaced. Where a name is all of a text, a list stands for a list.
fn filled(value: Value, env: Lookup<'_>) -> Result<Value, ShippedError> {
    Ok(match value {
        Value::String(text) => {
            let whole = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            match whole.filter(|name| is_name(name)) {
                Some(whole) => {
                    let value = name(env, whole)?;
                    match value.split(',').collect::<Vec<_>>() {
                        parts if parts.len() > 1 => parts.into_iter().map(str::to_owned).collect(),
                        _ => Value::String(value),
                    }
                }
                None => Value::String(filled_text(&text, env)?),
            }
        }
        Value::Array(items) => {
            items.into_iter().map(|item| filled(item, env)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| Ok((key, filled(value, env)?)));
            Value::Object(fields.collect::<Result<_, ShippedError>>()?)
        }
        other => other,
    })
}

fn filled_text(text: &str, env: Lookup<'_>) -> Result<String, ShippedError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find("${") {
        let (before, after) = rest.split_at(begin);
        out.push_str(before);
        match after[2..].split_once('}') {
            Some((found, more)) if is_name(found) => {
                out.push_str(&name(env, found)?);
                rest = more;
            }
            // A variable of IAM's own, `${aws:username}`.
            _ => {
                out.push_str("${");
                rest = &after[2..];
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
