//! The Lambda `posture`.

use std::sync::Arc;

use drawbridge_lambdas::{
    aws,
    config::{self, process_environment},
    error::Error,
    posture::{Checker, Shipped, see::Clients},
    runtime,
};
use drawbridge_protocol::{PostureAnswer, PostureRequest, Version, json, posture::PostureOutcome};
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    runtime::start_logs();
    let checker = checker().await.map_err(|error| runtime::diagnostic(&error).error_message)?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let checker = checker.clone();
        async move { answer(&checker, &event.payload).await.map_err(|error| runtime::diagnostic(&error)) }
    }))
    .await
}

async fn checker() -> Result<Checker, Error> {
    let shipped = Shipped::read(&process_environment)?;
    let sdk = aws::config(config::extra_ca(&process_environment)?.as_ref()).await;
    let other_s3 = process_environment("AWS_ENDPOINT_URL_S3").is_some_and(|url| !url.is_empty());
    Ok(Checker { shipped, account: Arc::new(Clients::new(&sdk, other_s3)) })
}

async fn answer(checker: &Checker, payload: &Value) -> Result<PostureAnswer, Error> {
    let bytes = json::write("posture request", payload)?;
    let outcome = match json::parse::<PostureRequest>("posture request", &bytes, json::MAX_MESSAGE) {
        Ok(_) => {
            let posture = checker.check(Timestamp::now()).await?;
            for guarantee in &posture.guarantees {
                let (id, state) = (&guarantee.id, guarantee.state.as_str());
                tracing::info!(guarantee = id, state, why = guarantee.message, "looked at");
            }
            PostureOutcome::Checked(posture)
        }
        Err(error) => PostureOutcome::Refused { message: error.to_string() },
    };
    Ok(PostureAnswer { version: Version, outcome })
}
