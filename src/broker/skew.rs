//! Asks a stack of the release before in words that it knows. It refuses what it does not know before it does anything,
//! so that asking again is safe. `docs/upgrades.md` says for how long this is needed.

use drawbridge_protocol::{
    CleanupRequest, CreateRequest,
    session::{CleanupOutcome, CreateOutcome, Refusal},
};
use tracing::info;

use super::{Broker, BrokerError, Function};

/// What the first revision's `create` has not heard of. It names the first of them that it meets.
const NEWER_FIELDS: [&str; 2] = ["series", "speaks"];

/// Asks for a box.
pub async fn create(
    broker: &dyn Broker,
    function: &Function,
    request: &CreateRequest,
) -> Result<CreateOutcome, BrokerError> {
    let outcome = broker.create(function, request).await?;
    let first = request.first();
    match &outcome {
        CreateOutcome::Refused { reason: Refusal::BadRequest, message }
            if first != *request && knows_none_of(&NEWER_FIELDS, message) =>
        {
            info!(%function, "the stack is of the release before; it is asked in its own words");
            broker.create(function, &first).await
        }
        _ => Ok(outcome),
    }
}

/// Asks for a session's end. That is more than the record that the receipt would be.
pub async fn cleanup(
    broker: &dyn Broker,
    function: &Function,
    request: &CleanupRequest,
) -> Result<CleanupOutcome, BrokerError> {
    let outcome = broker.cleanup(function, request).await?;
    match &outcome {
        CleanupOutcome::Refused { message }
            if request.receipt.is_some() && knows_none_of(&["certificate"], message) =>
        {
            info!(%function, "the stack is of the release before; it is asked without the receipt");
            broker.cleanup(function, &CleanupRequest { receipt: None, ..request.clone() }).await
        }
        _ => Ok(outcome),
    }
}

/// Whether a function refused one of `fields` because it has never heard of it.
fn knows_none_of(fields: &[&str], refusal: &str) -> bool {
    fields.iter().any(|field| refusal.contains(&format!("unknown field `{field}`")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Mutex;

    use async_trait::async_trait;
    use drawbridge_protocol::{
        Certificate, Envelope, JobRef, Posture, PostureRequest, Revisions, SessionSigner, Version,
        session::Waiting,
    };
    use serde_json::Value;

    use super::*;

    /// A stack that takes these fields and no others, as one of the first revision does.
    #[derive(Default)]
    struct Stack {
        create: &'static [&'static str],
        certificates: bool,
        asked: Mutex<Vec<Value>>,
    }

    const FIRST: [&str; 4] = ["version", "session", "client_key", "job"];

    #[async_trait]
    impl Broker for Stack {
        async fn create(&self, _: &Function, request: &CreateRequest) -> Result<CreateOutcome, BrokerError> {
            let request = serde_json::to_value(request).unwrap();
            let unknown =
                request.as_object().unwrap().keys().find(|key| !self.create.contains(&key.as_str()));
            let outcome = match unknown {
                Some(field) => CreateOutcome::Refused {
                    reason: Refusal::BadRequest,
                    message: format!("create request is not valid: unknown field `{field}`, expected one of"),
                },
                None => CreateOutcome::Pending { retry_after_seconds: 1, waiting_for: Waiting::Slot },
            };
            self.asked.lock().unwrap().push(request);
            Ok(outcome)
        }

        async fn cleanup(
            &self,
            _: &Function,
            request: &CleanupRequest,
        ) -> Result<CleanupOutcome, BrokerError> {
            let certified = request.receipt.as_ref().is_some_and(|receipt| receipt.certificate().is_some());
            self.asked.lock().unwrap().push(serde_json::to_value(request).unwrap());
            if certified && !self.certificates {
                let message = "cleanup request is not valid: unknown field `certificate`".to_owned();
                return Ok(CleanupOutcome::Refused { message });
            }
            Ok(CleanupOutcome::Destroyed)
        }

        async fn posture(&self, _: &Function, _: &PostureRequest) -> Result<Posture, BrokerError> {
            unreachable!("nobody asks")
        }
    }

    fn function() -> Function {
        Function { region: "us-east-1".to_owned(), name: "f".to_owned() }
    }

    fn request() -> CreateRequest {
        CreateRequest {
            version: Version,
            session: "0".repeat(32).parse().unwrap(),
            client_key: crate::transfer::ClientKey::generate().unwrap().public().clone(),
            job: JobRef::new("ns".into(), "j".into(), "aa".into(), 1).unwrap(),
            series: Some("nightly".to_owned().try_into().unwrap()),
            speaks: Some(Revisions::OURS),
        }
    }

    #[tokio::test]
    async fn a_stack_of_the_release_before_is_asked_again_in_its_own_words() {
        let older = Stack { create: &FIRST, ..Stack::default() };
        let outcome = create(&older, &function(), &request()).await.unwrap();
        assert!(matches!(outcome, CreateOutcome::Pending { .. }), "{outcome:?}");
        let asked = older.asked.into_inner().unwrap();
        assert_eq!(asked.len(), 2);
        assert!(asked[1].get("speaks").is_none() && asked[1].get("series").is_none(), "{}", asked[1]);
        assert_eq!(asked[0]["session"], asked[1]["session"]);
    }

    #[tokio::test]
    async fn a_stack_of_this_release_and_one_that_refuses_something_else_are_asked_once() {
        const ALL: [&str; 6] = ["version", "session", "client_key", "job", "series", "speaks"];
        const FEWER: [&str; 3] = ["version", "session", "client_key"];
        let ours = Stack { create: &ALL, ..Stack::default() };
        create(&ours, &function(), &request()).await.unwrap();
        assert_eq!(ours.asked.into_inner().unwrap().len(), 1);
        let stranger = Stack { create: &FEWER, ..Stack::default() };
        let outcome = create(&stranger, &function(), &request().first()).await.unwrap();
        assert!(matches!(outcome, CreateOutcome::Refused { .. }), "{outcome:?}");
        assert_eq!(stranger.asked.into_inner().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_session_is_ended_even_where_its_receipt_cannot_be_read() {
        let receipt = |certificate: Option<Certificate>| -> Envelope {
            SessionSigner::generate().unwrap().sign(b"{}").unwrap().certified_by(certificate)
        };
        let certified = receipt(Some(Certificate::new(b"{}", "key", b"signature")));
        for (certificates, asked) in [(false, 2), (true, 1)] {
            let stack = Stack { certificates, ..Stack::default() };
            let session = "0".repeat(32).parse().unwrap();
            let request = CleanupRequest { version: Version, session, receipt: Some(certified.clone()) };
            assert_eq!(cleanup(&stack, &function(), &request).await, Ok(CleanupOutcome::Destroyed));
            assert_eq!(stack.asked.into_inner().unwrap().len(), asked);
        }
    }
}
