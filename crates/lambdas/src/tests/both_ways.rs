//! The sweep compares both ways: what exists against the state, and the state against what exists. Each leftover on
//! one side is removed, or reported where removing it would end a backup that may still come to its end.

use drawbridge_protocol::Version;

use super::{
    Stack, is_ready, request, session,
    world::{FakeGroup, FakeInterface, Inner},
};
use crate::{
    events::CleanupEvent,
    machines::InstanceState,
    names::{GroupId, InstanceId, InterfaceId, key},
    state::Slot,
    sweep::{Finding, Tally},
    uploads::Upload,
};

/// EC2 may not show for so long what it has just made.
const VISIBLE: i64 = 300;

async fn ready_stack() -> Stack {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack
}

async fn sweep(stack: &Stack) -> Tally {
    stack.event(CleanupEvent::Sweep).await.found.expect("a sweep tells what it found")
}

/// Sweeps until nothing changes any more; what the first one found.
async fn first_of_many(stack: &Stack) -> Tally {
    let first = sweep(stack).await;
    for _ in 0..4 {
        stack.world.tick();
        sweep(stack).await;
    }
    first
}

fn one(finding: Finding) -> Tally {
    [(finding, 1)].into()
}

/// Changes the world of a session that is ready, then sweeps past the time in which EC2 may not show things.
async fn found_after(change: impl FnOnce(&mut Inner)) -> (Stack, Tally) {
    let stack = ready_stack().await;
    stack.world.pass(VISIBLE);
    change(&mut stack.world.inner());
    let found = first_of_many(&stack).await;
    (stack, found)
}

fn lives(stack: &Stack) -> bool {
    stack.world.inner().instances.values().any(|instance| instance.state == InstanceState::Running)
}

#[tokio::test]
async fn a_session_whose_sides_agree_is_left_alone() {
    let (stack, found) = found_after(|_| {}).await;
    assert_eq!(found, Tally::new());
    assert!(lives(&stack));
}

#[tokio::test]
async fn a_state_whose_machine_interface_or_group_is_gone_is_ended() {
    type Change = fn(&mut Inner);
    let cases: [(Finding, Change); 4] = [
        (Finding::NoInstance, |world| {
            world.instances.clear();
            world.interfaces.clear();
        }),
        (Finding::NoInstance, |world| {
            world.instances.values_mut().for_each(|instance| instance.state = InstanceState::Stopped);
        }),
        (Finding::NoInterface, |world| world.interfaces.clear()),
        (Finding::NoGroup, |world| world.groups.clear()),
    ];
    for (finding, change) in cases {
        let (stack, found) = found_after(change).await;
        assert_eq!(found, one(finding));
        assert_eq!(stack.world.left(), Vec::<String>::new(), "{finding:?}");
    }
}

#[tokio::test]
async fn what_ec2_does_not_show_yet_is_not_taken_for_gone() {
    let stack = ready_stack().await;
    stack.world.pass(VISIBLE - 1);
    stack.world.inner().hidden = true;
    assert_eq!(sweep(&stack).await, Tally::new());
    stack.world.inner().hidden = false;
    assert!(lives(&stack));
}

#[tokio::test]
async fn a_session_without_its_slot_is_reported_and_goes_on() {
    let (stack, found) = found_after(|world| drop(world.objects.remove("slots/0"))).await;
    assert_eq!(found, one(Finding::NoSlot));
    assert!(lives(&stack));
    let deadline = stack.saved(1).unwrap().deadline;
    let others = Slot { version: Version, session: session(2), deadline };
    stack.put("slots/0", &serde_json::to_vec(&others).unwrap());
    assert_eq!(sweep(&stack).await, one(Finding::NoSlot));
    assert!(lives(&stack));
}

#[tokio::test]
async fn what_a_session_has_beside_what_its_state_names_is_removed_alone() {
    let (stack, found) = found_after(|world| {
        let mut second = world.instances.values().next().unwrap().clone();
        second.launch.client_token = "another".to_owned();
        world.instances.insert(InstanceId::new("i-second"), second);
        let subnet = "subnet-private".to_owned();
        let interface = FakeInterface { session: session(1), subnet, attached: None };
        world.interfaces.insert(InterfaceId::new("eni-second"), interface);
        let group = FakeGroup { session: session(1), open_egress: false, ssh_from: [].into() };
        world.groups.insert(GroupId::new("sg-second"), group);
    })
    .await;
    let seconds = [Finding::SecondInstance, Finding::SecondInterface, Finding::SecondGroup];
    assert_eq!(found, seconds.map(|finding| (finding, 1)).into());
    assert!(stack.world.left().iter().all(|what| !what.contains("second")), "{:?}", stack.world.left());
    assert!(is_ready(&stack.create(&request(1)).await.unwrap()));
}

#[tokio::test]
async fn what_bears_the_stack_s_tag_and_no_session_s_is_removed() {
    let (stack, found) = found_after(|world| {
        world.objects.clear();
        let mut ids: Vec<String> = world.instances.keys().map(ToString::to_string).collect();
        ids.extend(world.interfaces.keys().map(ToString::to_string));
        ids.extend(world.groups.keys().map(ToString::to_string));
        world.untagged.extend(ids);
    })
    .await;
    let strays = [Finding::StrayInstance, Finding::StrayInterface, Finding::StrayGroup];
    assert_eq!(found, strays.map(|finding| (finding, 1)).into());
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn an_upload_at_a_key_that_is_no_session_s_is_aborted_and_a_session_s_is_not() {
    let stack = ready_stack().await;
    stack.upload(1);
    let key = "clusters/demo/ended/0123456789abcdef0123456789abcdef".to_owned();
    stack.world.inner().uploads.push(Upload { key: key.clone(), id: "stray".to_owned() });
    let swept = stack.event_within(CleanupEvent::Sweep, 120).await.unwrap();
    assert_eq!(swept.found, Some(one(Finding::StrayUpload)));
    let left = stack.world.left();
    assert!(!left.contains(&key) && left.iter().any(|key| key.ends_with("a.tar.zst")), "{left:?}");
}

#[tokio::test]
async fn a_slot_that_cannot_be_read_is_freed_and_an_object_that_is_no_session_s_is_deleted() {
    let stack = ready_stack().await;
    stack.put("slots/1", b"{}");
    for stray in ["slots/strange", "sessions/strange.json", "ready/strange", "boot/strange/orders.json"] {
        stack.put(stray, b"{}");
    }
    assert_eq!(sweep(&stack).await, [(Finding::StraySlot, 1), (Finding::StrayObject, 4)].into());
    assert_eq!(sweep(&stack).await, Tally::new());
    assert!(lives(&stack));
}

#[tokio::test]
async fn a_strange_object_that_no_function_may_delete_is_reported_and_stays() {
    let stack = ready_stack().await;
    let strange = ["boot/strange", "closed/strange", "days/strange", "baselines/strange"];
    for key in strange {
        stack.put(key, b"{}");
    }
    assert_eq!(sweep(&stack).await, one(Finding::StrangeObject));
    assert_eq!(sweep(&stack).await, one(Finding::StrangeObject));
    for key in strange {
        assert!(stack.world.inner().objects.contains_key(key), "{key}");
    }
}

#[tokio::test]
async fn a_session_that_could_not_be_judged_is_a_finding_and_keeps_no_other() {
    let stack = ready_stack().await;
    stack.put(&key::session(&session(2)), b"{}");
    stack.world.inner().failing.insert(key::session(&session(1)));
    assert_eq!(sweep(&stack).await, [(Finding::Unreadable, 1), (Finding::Unjudged, 1)].into());
    assert!(lives(&stack));
    stack.world.inner().failing.clear();
    assert_eq!(sweep(&stack).await, Tally::new());
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_removed_where_nothing_shows_a_deadline() {
    let stack = Stack::new();
    stack.put(&key::session(&session(1)), b"{}");
    assert_eq!(sweep(&stack).await, one(Finding::Unreadable));
    assert_eq!(stack.world.left(), Vec::<String>::new());
    let stack = ready_stack().await;
    stack.put(&key::session(&session(1)), b"{}");
    assert_eq!(sweep(&stack).await, one(Finding::UnreadableInTime));
    assert!(lives(&stack), "its slot says that its time is not over");
}

#[tokio::test]
async fn what_exists_without_state_is_told_from_what_was_closed_or_is_late() {
    let (stack, found) = found_after(|world| {
        let lost =
            world.objects.keys().filter(|key| key.starts_with("sessions/")).cloned().collect::<Vec<_>>();
        for key in &lost {
            world.objects.remove(key);
        }
    })
    .await;
    assert_eq!((found, stack.world.left()), (one(Finding::NoState), Vec::new()));

    let stack = ready_stack().await;
    stack.close(1).await.unwrap();
    assert_eq!(sweep(&stack).await, one(Finding::Closing));

    let (stack, found) = found_after(|world| {
        world.objects.retain(|key, _| !key.starts_with("sessions/"));
        world.objects.insert(key::closed(&session(1)), (b"{}".to_vec(), 1));
    })
    .await;
    assert_eq!((found, stack.world.left()), (one(Finding::Closed), Vec::new()));

    let stack = ready_stack().await;
    stack.world.pass(3600 + 600);
    assert_eq!(first_of_many(&stack).await, one(Finding::Expired));
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn what_went_while_the_sweep_looked_is_no_finding() {
    let dry = ready_stack().await;
    let before = dry.world.inner().calls.len();
    sweep(&dry).await;
    let calls = dry.world.inner().calls.len() - before;
    for at in 1..=calls {
        let stack = ready_stack().await;
        let other = stack.clone();
        stack.world.intrude_at(before + at, move || async move { other.close_until_destroyed(1).await });
        let found = sweep(&stack).await;
        let wrong: Vec<_> = found.keys().filter(|finding| finding.is_wrong()).collect();
        assert!(wrong.is_empty(), "closed at call {at} of the sweep: {wrong:?}");
        assert_eq!(stack.world.left(), Vec::<String>::new());
    }
}
