//! The shipped template, compiled in, and what its expressions come to in this stack.
//!
//! CloudFormation knows what a reference stands for; this program is handed the names and parameters that it needs
//! (`!Names` of `infra/render.py`). What it was not handed cannot be compared, and is said to be so.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::ShippedError;
use crate::config::Lookup;

const SOURCE: &str = include_str!("../../../../../infra/drawbridge.template.json");
/// Before each parameter of the template.
const PARAMETER: &str = "DRAWBRIDGE_PARAM_";
/// Which name of the policy files a reference has, where it is not the reference itself.
const REFERENCES: &[(&str, &str)] = &[
    ("InstanceTypes", "InstanceTypes"),
    ("ImageId", "Image"),
    ("PrivateSecurityGroup.GroupId", "PrivateGroup"),
    ("BackupKey.Arn", "BackupKeyArn"),
    ("ReceiptSigningKey.Arn", "ReceiptKey"),
];

/// An expression that names something that this program was not handed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shipped template names {0}, which this function was not told")]
pub(crate) struct Untold(String);

/// The resources of the template, in this stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    resources: Map<String, Value>,
    conditions: Map<String, Value>,
    /// Pseudo parameters, parameters and names of resources.
    known: BTreeMap<String, String>,
}

impl Template {
    pub(super) fn read(env: Lookup<'_>) -> Result<Self, ShippedError> {
        let broken = |why: String| ShippedError::Policy { file: "drawbridge.template", why };
        let mut document: Value = serde_json::from_str(SOURCE).map_err(|error| broken(error.to_string()))?;
        let mut section = |name: &str| match document[name].take() {
            Value::Object(section) => Ok(section),
            _ => Err(broken(format!("it has no {name}"))),
        };
        let (resources, conditions, parameters) =
            (section("Resources")?, section("Conditions")?, section("Parameters")?);
        let mut known = BTreeMap::new();
        let pseudo = [
            ("Partition", "Partition"),
            ("Region", "Region"),
            ("AccountId", "Account"),
            ("StackName", "Stack"),
        ];
        for (name, of) in pseudo {
            known.insert(format!("AWS::{name}"), super::name(env, of)?);
        }
        for name in parameters.keys() {
            known.extend(env(&format!("{PARAMETER}{name}")).map(|value| (name.clone(), value)));
        }
        for name in resources.keys() {
            known.extend(super::name(env, name).ok().map(|value| (name.clone(), value)));
        }
        for (reference, name) in REFERENCES {
            known.extend(super::name(env, name).ok().map(|value| ((*reference).to_owned(), value)));
        }
        // Two that this program has besides, under the names that the other functions know them by.
        for (parameter, variable) in
            [("ClientCidrs", "DRAWBRIDGE_CLIENT_CIDRS"), ("ExtraCa", "DRAWBRIDGE_EXTRA_CA")]
        {
            known.extend(env(variable).map(|value| (parameter.to_owned(), value)));
        }
        Ok(Self { resources, conditions, known })
    }

    /// The properties of a resource, evaluated.
    pub(crate) fn properties(&self, resource: &str) -> Result<Value, Untold> {
        let properties = self.raw(resource, "Properties").ok_or_else(|| Untold(resource.to_owned()))?;
        Ok(self.evaluate(properties)?.unwrap_or(Value::Null))
    }

    /// One property, evaluated alone: what is untold in another does not matter.
    pub(crate) fn property(&self, resource: &str, path: &[&str]) -> Result<Value, Untold> {
        let mut found = self.raw(resource, "Properties").ok_or_else(|| Untold(resource.to_owned()))?;
        for step in path {
            found = &found[*step];
        }
        Ok(self.evaluate(found)?.unwrap_or(Value::Null))
    }

    /// A property as the template has it.
    pub(crate) fn raw<'a>(&'a self, resource: &str, part: &str) -> Option<&'a Value> {
        self.resources.get(resource)?.get(part)
    }

    /// The resources of a type that this stack has.
    pub(crate) fn of_type(&self, kind: &str) -> Result<Vec<&str>, Untold> {
        let mut found = Vec::new();
        for (name, resource) in &self.resources {
            let here = match resource["Condition"].as_str() {
                Some(condition) => resource["Type"] == kind && self.condition(condition)?,
                None => resource["Type"] == kind,
            };
            if here {
                found.push(name.as_str());
            }
        }
        Ok(found)
    }

    fn condition(&self, name: &str) -> Result<bool, Untold> {
        let condition = self.conditions.get(name).ok_or_else(|| Untold(format!("condition {name}")))?;
        Ok(self.evaluate(condition)? == Some(Value::Bool(true)))
    }

    /// The value, or nothing where the template says that there is none.
    fn evaluate(&self, node: &Value) -> Result<Option<Value>, Untold> {
        match node {
            Value::Object(fields) => {
                if let (1, Some((name, argument))) = (fields.len(), fields.iter().next())
                    && (name == "Ref"
                        || name == "Condition" && argument.is_string()
                        || name.starts_with("Fn::"))
                {
                    return self.call(name, argument);
                }
                let mut kept = Map::new();
                for (name, field) in fields {
                    if let Some(value) = self.evaluate(field)? {
                        kept.insert(name.clone(), value);
                    }
                }
                Ok(Some(Value::Object(kept)))
            }
            Value::Array(items) => {
                let mut kept = Vec::new();
                for item in items {
                    kept.extend(self.evaluate(item)?);
                }
                Ok(Some(Value::Array(kept)))
            }
            plain => Ok(Some(plain.clone())),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Option<Value>, Untold> {
        let untold = || Untold(format!("{name} of {argument}"));
        let arguments = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        let truth = |node: &Value| Ok::<bool, Untold>(self.evaluate(node)? == Some(Value::Bool(true)));
        Ok(Some(match (name, arguments) {
            ("Ref", _) if argument == "AWS::NoValue" => return Ok(None),
            ("Ref", _) => self.reference(argument.as_str().unwrap_or_default())?.into(),
            ("Condition", _) => self.condition(argument.as_str().unwrap_or_default())?.into(),
            ("Fn::GetAtt", [Value::String(of), Value::String(attribute)]) => {
                self.attribute(of, attribute)?.into()
            }
            ("Fn::Sub", _) => self.filled(argument.as_str().ok_or_else(untold)?)?.into(),
            ("Fn::If", [Value::String(condition), then, otherwise]) => {
                return self.evaluate(if self.condition(condition)? { then } else { otherwise });
            }
            ("Fn::Equals", [left, right]) => (self.text(left)? == self.text(right)?).into(),
            ("Fn::Not", [inner]) => (!truth(inner)?).into(),
            ("Fn::And", all) => {
                all.iter().map(truth).collect::<Result<Vec<_>, _>>()?.iter().all(|it| *it).into()
            }
            ("Fn::Or", all) => {
                all.iter().map(truth).collect::<Result<Vec<_>, _>>()?.iter().any(|it| *it).into()
            }
            ("Fn::Join", [Value::String(separator), parts]) => {
                // A list that is one parameter was handed over joined.
                let Some(parts) = parts.as_array() else { return self.evaluate(parts) };
                let parts = parts.iter().map(|part| self.text(part)).collect::<Result<Vec<_>, _>>()?;
                parts.join(separator).into()
            }
            _ => return Err(untold()),
        }))
    }

    fn text(&self, node: &Value) -> Result<String, Untold> {
        Ok(match self.evaluate(node)? {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        })
    }

    fn filled(&self, text: &str) -> Result<String, Untold> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, more) = after.split_once('}').ok_or_else(|| Untold(text.to_owned()))?;
            out.push_str(before);
            out.push_str(&match name.split_once('.') {
                Some((of, attribute)) => self.attribute(of, attribute)?,
                None => self.reference(name)?,
            });
            rest = more;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn reference(&self, name: &str) -> Result<String, Untold> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        let named = match self.kind(name) {
            "AWS::Lambda::Function" => "FunctionName",
            "AWS::Events::Rule" => "Name",
            "AWS::S3::Bucket" => "BucketName",
            "AWS::IAM::Role" => "RoleName",
            "AWS::IAM::InstanceProfile" => "InstanceProfileName",
            _ => return Err(Untold(name.to_owned())),
        };
        match self.property(name, &[named])? {
            Value::String(text) => Ok(text),
            _ => Err(Untold(name.to_owned())),
        }
    }

    /// What `Fn::GetAtt` gives.
    pub(crate) fn attribute(&self, of: &str, attribute: &str) -> Result<String, Untold> {
        if let Some(known) = self.known.get(&format!("{of}.{attribute}")) {
            return Ok(known.clone());
        }
        if attribute != "Arn" {
            return Err(Untold(format!("{of}.{attribute}")));
        }
        let place = match self.kind(of) {
            "AWS::Lambda::Function" => "lambda:${AWS::Region}:${AWS::AccountId}:function:",
            "AWS::Events::Rule" => "events:${AWS::Region}:${AWS::AccountId}:rule/",
            "AWS::S3::Bucket" => "s3:::",
            "AWS::IAM::Role" => "iam::${AWS::AccountId}:role/",
            "AWS::IAM::InstanceProfile" => "iam::${AWS::AccountId}:instance-profile/",
            _ => return Err(Untold(format!("{of}.{attribute}"))),
        };
        let before = self.filled(&format!("arn:${{AWS::Partition}}:{place}"))?;
        Ok(before + &self.reference(of)?)
    }

    fn kind(&self, resource: &str) -> &str {
        self.raw(resource, "Type").and_then(Value::as_str).unwrap_or_default()
    }
}
