//! Every call of a session's life, interrupted: by death, by cleanup, by a second `create`.

use std::sync::{Arc, Mutex};

use drawbridge_protocol::session::CleanupOutcome;

use super::{
    Stack, is_ready, request,
    world::{Cut, World},
};

/// How many calls it takes from nothing to ready.
async fn calls_until_ready() -> usize {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    let calls = stack.world.inner().calls.len();
    assert!(calls > 25, "{calls}");
    calls
}

fn exactly_one_of_each(world: &World, at: usize) {
    let inner = world.inner();
    let slots = inner.objects.keys().filter(|key| key.starts_with("slots/")).count();
    let counts = (inner.instances.len(), inner.interfaces.len(), inner.groups.len(), slots);
    assert_eq!(counts, (1, 1, 1, 1), "interrupted at call {at}");
}

#[tokio::test]
async fn a_create_that_dies_at_any_call_goes_on_to_one_box() {
    for at in 1..=calls_until_ready().await {
        for cut in [Cut::Before, Cut::After] {
            let stack = Stack::new();
            stack.world.cut_at(at, cut);
            let outcome = stack.ask_until_settled(&request(1), 1).await;
            assert!(is_ready(&outcome), "{cut:?} {at}: {outcome:?}");
            exactly_one_of_each(&stack.world, at);
            stack.close_until_destroyed(1).await;
            assert_eq!(stack.world.left(), Vec::<String>::new(), "{cut:?} {at}");
        }
    }
}

#[tokio::test]
async fn a_create_that_dies_at_any_call_and_never_returns_is_cleaned_up() {
    for at in 1..=calls_until_ready().await {
        for cut in [Cut::Before, Cut::After] {
            let stack = Stack::new();
            stack.world.cut_at(at, cut);
            // It may die in the first call or in a later one; nobody asks again after that.
            for _ in 0..10 {
                if stack.create(&request(1)).await.map_or(true, |outcome| is_ready(&outcome)) {
                    break;
                }
                stack.tick().await;
                stack.report(1);
            }
            stack.world.revive();
            stack.close_until_destroyed(1).await;
            assert_eq!(stack.world.left(), Vec::<String>::new(), "{cut:?} {at}");
        }
    }
}

#[tokio::test]
async fn a_cleanup_that_dies_at_any_call_goes_on() {
    for at in 1..=30 {
        for cut in [Cut::Before, Cut::After] {
            let stack = Stack::new();
            assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
            stack.upload(1);
            let calls = stack.world.inner().calls.len();
            stack.world.cut_at(calls + at, cut);
            // Only the cluster asks: the events' own passes must not hide what is tested.
            for _ in 0..20 {
                if stack.close(1).await.is_ok_and(|outcome| outcome == CleanupOutcome::Destroyed) {
                    break;
                }
                stack.world.revive();
                stack.world.tick();
                stack.world.pass(2);
            }
            assert_eq!(stack.world.left(), Vec::<String>::new(), "{cut:?} {at}");
        }
    }
}

/// Cleanup comes in at call `at` of `create` and is asked until it is done or gets no further.
fn cleanup_at(stack: &Stack, at: usize) -> Arc<Mutex<Option<CleanupOutcome>>> {
    let said = Arc::new(Mutex::new(None));
    let (other, writes) = (stack.clone(), Arc::clone(&said));
    stack.world.intrude_at(at, move || async move {
        for _ in 0..5 {
            let outcome = other.close(1).await.unwrap();
            let done = outcome == CleanupOutcome::Destroyed;
            *writes.lock().unwrap() = Some(outcome);
            if done {
                break;
            }
            other.world.tick();
        }
    });
    said
}

/// Where cleanup said that all is destroyed, nobody asks it again: only EC2's events come.
async fn nothing_is_left(stack: &Stack, said: Option<CleanupOutcome>, why: &str) {
    if said == Some(CleanupOutcome::Destroyed) {
        for _ in 0..5 {
            stack.tick().await;
        }
    } else {
        stack.close_until_destroyed(1).await;
    }
    assert_eq!(stack.world.left(), Vec::<String>::new(), "{why}, cleanup said {said:?}");
}

#[tokio::test]
async fn cleanup_between_any_two_calls_of_create_leaves_nothing() {
    for at in 1..=calls_until_ready().await {
        let stack = Stack::new();
        let said = cleanup_at(&stack, at);
        let outcome = stack.ask_until_settled(&request(1), 1).await;
        let said = said.lock().unwrap().take();
        assert!(said.is_some(), "cleanup ran at call {at}");
        // At the last calls the answer was already made.
        if is_ready(&outcome) {
            let again = stack.create(&request(1)).await.unwrap();
            assert!(!is_ready(&again), "{at}: {again:?}");
        }
        nothing_is_left(&stack, said, &format!("cleanup at call {at}")).await;
    }
}

#[tokio::test]
async fn cleanup_at_any_call_at_which_create_dies_leaves_nothing() {
    for at in 1..=calls_until_ready().await {
        for cut in [Cut::Before, Cut::After] {
            let stack = Stack::new();
            let said = cleanup_at(&stack, at);
            stack.world.cut_at(at, cut);
            for _ in 0..10 {
                if stack.create(&request(1)).await.map_or(true, |outcome| is_ready(&outcome)) {
                    break;
                }
                stack.tick().await;
                stack.report(1);
            }
            stack.world.revive();
            let said = said.lock().unwrap().take();
            // What a dead create put into the bucket after its session was closed is the sweep's to find.
            if said == Some(CleanupOutcome::Destroyed) {
                stack.world.pass(300);
                for _ in 0..5 {
                    stack.event(crate::events::CleanupEvent::Sweep).await;
                    stack.world.tick();
                }
            }
            nothing_is_left(&stack, said, &format!("cleanup and {cut:?} at call {at}")).await;
        }
    }
}

#[tokio::test]
async fn a_second_create_at_any_call_makes_no_second_box() {
    for at in 1..=calls_until_ready().await {
        let stack = Stack::new();
        let other = stack.clone();
        stack.world.intrude_at(at, move || async move {
            let _ = other.create(&request(1)).await;
        });
        let outcome = stack.ask_until_settled(&request(1), 1).await;
        assert!(is_ready(&outcome), "{at}: {outcome:?}");
        exactly_one_of_each(&stack.world, at);
    }
}

#[tokio::test]
async fn two_sessions_at_any_call_get_two_slots() {
    for at in 1..=calls_until_ready().await {
        let stack = Stack::new();
        let other = stack.clone();
        stack.world.intrude_at(at, move || async move {
            other.create(&request(2)).await.unwrap();
        });
        assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await), "{at}");
        assert!(is_ready(&stack.ask_until_settled(&request(2), 2).await), "{at}");
        assert_eq!(stack.world.inner().instances.len(), 2, "{at}");
    }
}

#[tokio::test]
async fn a_create_that_was_closed_under_way_does_not_keep_cleanup_waiting() {
    for at in 1..=calls_until_ready().await {
        let stack = Stack::new();
        let _ = cleanup_at(&stack, at);
        stack.ask_until_settled(&request(1), 1).await;
        let begun = stack.world.now();
        stack.close_until_destroyed(1).await;
        let waited = stack.world.now().duration_since(begun).as_secs();
        assert!(waited < 15, "{waited} s after a cleanup at call {at}");
    }
}

#[tokio::test]
async fn a_second_cleanup_at_any_call_hinders_neither() {
    for at in 1..=25 {
        let stack = Stack::new();
        assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
        stack.upload(1);
        stack.close(1).await.unwrap();
        stack.world.tick();
        let (other, calls) = (stack.clone(), stack.world.inner().calls.len());
        stack.world.intrude_at(calls + at, move || async move {
            other.close(1).await.unwrap();
        });
        for _ in 0..3 {
            stack.close(1).await.unwrap();
        }
        assert_eq!(stack.world.left(), Vec::<String>::new(), "{at}");
    }
}
