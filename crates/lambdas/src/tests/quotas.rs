//! How many sessions a day has, and the administrator's stop.

use drawbridge_protocol::session::{CreateOutcome, Refusal, Waiting};

use super::{Stack, is_ready, refusal, request, waits_for, world::Cut};
use crate::{names::key, state::Day};

const TODAY: &str = "days/2026-11-21";

fn stack_of(max_sessions_per_day: u32) -> Stack {
    let mut stack = Stack::new();
    stack.config.max_sessions_per_day = max_sessions_per_day;
    stack
}

fn counted(stack: &Stack) -> u32 {
    let inner = stack.world.inner();
    let (bytes, _) = inner.objects.get(TODAY).expect("the day's count");
    serde_json::from_slice::<Day>(bytes).unwrap().sessions
}

async fn open_and_close(stack: &Stack, number: u8) -> CreateOutcome {
    let outcome = stack.ask_until_settled(&request(number), number).await;
    stack.close_until_destroyed(number).await;
    outcome
}

#[tokio::test]
async fn past_the_day_s_sessions_one_is_refused_until_the_next_day() {
    let stack = stack_of(2);
    assert!(is_ready(&open_and_close(&stack, 1).await));
    assert!(is_ready(&open_and_close(&stack, 2).await));
    let outcome = stack.create(&request(3)).await.unwrap();
    let CreateOutcome::Refused { reason, message } = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason, Refusal::DailyQuota);
    assert!(message.contains("2026-11-22T00:00:00Z"), "{message}");
    assert_eq!(stack.world.left(), Vec::<String>::new());
    stack.world.pass(14 * 3600);
    assert!(is_ready(&open_and_close(&stack, 4).await));
}

#[tokio::test]
async fn who_waits_for_a_slot_is_counted_when_it_gets_one() {
    let stack = stack_of(3);
    stack.create(&request(1)).await.unwrap();
    stack.create(&request(2)).await.unwrap();
    for _ in 0..5 {
        assert_eq!(waits_for(&stack.create(&request(3)).await.unwrap()), Some(Waiting::Slot));
    }
    assert_eq!(counted(&stack), 2);
    stack.close_until_destroyed(1).await;
    assert!(is_ready(&stack.ask_until_settled(&request(3), 3).await));
    assert_eq!(counted(&stack), 3);
}

#[tokio::test]
async fn a_create_that_dies_at_any_call_is_counted_once() {
    for at in 1..=30 {
        for cut in [Cut::Before, Cut::After] {
            let stack = stack_of(2);
            stack.world.cut_at(at, cut);
            assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await), "{cut:?} {at}");
            assert_eq!(counted(&stack), 1, "{cut:?} {at}");
        }
    }
}

#[tokio::test]
async fn two_that_ask_for_the_day_s_last_session_get_one_at_any_call() {
    for at in 1..=30 {
        let stack = stack_of(1);
        let other = stack.clone();
        stack.world.intrude_at(at, move || async move {
            other.create(&request(2)).await.unwrap();
        });
        let outcomes =
            [stack.ask_until_settled(&request(1), 1).await, stack.ask_until_settled(&request(2), 2).await];
        let refused = outcomes.iter().filter(|outcome| refusal(outcome) == Some(Refusal::DailyQuota)).count();
        let ready = outcomes.iter().filter(|outcome| is_ready(outcome)).count();
        assert_eq!((ready, refused, counted(&stack)), (1, 1, 1), "{at}: {outcomes:?}");
    }
}

#[tokio::test]
async fn a_count_that_cannot_be_read_opens_nothing() {
    let stack = Stack::new();
    stack.put(TODAY, b"{}");
    let error = stack.create(&request(1)).await.unwrap_err().to_string();
    assert!(error.contains(TODAY), "{error}");
    assert!(stack.world.inner().instances.is_empty());
    stack.close_until_destroyed(1).await;
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn while_the_stop_is_there_no_box_is_made_and_its_text_is_told() {
    let stack = Stack::new();
    for text in ["incident 7\n", "", &"x".repeat(10_000)] {
        stack.put(key::STOP, text.as_bytes());
        let outcome = stack.create(&request(1)).await.unwrap();
        let CreateOutcome::Refused { reason, message } = outcome else { panic!("{outcome:?}") };
        assert_eq!(reason, Refusal::Stopped);
        assert!(message.contains(key::STOP) && message.len() < 400, "{message}");
        assert!(!text.starts_with("incident") || message.ends_with("incident 7"), "{message}");
    }
    assert_eq!(stack.world.left(), Vec::<String>::new());
    stack.world.inner().objects.remove(key::STOP);
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
}

#[tokio::test]
async fn the_stop_holds_a_session_that_has_no_machine_yet_and_lets_one_that_has_go_on() {
    let (begun, launched) = (Stack::new(), Stack::new());
    let at = 1 + {
        launched.create(&request(1)).await.unwrap();
        launched.world.inner().calls.iter().position(|call| *call == "RunInstances").unwrap()
    };
    begun.world.cut_at(at, Cut::Before);
    begun.create(&request(1)).await.unwrap_err();
    begun.world.revive();
    for stack in [&begun, &launched] {
        stack.put(key::STOP, b"enough");
    }
    assert_eq!(refusal(&begun.create(&request(1)).await.unwrap()), Some(Refusal::Stopped));
    assert!(begun.world.inner().instances.is_empty());
    assert!(is_ready(&launched.ask_until_settled(&request(1), 1).await));
    assert_eq!(refusal(&launched.create(&request(2)).await.unwrap()), Some(Refusal::Stopped));
}
