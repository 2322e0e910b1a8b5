//! A box puts its session's marker at its deadline. Any box of the cluster may put any session's, at any time.

use drawbridge_protocol::session::Refusal;

use super::{Stack, is_ready, refusal, request, session};
use crate::{
    cleanup::{MARKER_TOLERANCE, Swept},
    events::CleanupEvent,
    names::key,
};

/// The sessions of the tests' configuration.
const SESSION_SECONDS: i64 = 3600;

async fn marker(stack: &Stack, number: u8) -> Swept {
    stack.event(CleanupEvent::Ended(vec![session(number)])).await
}

/// A box that is ready, and the first moment at which a marker counts in so many seconds.
async fn ready_before(seconds: i64) -> Stack {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack.world.pass(SESSION_SECONDS - MARKER_TOLERANCE.as_secs() - seconds);
    stack
}

async fn is_ended(stack: &Stack) {
    assert_eq!(marker(stack, 1).await.left.len(), 1);
    assert_eq!(refusal(&stack.create(&request(1)).await.unwrap()), Some(Refusal::BoxEnded));
    for _ in 0..3 {
        stack.tick().await;
    }
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_marker_before_the_deadline_ends_nothing_and_one_at_it_ends_its_session() {
    let stack = ready_before(1).await;
    assert_eq!(marker(&stack, 1).await, Swept::default());
    assert!(is_ready(&stack.create(&request(1)).await.unwrap()));
    stack.world.pass(1);
    is_ended(&stack).await;
}

#[tokio::test]
async fn where_the_state_cannot_be_read_the_deadline_of_the_slot_counts() {
    let stack = ready_before(1).await;
    stack.put(&key::session(&session(1)), b"{}");
    assert_eq!(marker(&stack, 1).await, Swept::default());
    stack.world.pass(1);
    is_ended(&stack).await;
}

#[tokio::test]
async fn a_marker_that_ends_nothing_costs_no_call_of_ec2() {
    // Of a session that never was, of one that lives, and of one whose time is up by its machine's tag alone.
    for (number, shown, seconds) in [(2, true, 0), (1, true, 1), (1, false, 0)] {
        let stack = ready_before(seconds).await;
        if !shown {
            stack.put(&key::session(&session(1)), b"{}");
            stack.world.inner().objects.remove("slots/0");
        }
        let before = stack.world.inner().calls.len();
        assert_eq!(marker(&stack, number).await, Swept::default());
        let calls = stack.world.inner().calls[before..].to_vec();
        let of_s3 = |call: &&str| ["GetObject", "ListObjectsV2"].contains(call);
        assert!(!calls.is_empty() && calls.iter().all(of_s3), "{number}, {shown}: {calls:?}");
    }
}

#[tokio::test]
async fn a_box_that_shows_no_deadline_but_its_tag_s_is_left_to_ec2_s_event() {
    let stack = ready_before(0).await;
    stack.put(&key::session(&session(1)), b"{}");
    stack.world.inner().objects.remove("slots/0");
    assert_eq!(marker(&stack, 1).await, Swept::default());
    let id = stack.world.inner().instances.keys().next().cloned().unwrap();
    assert_eq!(stack.event(CleanupEvent::Gone(id)).await.left.len(), 1);
    for _ in 0..3 {
        stack.tick().await;
    }
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_marker_of_a_session_that_nothing_shows_closes_nothing() {
    let stack = Stack::new();
    assert_eq!(marker(&stack, 1).await, Swept::default());
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
}

#[tokio::test]
async fn a_marker_whose_session_cannot_be_looked_up_is_an_error_so_that_it_comes_again() {
    let stack = ready_before(0).await;
    stack.world.inner().failing.insert(key::session(&session(1)));
    stack.try_event(CleanupEvent::Ended(vec![session(1)])).await.unwrap_err();
    stack.world.inner().failing.clear();
    is_ended(&stack).await;
}
