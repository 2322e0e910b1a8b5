//! The account itself behind [`Account`], by AWS's SDKs. Only calls that read; the role's policy allows no others.

mod buckets;
mod functions;
mod identities;
mod network;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_smithy_types::error::{display::DisplayErrorContext, metadata::ProvideErrorMetadata};
use serde_json::Value;

use super::{Account, Thing, Unseen};
use crate::aws;

type Seen = Result<Option<Value>, Unseen>;

/// The clients of one account and region.
#[derive(Clone, Debug)]
pub struct Clients {
    s3: aws_sdk_s3::Client,
    ec2: aws_sdk_ec2::Client,
    iam: aws_sdk_iam::Client,
    lambda: aws_sdk_lambda::Client,
    events: aws_sdk_eventbridge::Client,
    kms: aws_sdk_kms::Client,
}

impl Clients {
    pub fn new(config: &SdkConfig, other_s3: bool) -> Self {
        Self {
            s3: aws::s3(config, other_s3),
            ec2: aws_sdk_ec2::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            lambda: aws_sdk_lambda::Client::new(config),
            events: aws_sdk_eventbridge::Client::new(config),
            kms: aws_sdk_kms::Client::new(config),
        }
    }
}

#[async_trait]
impl Account for Clients {
    async fn see(&self, thing: &Thing) -> Seen {
        match thing {
            Thing::BucketPolicy(bucket) => buckets::policy(&self.s3, bucket).await,
            Thing::PublicAccess(bucket) => buckets::public_access(&self.s3, bucket).await,
            Thing::Ownership(bucket) => buckets::ownership(&self.s3, bucket).await,
            Thing::Encryption(bucket) => buckets::encryption(&self.s3, bucket).await,
            Thing::Lock(bucket) => buckets::lock(&self.s3, bucket).await,
            Thing::Lifecycle(bucket) => buckets::lifecycle(&self.s3, bucket).await,
            Thing::Notifications(bucket) => buckets::notifications(&self.s3, bucket).await,
            Thing::LastSweep(bucket) => buckets::last_sweep(&self.s3, bucket).await,
            Thing::Stop(bucket) => buckets::stop(&self.s3, bucket).await,
            Thing::Endpoints(vpc) => network::endpoints(&self.ec2, vpc).await,
            Thing::RouteTable(subnet) => network::route_table(&self.ec2, subnet).await,
            Thing::Acl(subnet) => network::acl(&self.ec2, subnet).await,
            Thing::Group(group) => network::group(&self.ec2, group).await,
            Thing::Boxes(stack) => network::boxes(&self.ec2, stack).await,
            Thing::Role(role) => identities::role(&self.iam, role).await,
            Thing::Profile(profile) => identities::profile(&self.iam, profile).await,
            Thing::User(user) => identities::user(&self.iam, user).await,
            Thing::ManagedPolicy(arn) => identities::managed_policy(&self.iam, arn).await,
            Thing::Function(function) => functions::function(&self.lambda, function).await,
            Thing::Invokers(function) => functions::invokers(&self.lambda, function).await,
            Thing::Urls(function) => functions::urls(&self.lambda, function).await,
            Thing::Concurrency(function) => functions::concurrency(&self.lambda, function).await,
            Thing::Rule(rule) => functions::rule(&self.events, rule).await,
            Thing::Key(key) => functions::key(&self.kms, key).await,
        }
    }
}

/// The answer, or nothing where the service says with one of these codes that there is none.
fn answered<T, E>(action: &'static str, answer: Result<T, E>, none: &[&str]) -> Result<Option<T>, Unseen>
where
    E: ProvideErrorMetadata + std::error::Error,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code().is_some_and(|code| none.contains(&code)) => Ok(None),
        Err(error) => Err(failed(action, &error)),
    }
}

fn failed<E: ProvideErrorMetadata + std::error::Error>(action: &'static str, error: &E) -> Unseen {
    let why = match (error.code(), error.message()) {
        (Some(code), message) => format!("{code}: {}", message.unwrap_or("no message")),
        (None, _) => DisplayErrorContext(error).to_string(),
    };
    Unseen { action, why: why.chars().take(200).collect() }
}

/// A document that a service keeps as text; IAM encodes it as a URL does.
fn document(action: &'static str, text: &str) -> Result<Value, Unseen> {
    let unreadable = |why: String| Unseen { action, why };
    let text = if text.trim_start().starts_with('{') {
        text.to_owned()
    } else {
        decoded(text).ok_or_else(|| unreadable("the document is not encoded as a URL".to_owned()))?
    };
    serde_json::from_str(&text).map_err(|error| unreadable(format!("the document is no JSON ({error})")))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        match *first {
            b'%' => {
                let (code, more) = more.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
                rest = more;
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::document;

    #[test]
    fn documents_are_read_plain_and_encoded() {
        let expected = json!({"a": "b c+é"});
        assert_eq!(document("x", r#"{"a": "b c+é"}"#).unwrap(), expected);
        assert_eq!(document("x", "%7B%22a%22%3A%20%22b%20c%2B%C3%A9%22%7D").unwrap(), expected);
        for wrong in ["%7", "%zz", "nothing", "{"] {
            assert!(document("x", wrong).is_err(), "{wrong}");
        }
    }
}
