//! The Lambda `create`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use drawbridge_lambdas::{
    aws,
    certify::Signer,
    config::{CreateConfig, process_environment},
    create::{Creator, Program},
    emf,
    error::Error,
    events,
    kms::Key,
    rules, runtime,
};
use drawbridge_protocol::{
    CreateAnswer, SessionId, Sha256, Version,
    session::{CreateOutcome, Refusal},
};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    runtime::start_logs();
    let creator = Arc::new(creator().await?);
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let creator = Arc::clone(&creator);
        async move { answer(&creator, event).await.map_err(|error| runtime::diagnostic(&error)) }
    }))
    .await
}

async fn creator() -> Result<Creator, Error> {
    let root = root();
    let config = CreateConfig { rules: rules::load(&root)?, ..CreateConfig::read(&process_environment)? };
    let program = program(&root)?;
    let sdk = aws::config(config.extra_ca.as_ref()).await;
    let destroyer = runtime::destroyer(&config.stack, &sdk, config.s3_endpoint.is_some());
    let signer =
        config.receipt_key.clone().map(|arn| Arc::new(Key::new(aws::kms(&sdk), arn)) as Arc<dyn Signer>);
    Ok(Creator { config, program, destroyer, signer })
}

/// Where the function's zip lies unpacked.
fn root() -> PathBuf {
    process_environment("LAMBDA_TASK_ROOT").unwrap_or_else(|| ".".to_owned()).into()
}

/// The box's program, which is packaged beside this one.
fn program(root: &Path) -> Result<Program, Error> {
    let path = root.join("jumpbox");
    let unreadable =
        |why: std::io::Error| Error::Program { path: path.display().to_string(), why: why.to_string() };
    let bytes = std::fs::read(&path).map_err(unreadable)?;
    Ok(Program { digest: Sha256::of(&bytes), bytes })
}

async fn answer(creator: &Creator, event: LambdaEvent<Value>) -> Result<CreateAnswer, Error> {
    let moment = runtime::moment(&event.context);
    let answer = match events::create_request(&event.payload)? {
        Ok(request) => {
            let outcome = creator.answer(&request, moment).await?;
            answer_of(request.session, outcome)
        }
        Err(bad) => {
            let outcome = CreateOutcome::Refused { reason: Refusal::BadRequest, message: bad.message };
            answer_of(bad.session, outcome)
        }
    };
    if let CreateOutcome::Refused { reason, .. } = &answer.outcome {
        emf::write(&emf::of_refusal(&creator.config.stack.cluster, reason.name(), moment.now));
    }
    Ok(answer)
}

fn answer_of(session: SessionId, outcome: CreateOutcome) -> CreateAnswer {
    CreateAnswer { version: Version, session, outcome }
}
