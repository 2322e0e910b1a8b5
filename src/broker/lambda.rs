//! The real broker: synchronous invocations of a stack's functions.

use std::{
    collections::HashMap,
    sync::{Mutex, Once},
    time::Duration,
};

use async_trait::async_trait;
use aws_config::{
    BehaviorVersion, ConfigLoader, Region, SdkConfig, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_lambda::{
    Client,
    config::ProvideCredentials as _,
    error::{ProvideErrorMetadata as _, SdkError},
    operation::invoke::InvokeError,
    primitives::Blob,
};
use drawbridge_protocol::{
    CleanupAnswer, CleanupRequest, CreateAnswer, CreateRequest, ExtraCa, Posture, PostureAnswer,
    PostureRequest, SessionId, json,
    posture::{MAX_ANSWER, PostureOutcome},
    session::{CleanupOutcome, CreateOutcome},
};
use serde::Serialize;
use tracing::warn;

use super::{Broker, BrokerError, Credentials, Function, trust};

/// A function answers in a second or two; one that hangs must not hold a reconcile for long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Where identity is asked for when the environment names no region.
const DEFAULT_REGION: &str = "us-east-1";
/// The longest text of an error that is kept.
const MAX_ERROR_TEXT: usize = 400;

/// Invokes Lambda functions with the identity of the process's environment.
pub struct LambdaBroker {
    base: SdkConfig,
    /// One client a region; a vault's region rarely changes, so nothing is ever removed.
    clients: Mutex<HashMap<String, Client>>,
    /// Of the warning of a long-lived key.
    warned: Once,
}

impl std::fmt::Debug for LambdaBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LambdaBroker")
    }
}

impl LambdaBroker {
    /// Reads credentials and endpoint from the environment as every AWS tool does.
    pub async fn from_environment(extra_ca: Option<&ExtraCa>) -> Self {
        Self::of(Self::settings(extra_ca)).await
    }

    pub(super) async fn of(settings: ConfigLoader) -> Self {
        Self { base: settings.load().await, clients: Mutex::default(), warned: Once::new() }
    }

    /// What the environment does not say.
    pub(super) fn settings(extra_ca: Option<&ExtraCa>) -> ConfigLoader {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ANSWER_TIMEOUT)
            .build();
        // Each vault names its region; looking for one in a metadata service would only cost time.
        let region =
            RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(DEFAULT_REGION);
        // The controller repeats on its own and knows why; the SDK only bridges a hiccup.
        aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(trust::https(extra_ca))
            .region(region)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(2))
    }

    fn client(&self, region: &str) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        clients
            .entry(region.to_owned())
            .or_insert_with(|| {
                let config = self.base.to_builder().region(Region::new(region.to_owned())).build();
                Client::new(&config)
            })
            .clone()
    }

    /// Sends `request` and returns the raw answer.
    async fn invoke(&self, function: &Function, request: &impl Serialize) -> Result<Vec<u8>, BrokerError> {
        let payload = json::write("request", request).map_err(|error| BrokerError::Answer {
            function: function.clone(),
            message: error.to_string(),
        })?;
        let output = self
            .client(&function.region)
            .invoke()
            .function_name(&function.name)
            .payload(Blob::new(payload))
            .send()
            .await
            .map_err(|error| invoke_error(function, &error))?;
        let answer = output.payload.map(Blob::into_inner).unwrap_or_default();
        match output.function_error {
            Some(kind) => {
                Err(BrokerError::Function { function: function.clone(), message: thrown(&kind, &answer) })
            }
            None => Ok(answer),
        }
    }
}

#[async_trait]
impl Broker for LambdaBroker {
    async fn create(
        &self,
        function: &Function,
        request: &CreateRequest,
    ) -> Result<CreateOutcome, BrokerError> {
        let answer = self.invoke(function, request).await?;
        create_outcome(function, &request.session, &answer)
    }

    async fn cleanup(
        &self,
        function: &Function,
        request: &CleanupRequest,
    ) -> Result<CleanupOutcome, BrokerError> {
        let answer = self.invoke(function, request).await?;
        cleanup_outcome(function, &request.session, &answer)
    }

    async fn credentials(&self) -> Credentials {
        let Some(provider) = self.base.credentials_provider() else { return Credentials::Unknown };
        let Ok(found) = provider.provide_credentials().await else { return Credentials::Unknown };
        let kind = Credentials::of(found.session_token());
        if kind == Credentials::StaticKey {
            self.warned.call_once(|| {
                warn!("AWS is asked with a long-lived access key; docs/install.md has two ways without one");
            });
        }
        kind
    }

    async fn posture(&self, function: &Function, request: &PostureRequest) -> Result<Posture, BrokerError> {
        posture(function, &self.invoke(function, request).await?)
    }
}

fn create_outcome(
    function: &Function,
    session: &SessionId,
    answer: &[u8],
) -> Result<CreateOutcome, BrokerError> {
    let answer: CreateAnswer = json::parse("answer of create", answer, json::MAX_MESSAGE)
        .map_err(|error| BrokerError::Answer { function: function.clone(), message: error.to_string() })?;
    same_session(function, session, &answer.session)?;
    Ok(answer.outcome)
}

fn cleanup_outcome(
    function: &Function,
    session: &SessionId,
    answer: &[u8],
) -> Result<CleanupOutcome, BrokerError> {
    let answer: CleanupAnswer = json::parse("answer of cleanup", answer, json::MAX_MESSAGE)
        .map_err(|error| BrokerError::Answer { function: function.clone(), message: error.to_string() })?;
    same_session(function, session, &answer.session)?;
    Ok(answer.outcome)
}

fn posture(function: &Function, answer: &[u8]) -> Result<Posture, BrokerError> {
    let unusable = |message: String| BrokerError::Answer { function: function.clone(), message };
    let answer: PostureAnswer =
        json::parse("answer of posture", answer, MAX_ANSWER).map_err(|error| unusable(error.to_string()))?;
    match answer.outcome {
        PostureOutcome::Checked(posture) => Ok(posture),
        PostureOutcome::Refused { message } => Err(unusable(bounded(&message))),
    }
}

fn same_session(function: &Function, asked: &SessionId, answered: &SessionId) -> Result<(), BrokerError> {
    if asked == answered {
        return Ok(());
    }
    let message = format!("asked for session {asked}, answered for {answered}");
    Err(BrokerError::Answer { function: function.clone(), message })
}

/// What a function threw: Lambda wraps it as `{"errorMessage": "...", "errorType": "..."}`.
fn thrown(kind: &str, answer: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Thrown {
        #[serde(rename = "errorMessage", default)]
        message: String,
    }
    let message = match json::parse::<Thrown>("error", answer, json::MAX_MESSAGE) {
        Ok(thrown) => thrown.message,
        Err(_) => String::from_utf8_lossy(&answer[..answer.len().min(MAX_ERROR_TEXT)]).into_owned(),
    };
    format!("{kind}: {}", bounded(&message))
}

fn invoke_error(function: &Function, error: &SdkError<InvokeError>) -> BrokerError {
    let function = function.clone();
    let message = match error {
        // The service's own words; its code stands in the kind.
        SdkError::ServiceError(context) => {
            context.err().message().map_or_else(|| error_chain(error), str::to_owned)
        }
        _ => error_chain(error),
    };
    let message = bounded(&message);
    match error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            match (context.err().code().unwrap_or_default(), status) {
                ("TooManyRequestsException" | "ThrottlingException", _) | (_, 429) => {
                    BrokerError::Throttled { function, message }
                }
                ("ResourceNotFoundException", _) => BrokerError::Missing { function, message },
                ("InvalidSignatureException" | "RequestExpired", _) if is_about_time(&message) => {
                    BrokerError::Clock { function, message }
                }
                (_, 401 | 403) => BrokerError::Denied { function, message },
                _ => BrokerError::Service { function, message },
            }
        }
        // Credentials are looked for after the request was built, so a missing identity is a dispatch failure
        // that never reached a connection.
        SdkError::DispatchFailure(failure) if failure.is_other() => {
            BrokerError::Credentials { function, message }
        }
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
            BrokerError::Unreachable { function, message }
        }
        SdkError::ConstructionFailure(_) => BrokerError::Credentials { function, message },
        _ => BrokerError::Service { function, message },
    }
}

/// Whether a signature was refused for its time; a wrong key has the same code.
fn is_about_time(message: &str) -> bool {
    ["expired", "not yet current"].iter().any(|words| message.contains(words))
}

/// The error with its causes, since the SDK's own text is only `service error`.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        source = cause.source();
    }
    texts.join(": ")
}

fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_ERROR_TEXT).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use drawbridge_protocol::session::Waiting;

    fn function() -> Function {
        Function { region: "us-east-1".into(), name: "create".into() }
    }

    fn session() -> SessionId {
        "0123456789abcdef0123456789abcdef".parse().unwrap()
    }

    #[test]
    fn a_pending_answer_is_read() {
        let answer = br#"{"version":1,"session":"0123456789abcdef0123456789abcdef",
            "outcome":{"pending":{"retry_after_seconds":2,"waiting_for":"instance"}}}"#;
        let outcome = create_outcome(&function(), &session(), answer).unwrap();
        assert_eq!(
            outcome,
            CreateOutcome::Pending { retry_after_seconds: 2, waiting_for: Waiting::Instance }
        );
    }

    #[test]
    fn an_answer_for_another_session_is_refused() {
        let answer = br#"{"version":1,"session":"ffffffffffffffffffffffffffffffff","outcome":"destroyed"}"#;
        let error = cleanup_outcome(&function(), &session(), answer).unwrap_err();
        assert!(
            matches!(error, BrokerError::Answer { ref message, .. } if message.contains("ffff")),
            "{error}"
        );
    }

    #[test]
    fn unknown_fields_another_version_and_oversize_are_refused() {
        let unknown =
            br#"{"version":1,"session":"0123456789abcdef0123456789abcdef","outcome":"destroyed","x":1}"#;
        let version = br#"{"version":2,"session":"0123456789abcdef0123456789abcdef","outcome":"destroyed"}"#;
        let long = vec![b' '; json::MAX_MESSAGE + 1];
        for answer in [&unknown[..], &version[..], &long] {
            let error = cleanup_outcome(&function(), &session(), answer).unwrap_err();
            assert!(error.needs_a_person(), "{error}");
        }
    }

    #[test]
    fn a_posture_is_read_and_bounded() {
        let answer = |id: &str| {
            format!(
                r#"{{"version":1,"outcome":{{"checked":{{"checked_at":"2026-01-01T00:00:00Z","guarantees":[
                {{"id":"{id}","state":"holds","message":""}}]}}}}}}"#
            )
        };
        assert_eq!(super::posture(&function(), answer("key").as_bytes()).unwrap().guarantees.len(), 1);
        let refused = r#"{"version":1,"outcome":{"refused":{"message":"what?"}}}"#.to_owned();
        let long = format!("{}{}", " ".repeat(MAX_ANSWER), answer("key"));
        for wrong in [answer("No Id"), refused, long, "{}".to_owned()] {
            let error = super::posture(&function(), wrong.as_bytes()).unwrap_err();
            assert!(matches!(error, BrokerError::Answer { .. }), "{error}");
        }
    }

    #[test]
    fn what_a_function_threw_is_named_and_bounded() {
        let text = thrown("Unhandled", br#"{"errorType":"Error","errorMessage":"no such bucket"}"#);
        assert_eq!(text, "Unhandled: no such bucket");
        assert!(thrown("Unhandled", &vec![b'x'; 100_000]).len() < 500);
    }
}
