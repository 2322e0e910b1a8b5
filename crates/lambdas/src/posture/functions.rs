//! The judges of the functions: what code they run, as whom, and who may invoke them.

use serde_json::{Value, json};

use super::{Checker, Judged, NotHeld, Thing, expect, policy, short};

/// What the variables of a function begin with. A variable that Lambda's runtime or the loader reads
/// (`AWS_LAMBDA_EXEC_WRAPPER`, `LD_PRELOAD`) runs another program in the function's name.
const OURS: &str = "DRAWBRIDGE_";

impl Checker {
    pub(super) async fn code(&self, function: &str, digest: &str) -> Judged {
        let found = self.see(Thing::Function(function.to_owned())).await?;
        expect(
            &format!("function {function} to run the code with SHA-256"),
            &json!(digest),
            &found["Code"],
            || {
                "deploy the stack again with the digests of its zips; find in CloudTrail who called UpdateFunctionCode"
                    .to_owned()
            },
        )?;
        Ok(format!("SHA-256 {digest}"))
    }

    pub(super) async fn settings(&self, function: &str, role: &str) -> Judged {
        let names = &self.shipped.names;
        let found = self.see(Thing::Function(function.to_owned())).await?;
        let back = || {
            "deploy the stack again; find in CloudTrail who called UpdateFunctionConfiguration".to_owned()
        };
        let shape = [
            ("Role", json!(names.role_arn(role))),
            ("Handler", json!("bootstrap")),
            ("Runtime", json!("provided.al2023")),
            ("Layers", json!([])),
        ];
        for (what, expected) in shape {
            expect(&format!("{what} of function {function} to be"), &expected, &found[what], back)?;
        }
        let variables = found["Variables"].as_object().cloned().unwrap_or_default();
        if let Some(name) = variables.keys().find(|name| !name.starts_with(OURS)) {
            return Err(NotHeld::broken(
                format!("function {function} to have no variable but {OURS}*"),
                name,
                back(),
            ));
        }
        for (name, expected) in self.places() {
            // Cleanup needs fewer of them than create.
            if let Some(value) = variables.get(name) {
                expect(&format!("{name} of function {function} to be"), &expected, value, back)?;
            }
        }
        Ok(format!("{} variables, no layer", variables.len()))
    }

    /// Where a function works, by the variables that say so.
    fn places(&self) -> Vec<(&'static str, Value)> {
        let names = &self.shipped.names;
        let clients: Vec<&str> = self.shipped.clients.iter().map(String::as_str).collect();
        let mut places = vec![
            ("DRAWBRIDGE_CLUSTER", json!(names.cluster)),
            ("DRAWBRIDGE_STACK", json!(names.stack)),
            ("DRAWBRIDGE_BACKUP_BUCKET", json!(names.backup_bucket)),
            ("DRAWBRIDGE_STATE_BUCKET", json!(names.state_bucket)),
            ("DRAWBRIDGE_VPC_ID", json!(names.vpc)),
            ("DRAWBRIDGE_PUBLIC_SUBNET_ID", json!(names.public_subnet)),
            ("DRAWBRIDGE_PRIVATE_SUBNET_ID", json!(names.private_subnet)),
            ("DRAWBRIDGE_PRIVATE_SECURITY_GROUP_ID", json!(names.private_group)),
            ("DRAWBRIDGE_INSTANCE_PROFILE_ARN", json!(names.profile_arn())),
        ];
        // One network has one order.
        if let [client] = clients[..] {
            places.push(("DRAWBRIDGE_CLIENT_CIDRS", json!(client)));
        }
        places
    }

    /// Who may invoke without a right of IAM's. Events may invoke cleanup; nobody may invoke the others.
    pub(super) async fn invokers(&self) -> Judged {
        let names = &self.shipped.names;
        for function in [&names.create_function, &names.cleanup_function, &names.posture_function] {
            let urls = self.account.see(&Thing::Urls(function.clone())).await?.unwrap_or_else(|| json!([]));
            expect(&format!("function {function} to have the URLs"), &json!([]), &urls, || {
                "delete the URL and find in CloudTrail who called CreateFunctionUrlConfig".to_owned()
            })?;
            let nothing = json!({"Statement": []});
            let found = self.account.see(&Thing::Invokers(function.clone())).await?.unwrap_or(nothing);
            let shipped = if *function == names.cleanup_function { self.events() } else { json!([]) };
            if let Some(difference) = policy::difference(&json!({"Statement": shipped}), &found) {
                return Err(NotHeld::broken(
                    format!("function {function} to be invoked from outside IAM by the shipped events alone"),
                    difference,
                    "remove the statement and find in CloudTrail who called AddPermission",
                ));
            }
        }
        Ok("the shipped events alone".to_owned())
    }

    /// What the template's permissions come to.
    fn events(&self) -> Value {
        let names = &self.shipped.names;
        let function = names.function_arn(&names.cleanup_function);
        let rule = |rule: &str| {
            json!({"Sid": rule, "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
                "Action": "lambda:InvokeFunction", "Resource": function,
                "Condition": {"ArnLike": {"AWS:SourceArn": names.rule_arn(rule)}}})
        };
        let marker = json!({"Sid": "marker", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "lambda:InvokeFunction", "Resource": function,
            "Condition": {"StringEquals": {"AWS:SourceAccount": names.account},
                "ArnLike": {"AWS:SourceArn": names.bucket_arn(&names.backup_bucket)}}});
        json!([marker, rule(&names.ended_rule), rule(&names.sweep_rule)])
    }

    /// Whether create hands out boxes at all. It says so itself when it is asked; here it is only told.
    pub(super) async fn started(&self) -> Judged {
        let function = &self.shipped.names.create_function;
        let found = self.see(Thing::Function(function.clone())).await?;
        let start = || "the stack was stopped on purpose: ask whoever did to start it again".to_owned();
        if found["Variables"]["DRAWBRIDGE_MAX_BOXES"] == "0" {
            return Err(NotHeld::broken("MaxBoxes above 0", "0", start()));
        }
        let reserved = self.account.see(&Thing::Concurrency(function.clone())).await?.unwrap_or(Value::Null);
        if reserved == 0 {
            return Err(NotHeld::broken(format!("function {function} to be let run"), short(&reserved), start()));
        }
        Ok("create hands out boxes".to_owned())
    }

    pub(super) async fn key(&self) -> Judged {
        let key = self.shipped.key.clone().unwrap_or_default();
        let found = self.see(Thing::Key(key.clone())).await?;
        expect(&format!("key {key} to be"), &json!("Enabled"), &found["State"], || {
            "cancel its deletion or enable it again, at once: find in CloudTrail who called ScheduleKeyDeletion or \
             DisableKey"
                .to_owned()
        })?;
        Ok(format!("enabled, {}", short(&found["Usage"])))
    }
}
