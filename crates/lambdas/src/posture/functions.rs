//! The judges of the functions: what code they run, as whom, and who may invoke them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Checker, Judged, NotHeld, Thing, expect, policy, short};

/// What the variables of a function begin with. A variable that Lambda's runtime or the loader reads
/// (`AWS_LAMBDA_EXEC_WRAPPER`, `LD_PRELOAD`) runs another program in the function's name.
const OURS: &str = "DRAWBRIDGE_";

impl Checker {
    /// Every function that runs the zip of that parameter.
    pub(super) async fn code(&self, zip: &str, digest: &str) -> Judged {
        for (function, _) in self.functions(zip)? {
            let found = self.see(Thing::Function(function.clone())).await?;
            let what = format!("function {function} to run the code with SHA-256");
            expect(&what, &json!(digest), &found["Code"], || {
                "deploy the stack again with the digests of its zips; find in CloudTrail who called UpdateFunctionCode"
                    .to_owned()
            })?;
        }
        Ok(format!("SHA-256 {digest}"))
    }

    pub(super) async fn settings(&self, zip: &str) -> Judged {
        let mut variables = 0;
        for (function, resource) in self.functions(zip)? {
            variables += self.settings_of(&function, &resource).await?;
        }
        Ok(format!("{variables} variables, no layer"))
    }

    async fn settings_of(&self, function: &str, resource: &str) -> Result<usize, NotHeld> {
        let template = &self.shipped.template;
        let found = self.see(Thing::Function(function.to_owned())).await?;
        let back =
            || "deploy the stack again; find in CloudTrail who called UpdateFunctionConfiguration".to_owned();
        for part in ["Role", "Handler", "Runtime"] {
            let expected = template.property(resource, &[part])?;
            expect(&format!("{part} of function {function} to be"), &expected, &found[part], back)?;
        }
        expect(&format!("layers of function {function} to be"), &json!([]), &found["Layers"], back)?;
        let variables = found["Variables"].as_object().cloned().unwrap_or_default();
        if let Some(name) = variables.keys().find(|name| !name.starts_with(OURS)) {
            return Err(NotHeld::broken(
                format!("function {function} to have no variable but {OURS}*"),
                name,
                back(),
            ));
        }
        let shipped = template.raw(resource, "Properties").map(|it| &it["Environment"]["Variables"]);
        let shipped = shipped.and_then(Value::as_object).into_iter().flat_map(Map::keys);
        // A variable that was taken away is a change too.
        let names: BTreeSet<&String> = shipped.chain(variables.keys()).collect();
        for name in names {
            let what = format!("{name} of function {function} to be");
            let value = variables.get(name).unwrap_or(&Value::Null);
            // Limits are configuration, and this function is not told them: that they are set is compared.
            match template.property(resource, &["Environment", "Variables", name]) {
                Ok(expected) if expected == *value => {}
                Ok(expected) => {
                    return Err(NotHeld::broken(format!("{what} {}", said(&expected)), said(value), back()));
                }
                Err(_) if value.is_null() => {
                    return Err(NotHeld::broken(format!("{what} set"), said(value), back()));
                }
                Err(_) => {}
            }
        }
        Ok(variables.len())
    }

    /// The functions that run a zip: name and resource.
    fn functions(&self, zip: &str) -> Result<Vec<(String, String)>, NotHeld> {
        let template = &self.shipped.template;
        let all = template.of_type("AWS::Lambda::Function")?.into_iter();
        let of_zip = all.filter(|resource| {
            let code =
                template.raw(resource, "Properties").map(|properties| &properties["Code"]["S3Key"]["Ref"]);
            code.is_some_and(|key| key == zip)
        });
        of_zip.map(|resource| Ok((self.function_name(resource)?, resource.to_owned()))).collect()
    }

    fn function_name(&self, resource: &str) -> Result<String, NotHeld> {
        Ok(short(&self.shipped.template.property(resource, &["FunctionName"])?))
    }

    /// Who may invoke without a right of IAM's: the events that the template lets, and nobody else.
    pub(super) async fn invokers(&self) -> Judged {
        let template = &self.shipped.template;
        for resource in template.of_type("AWS::Lambda::Function")? {
            let function = self.function_name(resource)?;
            let urls = self.account.see(&Thing::Urls(function.clone())).await?.unwrap_or_else(|| json!([]));
            expect(&format!("function {function} to have the URLs"), &json!([]), &urls, || {
                "delete the URL and find in CloudTrail who called CreateFunctionUrlConfig".to_owned()
            })?;
            let nothing = json!({"Statement": []});
            let found = self.account.see(&Thing::Invokers(function.clone())).await?.unwrap_or(nothing);
            let shipped = json!({"Statement": self.permissions(&function)?});
            if let Some(difference) = policy::difference(&shipped, &found) {
                return Err(NotHeld::broken(
                    format!("function {function} to be invoked from outside IAM by the shipped events alone"),
                    difference,
                    "remove the statement and find in CloudTrail who called AddPermission",
                ));
            }
        }
        Ok("the shipped events alone".to_owned())
    }

    /// The statements that the template's permissions for a function come to.
    fn permissions(&self, function: &str) -> Result<Vec<Value>, NotHeld> {
        let template = &self.shipped.template;
        let mut statements = Vec::new();
        for resource in template.of_type("AWS::Lambda::Permission")? {
            let permission = template.properties(resource)?;
            if permission["FunctionName"] != function {
                continue;
            }
            let names = &self.shipped.names;
            let arn = format!(
                "arn:{}:lambda:{}:{}:function:{function}",
                names.partition, names.region, names.account
            );
            let mut condition = json!({"ArnLike": {"AWS:SourceArn": permission["SourceArn"]}});
            if let Some(account) = permission.get("SourceAccount") {
                condition["StringEquals"] = json!({"AWS:SourceAccount": account});
            }
            statements.push(
                json!({"Sid": resource, "Effect": "Allow", "Action": permission["Action"], "Resource": arn,
                "Principal": {"Service": permission["Principal"]}, "Condition": condition}),
            );
        }
        Ok(statements)
    }

    /// Whether create hands out boxes at all. It says so itself when it is asked; here it is only told.
    pub(super) async fn started(&self) -> Judged {
        let function = &self.shipped.names.create_function;
        let found = self.see(Thing::Function(function.clone())).await?;
        let start = || "the stack was stopped on purpose: ask whoever did to start it again".to_owned();
        if found["Variables"]["DRAWBRIDGE_MAX_BOXES"] == "0" {
            return Err(NotHeld::broken("MaxBoxes above 0", "0", start()));
        }
        let stop = self.account.see(&Thing::Stop(self.shipped.names.state_bucket.clone())).await?;
        if let Some(stop) = stop {
            let expected = "no object that stops the stack in the state bucket";
            return Err(NotHeld::broken(expected, short(&stop), start()));
        }
        let reserved = self.account.see(&Thing::Concurrency(function.clone())).await?.unwrap_or(Value::Null);
        if reserved == 0 {
            return Err(NotHeld::broken(
                format!("function {function} to be let run"),
                short(&reserved),
                start(),
            ));
        }
        Ok("create hands out boxes".to_owned())
    }

    /// Every key that the template has here: enabled, under the shipped policy.
    pub(super) async fn keys(&self) -> Judged {
        let template = &self.shipped.template;
        let resources = template.of_type("AWS::KMS::Key")?;
        let number = resources.len();
        for resource in resources {
            let key = template.attribute(resource, "Arn")?;
            let found = self.see(Thing::Key(key.clone())).await?;
            expect(&format!("key {key} to be"), &json!("Enabled"), &found["State"], || {
                "cancel its deletion or enable it again, at once: find in CloudTrail who called ScheduleKeyDeletion or \
                 DisableKey"
                    .to_owned()
            })?;
            let shipped = template.property(resource, &["KeyPolicy"])?;
            if let Some(difference) = policy::difference(&shipped, &found["Policy"]) {
                return Err(NotHeld::broken(
                    format!("the policy of key {key} to be the shipped one"),
                    difference,
                    "put it back and find in CloudTrail who called PutKeyPolicy",
                ));
            }
        }
        Ok(format!("{number} enabled, under the shipped policies"))
    }
}

/// A variable's value for a sentence.
fn said(value: &Value) -> String {
    match value {
        Value::Null => "no such variable".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        other => short(other),
    }
}
