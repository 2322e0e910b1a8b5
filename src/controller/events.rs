//! Events: what happened, for people. They are a courtesy: a namespace that terminates takes none, so one that
//! cannot be written never fails anything.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tracing::debug;

use crate::api::conditions::shortened;

/// Writes events about one kind of object at a time.
#[derive(Clone)]
pub struct Events(Recorder);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter =
            Reporter { controller: "drawbridge-controller".to_owned(), instance: Some(instance.to_owned()) };
        Self(Recorder::new(client, reporter))
    }

    /// Something went as it should.
    pub async fn normal(&self, about: &ObjectReference, action: &str, reason: &str, note: &str) {
        self.publish(EventType::Normal, about, action, reason, note).await;
    }

    /// Something needs attention.
    pub async fn warning(&self, about: &ObjectReference, action: &str, reason: &str, note: &str) {
        self.publish(EventType::Warning, about, action, reason, note).await;
    }

    async fn publish(
        &self,
        type_: EventType,
        about: &ObjectReference,
        action: &str,
        reason: &str,
        note: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(shortened(note)),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, about).await {
            debug!(%error, reason, "an event could not be written");
        }
    }
}
