//! What `create` does not do.

use drawbridge_protocol::{
    JobRef, SessionSigner, Sha256,
    session::{Refusal, Waiting},
};
use serde_json::Value;

use super::{OTHER_KEY, Stack, is_ready, refusal, request, session, waits_for};
use crate::names::key;

#[tokio::test]
async fn a_session_id_belongs_to_one_key_and_one_job() {
    let stack = Stack::new();
    let first = request(1);
    stack.create(&first).await.unwrap();
    let mut other_key = first.clone();
    other_key.client_key = OTHER_KEY.parse().unwrap();
    let mut other_job = first.clone();
    other_job.job = JobRef::new("default".into(), "nightly".into(), "ff".into(), 1).unwrap();
    for other in [other_key, other_job] {
        assert_eq!(refusal(&stack.create(&other).await.unwrap()), Some(Refusal::SessionReused));
    }
    assert!(is_ready(&stack.ask_until_settled(&first, 1).await));
}

#[tokio::test]
async fn a_session_whose_objects_can_lie_nowhere_claims_nothing() {
    let stack = Stack::new();
    let mut among_the_markers = request(1);
    among_the_markers.job = JobRef::new("ended".into(), "nightly".into(), "ff".into(), 1).unwrap();
    let outcome = stack.create(&among_the_markers).await.unwrap();
    assert_eq!(refusal(&outcome), Some(Refusal::BadRequest));
    assert_eq!(stack.world.left(), Vec::<String>::new());
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
}

#[tokio::test]
async fn the_same_request_again_has_the_same_answer_and_makes_nothing_more() {
    let stack = Stack::new();
    let first = stack.ask_until_settled(&request(1), 1).await;
    assert!(is_ready(&first));
    let left = stack.world.left();
    for _ in 0..3 {
        assert_eq!(stack.create(&request(1)).await.unwrap(), first);
    }
    assert_eq!(stack.world.left(), left);
}

#[tokio::test]
async fn a_closed_session_gets_no_box_again() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack.close_until_destroyed(1).await;
    let mut other_key = request(1);
    other_key.client_key = OTHER_KEY.parse().unwrap();
    for again in [request(1), other_key] {
        assert_eq!(refusal(&stack.create(&again).await.unwrap()), Some(Refusal::SessionEnded));
    }
    assert_eq!(stack.world.left(), Vec::<String>::new());
    stack.close_until_destroyed(2).await;
    assert_eq!(
        refusal(&stack.create(&request(2)).await.unwrap()),
        Some(Refusal::SessionEnded),
        "never opened"
    );
}

#[tokio::test]
async fn past_its_deadline_a_session_is_refused() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack.world.pass(3600);
    assert_eq!(refusal(&stack.create(&request(1)).await.unwrap()), Some(Refusal::DeadlinePassed));
}

#[tokio::test]
async fn with_all_slots_taken_a_session_waits_and_saves_nothing() {
    let stack = Stack::new();
    stack.create(&request(1)).await.unwrap();
    stack.create(&request(2)).await.unwrap();
    assert_eq!(waits_for(&stack.create(&request(3)).await.unwrap()), Some(Waiting::Slot));
    assert_eq!(stack.saved(3), None);
    stack.close_until_destroyed(1).await;
    assert_eq!(waits_for(&stack.create(&request(3)).await.unwrap()), Some(Waiting::Instance));
}

#[tokio::test]
async fn a_slot_past_its_deadline_and_grace_is_reclaimed_after_its_session_was_ended() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    assert!(is_ready(&stack.ask_until_settled(&request(2), 2).await));
    stack.world.pass(3600 + 599);
    assert_eq!(waits_for(&stack.create(&request(3)).await.unwrap()), Some(Waiting::Slot));
    stack.world.pass(1);
    assert_eq!(
        waits_for(&stack.create(&request(3)).await.unwrap()),
        Some(Waiting::Slot),
        "they are shutting down"
    );
    stack.world.tick();
    assert_eq!(waits_for(&stack.create(&request(3)).await.unwrap()), Some(Waiting::Instance));
    stack.close_until_destroyed(3).await;
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_stopped_stack_makes_no_box() {
    let mut stack = Stack::new();
    stack.config.max_boxes = 0;
    assert_eq!(refusal(&stack.create(&request(1)).await.unwrap()), Some(Refusal::Stopped));
}

#[tokio::test]
async fn a_report_that_does_not_fit_is_refused() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    let ready = key::ready(&session(1));
    let good: Value = serde_json::from_slice(&stack.world.inner().objects[&ready].0).unwrap();
    let other_key = SessionSigner::generate().unwrap().public().unwrap();
    let allowed = [("session_key", other_key.as_str().to_owned())];
    let wrong = [
        ("session", session(2).to_string()),
        ("instance", "i-other".to_owned()),
        ("program", Sha256::of(b"other").to_string()),
        ("host_key", "ssh-rsa AAAA".to_owned()),
        ("unknown", String::new()),
        ("session_key", "x".repeat(20_000)),
    ];
    for (fits, (field, value)) in
        allowed.map(|case| (true, case)).into_iter().chain(wrong.map(|case| (false, case)))
    {
        let mut report = good.clone();
        report[field] = Value::String(value);
        stack.put(&ready, &serde_json::to_vec(&report).unwrap());
        let outcome = stack.create(&request(1)).await.unwrap();
        assert_eq!(is_ready(&outcome), fits, "{field}: {outcome:?}");
        assert_eq!(refusal(&outcome), (!fits).then_some(Refusal::BoxEnded), "{field}");
    }
}

#[tokio::test]
async fn a_state_of_another_version_is_an_error_and_can_be_closed() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack.put(&key::session(&session(1)), b"{\"version\":2}");
    let error = stack.create(&request(1)).await.unwrap_err().to_string();
    assert!(error.contains("close the session"), "{error}");
    stack.close_until_destroyed(1).await;
    assert_eq!(stack.world.left(), Vec::<String>::new());
}
