//! Controllers of the release before, sessions that its `create` claimed, and controllers that do not fit at all.

use std::collections::BTreeSet;

use drawbridge_protocol::{
    Orders, Revision, Revisions,
    session::{CreateOutcome, Refusal},
};

use super::{
    Stack,
    certifying::{certifying, ready},
    is_ready, refusal, request, session, waits_for,
};
use crate::{names::key, state::Session};

/// Every field of the state that `create` of the release before could save; it refuses others.
const FIRST_STATE: [&str; 10] = [
    "version",
    "session",
    "job",
    "client_key",
    "slot",
    "deadline",
    "saved_at",
    "in_flight_until",
    "unanswered",
    "phase",
];

/// A session that `create` of commit 94692b2 saved while its box booted.
const BOOTING: &str = r#"{
  "version": 1, "session": "SESSION",
  "job": { "namespace": "default", "name": "nightly", "uid": "01", "attempt": 1 },
  "client_key": "CLIENT_KEY", "slot": 0, "deadline": "2026-11-21T11:00:00Z", "saved_at": "2026-11-21T10:00:00Z",
  "phase": { "booting": {
    "machine": { "instance": "i-0123456789abcdef0", "group": "sg-0123456789abcdef0",
                 "program": "9b5dfa6b0f1d5ee8a39d5d1f5d0f4b3fd3a0b4d7a8c5f1e2d3c4b5a697887766" },
    "interface": "eni-0123456789abcdef0" } }
}"#;

fn orders(stack: &Stack, number: u8) -> Orders {
    let inner = stack.world.inner();
    let (bytes, _) = inner.objects.get(&key::orders(&session(number))).expect("orders");
    serde_json::from_slice(bytes).unwrap()
}

#[tokio::test]
async fn a_controller_of_the_release_before_gets_what_it_knows_and_one_of_this_release_the_rest() {
    let (stack, kms) = certifying();
    let older = ready(stack.ask_until_settled(&request(1).first(), 1).await);
    assert_eq!((older.revision, older.certificate), (Revision::FIRST, None));
    assert_eq!((orders(&stack, 1).revision, kms.asked()), (Revision::FIRST, 0));

    let ours = ready(stack.ask_until_settled(&request(2), 2).await);
    assert_eq!((ours.revision, ours.certificate.is_some()), (Revision::CERTIFIED, true));
    assert_eq!((orders(&stack, 2).revision, kms.asked()), (Revision::CERTIFIED, 1));
}

#[tokio::test]
async fn the_day_s_quota_is_a_quota_to_who_knows_no_other() {
    let mut stack = Stack::new();
    stack.config.max_sessions_per_day = 1;
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    assert_eq!(refusal(&stack.create(&request(2).first()).await.unwrap()), Some(Refusal::Quota));
    assert_eq!(refusal(&stack.create(&request(2)).await.unwrap()), Some(Refusal::DailyQuota));
}

#[tokio::test]
async fn a_controller_that_does_not_fit_is_told_whom_to_upgrade_and_nothing_is_made() {
    let stack = Stack::new();
    let newer = Some(Revisions::of(3, 4).unwrap());
    let outcome =
        stack.create(&drawbridge_protocol::CreateRequest { speaks: newer, ..request(1) }).await.unwrap();
    let CreateOutcome::Refused { reason, message } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(*reason, Refusal::VersionSkew);
    assert!(
        message.contains("revision 3 to 4 of the protocol, the stack 1 to 2: upgrade the stack"),
        "{message}"
    );
    assert_eq!(stack.world.left(), Vec::<String>::new());
    let next = Some(Revisions::of(2, 3).unwrap());
    let fits = drawbridge_protocol::CreateRequest { speaks: next, ..request(1) };
    assert!(is_ready(&stack.ask_until_settled(&fits, 1).await));
}

#[tokio::test]
async fn a_stack_that_is_upgraded_in_mid_session_goes_on_in_the_session_s_words() {
    // The series is asked for from the upgrade on; the session was claimed without one.
    let upgraded = |number| {
        let series = Some("weekly".to_owned().try_into().unwrap());
        drawbridge_protocol::CreateRequest { series, ..request(number) }
    };
    for steps in 1..8 {
        let (stack, _) = certifying();
        let before = request(1).first();
        for _ in 0..steps {
            let outcome = stack.create(&before).await.unwrap();
            stack.tick().await;
            if waits_for(&outcome).is_none() {
                break;
            }
        }
        let saved: Session = stack.saved(1).unwrap();
        let written = serde_json::to_value(&saved).unwrap();
        let fields: BTreeSet<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(fields.is_subset(&FIRST_STATE.into()), "{fields:?}");

        let ready = ready(stack.ask_until_settled(&upgraded(1), 1).await);
        assert_eq!((ready.revision, ready.certificate), (Revision::FIRST, None), "after {steps} steps");
        stack.close_until_destroyed(1).await;
        assert_eq!(stack.world.left(), Vec::<String>::new(), "after {steps} steps");
    }
}

#[test]
fn a_state_that_the_release_before_saved_is_read_and_written_as_it_was() {
    let key = request(1).client_key.to_string();
    let text = BOOTING.replace("SESSION", session(1).as_str()).replace("CLIENT_KEY", &key);
    let saved: Session = serde_json::from_str(&text).unwrap();
    assert_eq!((saved.revision, &saved.series, &saved.certificate), (Revision::FIRST, &None, &None));
    let again = serde_json::to_value(&saved).unwrap();
    assert_eq!(again, serde_json::from_str::<serde_json::Value>(&text).unwrap());
}
