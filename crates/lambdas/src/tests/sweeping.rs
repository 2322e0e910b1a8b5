//! What the events and the sweep find.

use drawbridge_protocol::session::{CreateOutcome, Refusal, Waiting};
use jiff::SignedDuration;

use super::{Stack, is_ready, request, session, waits_for};
use crate::{
    events::CleanupEvent,
    machines::InstanceState,
    names::{InstanceId, key},
    uploads::Upload,
};

async fn sweep_until_quiet(stack: &Stack) {
    for _ in 0..5 {
        stack.event(CleanupEvent::Sweep).await;
        stack.world.tick();
    }
}

#[tokio::test]
async fn a_live_session_is_not_swept_until_its_deadline_and_grace_are_past() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack.upload(1);
    stack.world.pass(3600 + 599);
    sweep_until_quiet(&stack).await;
    assert_eq!(stack.world.left().len(), 8, "{:?}", stack.world.left());
    stack.world.pass(1);
    sweep_until_quiet(&stack).await;
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn what_has_no_state_is_swept_at_once() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack.upload(1);
    stack.world.inner().objects.remove(&key::session(&session(1)));
    sweep_until_quiet(&stack).await;
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn each_leftover_alone_is_found() {
    type Keep = fn(&Stack);
    let leftovers: [(&str, Keep); 6] = [
        ("instance", |stack| {
            let mut inner = stack.world.inner();
            inner.objects.clear();
            inner.interfaces.clear();
        }),
        ("interface", |stack| {
            let mut inner = stack.world.inner();
            inner.objects.clear();
            inner.instances.clear();
            inner.groups.clear();
            inner.interfaces.values_mut().for_each(|interface| interface.attached = None);
        }),
        ("group", |stack| {
            let mut inner = stack.world.inner();
            inner.objects.clear();
            inner.instances.clear();
            inner.interfaces.clear();
        }),
        ("orders", |stack| keep_objects(stack, "boot/")),
        ("report", |stack| keep_objects(stack, "ready/")),
        ("upload", |stack| {
            keep_objects(stack, "none/");
            stack.upload(1);
        }),
    ];
    for (name, keep) in leftovers {
        let stack = Stack::new();
        assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
        keep(&stack);
        assert!(!stack.world.left().is_empty(), "{name}");
        sweep_until_quiet(&stack).await;
        assert_eq!(stack.world.left(), Vec::<String>::new(), "{name}");
    }
}

fn keep_objects(stack: &Stack, prefix: &str) {
    let mut inner = stack.world.inner();
    inner.objects.retain(|key, _| key.starts_with(prefix));
    inner.instances.clear();
    inner.interfaces.clear();
    inner.groups.clear();
}

#[tokio::test]
async fn a_slot_without_a_session_is_left_until_it_expires() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    keep_objects(&stack, "slots/");
    sweep_until_quiet(&stack).await;
    assert_eq!(stack.world.left(), ["slots/0"]);
    stack.world.pass(3600 + 600);
    sweep_until_quiet(&stack).await;
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_swept_when_its_instance_s_deadline_is_past() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack.put(&key::session(&session(1)), b"{}");
    stack.world.inner().objects.remove("slots/0");
    sweep_until_quiet(&stack).await;
    assert_eq!(stack.world.inner().groups.len(), 1);
    stack.world.pass(3600 + 600);
    sweep_until_quiet(&stack).await;
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_closing_that_nobody_finishes_is_swept() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack.close(1).await.unwrap();
    sweep_until_quiet(&stack).await;
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_machine_that_ends_itself_takes_its_session_along() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    let id = stack.world.inner().instances.keys().next().unwrap().clone();
    stack.destroyer().machines.terminate(&id).await.unwrap();
    for _ in 0..3 {
        stack.tick().await;
    }
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_strange_machine_ends_nothing() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    let swept = stack.event(CleanupEvent::Gone(InstanceId::new("i-strange"))).await;
    assert!(swept.destroyed.is_empty() && swept.left.is_empty());
    assert!(is_ready(&stack.create(&request(1)).await.unwrap()));
}

#[tokio::test]
async fn while_a_call_of_create_may_be_at_work_nobody_says_that_nothing_is_left() {
    let stack = Stack::new();
    let request = request(1);
    // It dies before RunInstances; that call may yet reach EC2.
    let at = 1 + {
        let dry = Stack::new();
        dry.create(&request).await.unwrap();
        dry.world.inner().calls.iter().position(|call| *call == "RunInstances").unwrap()
    };
    stack.world.cut_at(at, super::world::Cut::Before);
    stack.create(&request).await.unwrap_err();
    stack.world.revive();
    let begun = stack.world.now();
    stack.close_until_destroyed(1).await;
    assert!(stack.world.now().duration_since(begun) >= SignedDuration::from_secs(30));
}

#[tokio::test]
async fn who_asks_for_a_box_that_went_down_learns_which_machine_it_was() {
    let stack = Stack::new();
    assert_eq!(waits_for(&stack.create(&request(1)).await.unwrap()), Some(Waiting::Instance));
    let id = stack.world.inner().instances.keys().next().unwrap().clone();
    stack.event(CleanupEvent::Gone(id.clone())).await;
    let CreateOutcome::Refused { reason, message } = stack.create(&request(1)).await.unwrap() else {
        panic!("a closed session has a box")
    };
    assert_eq!(reason, Refusal::BoxEnded);
    assert!(message.contains(id.as_str()), "{message}");
}

#[tokio::test]
async fn every_sweep_leaves_its_mark() {
    let stack = Stack::new();
    let mark = |stack: &Stack| stack.world.inner().objects.get("sweeps/last.json").cloned();
    assert!(mark(&stack).is_none());
    sweep_until_quiet(&stack).await;
    let first = mark(&stack).expect("a mark");
    stack.world.pass(300);
    sweep_until_quiet(&stack).await;
    assert_ne!(mark(&stack), Some(first), "the mark is of the last sweep");
}

/// What a box's root can make: uploads at keys of sessions that never were, and at keys of none.
fn flood(stack: &Stack, uploads: u32) {
    let mut inner = stack.world.inner();
    for number in 0..uploads {
        let key = match number % 2 {
            0 => format!("clusters/demo/default/nightly/{:032x}/x", 0xf000 + number),
            _ => format!("clusters/demo/ended/{number:032x}"),
        };
        inner.uploads.push(Upload { key, id: number.to_string() });
    }
}

#[tokio::test]
async fn uploads_without_end_keep_no_box_past_its_deadline() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    flood(&stack, 20_000);
    stack.world.pass(3600 + 600);
    stack.world.calls_take(30);
    let begun = stack.world.now();
    stack.event_within(CleanupEvent::Sweep, 120).await.unwrap();
    let took = stack.world.now().duration_since(begun);
    assert!(took < SignedDuration::from_secs(120), "a sweep must end within its function's time: {took:?}");
    let states: Vec<_> = stack.world.inner().instances.values().map(|instance| instance.state).collect();
    assert_eq!(states, [InstanceState::ShuttingDown]);
    assert!(
        stack.world.inner().objects.contains_key("sweeps/last.json"),
        "a sweep that ended boxes is alive"
    );

    let before = stack.world.inner().uploads.len();
    stack.world.tick();
    stack.event_within(CleanupEvent::Sweep, 120).await.unwrap();
    let left = stack.world.inner().uploads.len();
    assert!(left + 1000 < before, "what no session owns must go sweep by sweep: {before}, then {left}");
}

#[tokio::test]
async fn an_overdue_session_that_cannot_be_ended_keeps_nobody_from_a_slot() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack.world.pass(3600 + 600);
    stack.world.inner().failing.insert(key::session(&session(1)));
    assert!(is_ready(&stack.ask_until_settled(&request(2), 2).await));
    assert!(
        stack.world.inner().objects.contains_key("slots/0"),
        "its own slot is taken while its box may live"
    );
}
