//! What all Lambdas have around their handler: logs, clients, the invocation's moment, errors.

use std::sync::Arc;

use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{Context, Diagnostic};
use tracing_subscriber::EnvFilter;

use crate::{
    aws, config::Stack, destroy::Destroyer, ec2::Ec2, error::Error, s3::Bucket, state::Moment, store::Store,
};

/// Structured logs on standard output; Lambda keeps them.
pub fn start_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,aws_config=warn"));
    tracing_subscriber::fmt().json().flatten_event(true).without_time().with_env_filter(filter).init();
}

/// What `create` and `cleanup` end sessions with.
pub fn destroyer(stack: &Stack, config: &SdkConfig, other_s3: bool) -> Destroyer {
    let state = Bucket::new(aws::s3(config, other_s3), stack.state_bucket.clone());
    let backup = Bucket::new(aws::impatient_s3(config, other_s3), stack.backup_bucket.clone());
    Destroyer {
        cluster: stack.cluster.clone(),
        store: Store::new(Arc::new(state)),
        machines: Arc::new(Ec2::new(aws_sdk_ec2::Client::new(config), stack.name.clone())),
        uploads: Arc::new(backup),
    }
}

/// Now, and when Lambda ends this invocation.
pub fn moment(context: &Context) -> Moment {
    let now = Timestamp::now();
    let until = i64::try_from(context.deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    // Without a deadline the longest that Lambda allows.
    Moment { now, until: until.unwrap_or(now + SignedDuration::from_mins(15)) }
}

/// An error as the caller of the function sees it.
pub fn diagnostic(error: &Error) -> Diagnostic {
    tracing::error!(%error, "failed");
    Diagnostic { error_type: "Drawbridge".to_owned(), error_message: error.to_string() }
}
