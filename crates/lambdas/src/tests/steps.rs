//! The path of one session, and what it makes.

use drawbridge_protocol::session::{CreateOutcome, Refusal, Waiting};

use super::{Stack, is_ready, request, session, waits_for};
use crate::{events::CleanupEvent, machines::InstanceState, names::key, state::Phase, sweep::Finding};

#[tokio::test]
async fn a_session_gets_a_box_step_by_step_and_no_call_waits() {
    let stack = Stack::new();
    let request = request(1);
    assert_eq!(waits_for(&stack.create(&request).await.unwrap()), Some(Waiting::Instance));
    stack.world.tick();
    assert_eq!(waits_for(&stack.create(&request).await.unwrap()), Some(Waiting::Report));
    let nobody_yet = stack.world.inner().groups.values().all(|group| group.ssh_from.is_empty());
    assert!(nobody_yet, "port 22 is closed until the box's own program answers there");
    stack.report(1);
    let CreateOutcome::Ready(ready) = stack.create(&request).await.unwrap() else { panic!() };
    assert_eq!(ready.address.to_string(), "198.51.100.20");
    assert_eq!(ready.prefix.as_str(), format!("clusters/demo/default/nightly/{}/", session(1)));
    assert_eq!(ready.deadline.to_string(), "2026-11-21T11:00:00Z");

    let inner = stack.world.inner();
    let group = inner.groups.values().next().unwrap();
    assert!(!group.open_egress, "the box's public side must let nothing out");
    assert_eq!(
        group.ssh_from.iter().map(String::as_str).collect::<Vec<_>>(),
        ["192.0.2.0/24", "203.0.113.10/32"]
    );
    let interface = inner.interfaces.values().next().unwrap();
    assert!(interface.attached.as_ref().unwrap().1, "the private interface goes with the machine");
    let launch = &inner.instances.values().next().unwrap().launch;
    assert_eq!(launch.client_token, session(1).as_str());
    assert!(launch.user_data.contains("shutdown -h +60 ||"));
}

#[tokio::test]
async fn asked_again_it_makes_nothing_and_saves_nothing() {
    let stack = Stack::new();
    let request = request(1);
    assert!(is_ready(&stack.ask_until_settled(&request, 1).await));
    let (before, from) = (stack.saved(1), stack.world.inner().calls.len());
    assert!(is_ready(&stack.create(&request).await.unwrap()));
    assert_eq!(stack.saved(1), before);
    // That the port is open is not saved, so it is opened again.
    let reads = ["HeadObject", "GetObject", "DescribeInstances", "AuthorizeSecurityGroupIngress"];
    assert!(stack.world.inner().calls[from..].iter().all(|call| reads.contains(call)));
}

#[tokio::test]
async fn the_request_is_saved_before_it_is_sent_and_forgotten_when_it_was() {
    let stack = Stack::new();
    let request = request(1);
    let at = 1 + {
        let dry = Stack::new();
        dry.create(&request).await.unwrap();
        dry.world.inner().calls.iter().position(|call| *call == "RunInstances").unwrap()
    };
    stack.world.cut_at(at, super::world::Cut::After);
    stack.create(&request).await.unwrap_err();
    let Phase::Launching(launch) = stack.saved(1).unwrap().phase else { panic!() };
    assert_eq!(*launch, stack.world.inner().instances.values().next().unwrap().launch);
    stack.world.revive();
    stack.create(&request).await.unwrap();
    assert!(matches!(stack.saved(1).unwrap().phase, Phase::Launched(_)));
    assert_eq!(stack.world.inner().instances.len(), 1);
}

#[tokio::test]
async fn on_a_token_mismatch_it_adopts_what_the_token_made() {
    let stack = Stack::new();
    let request = request(1);
    let at = 1 + {
        let dry = Stack::new();
        dry.create(&request).await.unwrap();
        dry.world.inner().calls.iter().position(|call| *call == "RunInstances").unwrap()
    };
    stack.world.cut_at(at, super::world::Cut::After);
    stack.create(&request).await.unwrap_err();
    stack.world.revive();
    stack.world.inner().mismatch = true;
    assert!(is_ready(&stack.ask_until_settled(&request, 1).await));
    assert_eq!(stack.world.inner().instances.len(), 1);
}

#[tokio::test]
async fn without_capacity_the_next_type_is_tried_under_another_token() {
    let stack = Stack::new();
    let request = request(1);
    stack.world.inner().sold_out.insert("t3.small".to_owned());
    assert!(is_ready(&stack.ask_until_settled(&request, 1).await));
    let launch = stack.world.inner().instances.values().next().unwrap().launch.clone();
    assert_eq!((launch.instance_type.as_str(), launch.attempt), ("t3a.small", 1));
    assert_eq!(launch.client_token, format!("{}-1", session(1)));
    assert!(launch.client_token.len() <= 64);
}

#[tokio::test]
async fn no_other_type_is_tried_while_a_request_without_an_answer_may_be_under_way() {
    let at = 1 + {
        let dry = Stack::new();
        dry.create(&request(1)).await.unwrap();
        dry.world.inner().calls.iter().position(|call| *call == "RunInstances").unwrap()
    };
    let stack = Stack::new();
    stack.world.cut_at(at, super::world::Cut::Before);
    stack.create(&request(1)).await.unwrap_err();
    stack.world.revive();
    stack.world.inner().sold_out.insert("t3.small".to_owned());
    for _ in 0..2 {
        let outcome = stack.create(&request(1)).await.unwrap();
        assert!(matches!(outcome, CreateOutcome::Refused { reason: Refusal::Capacity, .. }), "{outcome:?}");
        assert!(stack.saved(1).unwrap().in_flight_until.is_some(), "cleanup waits for the request");
    }
    assert!(stack.world.inner().instances.is_empty());
}

#[tokio::test]
async fn without_capacity_of_any_type_it_is_refused_and_leaves_nothing() {
    let stack = Stack::new();
    stack.world.inner().sold_out.extend(["t3.small".to_owned(), "t3a.small".to_owned()]);
    let outcome = stack.create(&request(1)).await.unwrap();
    assert!(matches!(outcome, CreateOutcome::Refused { reason: Refusal::Capacity, .. }), "{outcome:?}");
    assert_eq!(stack.saved(1).unwrap().in_flight_until, None, "EC2 has answered: cleanup need not wait");
    stack.close_until_destroyed(1).await;
    assert_eq!(stack.world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn an_instance_that_ec2_does_not_show_yet_is_waited_for() {
    let stack = Stack::new();
    stack.world.inner().hidden = true;
    assert_eq!(waits_for(&stack.create(&request(1)).await.unwrap()), Some(Waiting::Instance));
    assert_eq!(waits_for(&stack.create(&request(1)).await.unwrap()), Some(Waiting::Instance));
    stack.world.inner().hidden = false;
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
}

#[tokio::test]
async fn a_box_that_ended_is_not_ready() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    for state in [InstanceState::ShuttingDown, InstanceState::Terminated, InstanceState::Stopped] {
        stack.world.inner().instances.values_mut().next().unwrap().state = state;
        let outcome = stack.create(&request(1)).await.unwrap();
        assert!(matches!(outcome, CreateOutcome::Refused { reason: Refusal::BoxEnded, .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn closing_leaves_nothing() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    stack.upload(1);
    stack.close_until_destroyed(1).await;
    assert_eq!(stack.world.left(), Vec::<String>::new());
    assert!(stack.world.inner().objects.contains_key(&key::closed(&session(1))));
    // Once more, and for a session that never was.
    stack.close_until_destroyed(1).await;
    stack.close_until_destroyed(9).await;
}

#[tokio::test]
async fn closing_one_session_leaves_the_other_alone() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    assert!(is_ready(&stack.ask_until_settled(&request(2), 2).await));
    stack.upload(1);
    stack.upload(2);
    stack.close_until_destroyed(1).await;
    assert!(is_ready(&stack.create(&request(2)).await.unwrap()));
    assert_eq!(stack.world.inner().uploads.len(), 1);
}

#[tokio::test]
async fn uploads_without_end_in_its_prefix_keep_no_session_from_its_end() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&request(1), 1).await));
    for _ in 0..500 {
        stack.upload(1);
    }
    for (number, upload) in stack.world.inner().uploads.iter_mut().enumerate() {
        upload.id = number.to_string();
    }
    stack.close_until_destroyed(1).await;
    let left = stack.world.left();
    assert!(left.iter().all(|what| what.ends_with("/a.tar.zst")), "{left:?}");
    assert!(
        (1..500).contains(&left.len()),
        "it aborts some and leaves the rest to the sweep: {}",
        left.len()
    );
    let found = stack.event_within(CleanupEvent::Sweep, 120).await.unwrap().found;
    assert_eq!(found, Some([(Finding::Closed, 1)].into()));
    assert_eq!(stack.world.left(), Vec::<String>::new());
}
