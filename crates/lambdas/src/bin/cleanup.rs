//! The Lambda `cleanup`, and its copies for markers and for events.

use std::{sync::Arc, time::Duration};

use drawbridge_lambdas::{
    aws,
    cleanup::{Answer, Cleaner, Swept},
    config::{self, Stack, process_environment},
    emf,
    error::Error,
    events::{self, Serves},
    runtime,
};
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

/// Between two passes over what an event is about: EC2 takes some seconds to end a machine.
const PAUSE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    runtime::start_logs();
    let serves = config::serves(&process_environment)?;
    let cleaner = Arc::new(cleaner().await?);
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let cleaner = Arc::clone(&cleaner);
        async move { answer(&cleaner, serves, event).await.map_err(|error| runtime::diagnostic(&error)) }
    }))
    .await
}

async fn cleaner() -> Result<Cleaner, Error> {
    let stack = Stack::read(&process_environment)?;
    let sdk = aws::config(config::extra_ca(&process_environment)?.as_ref()).await;
    let other_s3 = process_environment("AWS_ENDPOINT_URL_S3").is_some_and(|url| !url.is_empty());
    let destroyer = runtime::destroyer(&stack, &sdk, other_s3);
    Ok(Cleaner { stack, destroyer, pause: PAUSE, clock: Arc::new(Timestamp::now) })
}

async fn answer(cleaner: &Cleaner, serves: Serves, event: LambdaEvent<Value>) -> Result<Answer, Error> {
    let moment = runtime::moment(&event.context);
    let parsed = events::cleanup_event(&event.payload, &cleaner.stack.cluster, &cleaner.stack.backup_bucket)?;
    let answer = cleaner.handle(serves.admit(parsed)?, moment).await?;
    if let Answer::Event(Swept { found: Some(found), .. }) = &answer {
        emf::write(&emf::of_sweep(&cleaner.stack.cluster, found, moment.now));
    }
    Ok(answer)
}
