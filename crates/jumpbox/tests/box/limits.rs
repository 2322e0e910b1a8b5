//! What the orders allow, and how a box ends.

use std::time::Duration;

use drawbridge::transfer::TransferError;
use drawbridge_jumpbox::{BoxError, Ending, Jumpbox, Place, ReadyError};
use drawbridge_protocol::{ReadyReport, orders::Limits, upload::FailureCode};
use jiff::SignedDuration;

use crate::{
    raw::{self, Raw},
    s3,
    support::{Plan, Rig, eventually, machine, noise, place, rig},
};

fn limited(change: impl FnOnce(&mut Limits)) -> Plan {
    let mut plan = Plan::default();
    change(&mut plan.limits);
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_takes_no_more_bytes_than_its_orders_allow() {
    let rig = Rig::with(limited(|limits| limits.session_bytes = 8 << 20)).await;
    rig.upload("a.tar.zst", &noise(5 << 20)).await.unwrap();
    let over = rig.upload("b.tar.zst", &noise(5 << 20)).await;
    assert!(matches!(over, Err(TransferError::Box { code: FailureCode::Limit, .. })), "{over:?}");
    eventually("what was begun is given up", || async { rig.unfinished().await == 0 }).await;
    assert_eq!(rig.objects().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_takes_no_more_artifacts_than_its_orders_allow() {
    let rig = Rig::with(limited(|limits| limits.artifacts = 1)).await;
    rig.upload("a.tar.zst", b"a").await.unwrap();
    let over = rig.upload("b.tar.zst", b"b").await;
    assert!(matches!(over, Err(TransferError::Box { code: FailureCode::Limit, .. })), "{over:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_runs_past_its_window_is_refused() {
    let rig = raw::rig(30, Plan::default()).await;
    let mut raw = Raw::greeted(&rig, 30).await;
    raw.begin("a.tar.zst").await;
    // Frames that do not add up to the window: of those that do, the one past it is not read before there is room.
    let chunk = noise(200_000);
    // Faster than the local S3 takes it, and without a look at what is acknowledged.
    for index in 0..256 {
        let sent = raw.data(index * chunk.len() as u64, &chunk);
        if tokio::time::timeout(Duration::from_secs(1), sent).await.is_err() {
            break;
        }
    }
    let failure = raw.failure().await;
    assert_eq!(failure.code, FailureCode::Protocol, "{}", failure.message);
    assert!(failure.message.contains("unacknowledged"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_box_reports_its_keys_where_create_looks_for_them() {
    let rig = rig().await;
    let key = format!("ready/{}.json", rig.orders.session);
    let object = rig.s3.get_object().bucket(s3::STATE).key(key).send().await.unwrap();
    let report: ReadyReport = serde_json::from_slice(&object.body.collect().await.unwrap().to_vec()).unwrap();
    assert_eq!(report, rig.report);
    assert_eq!(report.instance, "i-0123456789abcdef0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_does_not_live_where_somebody_reported_before_it() {
    let rig = rig().await;
    let second = Jumpbox::start(rig.orders.clone(), &place(), machine()).await;
    assert!(matches!(second, Err(BoxError::Ready(ReadyError::Taken))), "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() {
    let rig = rig().await;
    let second =
        Jumpbox::start(rig.orders.clone(), &Place { listen: rig.address, ..place() }, machine()).await;
    match second {
        Err(error @ BoxError::PortTaken { .. }) => {
            assert!(error.to_string().contains(&rig.address.to_string()));
        }
        other => panic!("the port was to be taken, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_do_not_hold_together_are_not_followed() {
    let rig = rig().await;
    let mut elsewhere = rig.orders.clone();
    elsewhere.prefix = "clusters/other/shop/nightly/x/".parse().unwrap();
    let mut late = rig.orders.clone();
    late.deadline = jiff::Timestamp::now() - SignedDuration::from_secs(1);
    let mut tiny = rig.orders.clone();
    tiny.limits.part_bytes = 1 << 20;
    for orders in [elsewhere, late, tiny] {
        let started = Jumpbox::start(orders, &place(), machine()).await;
        assert!(matches!(started, Err(BoxError::Orders(_))), "{started:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_its_deadline_the_box_puts_the_marker_and_ends() {
    let rig = Rig::with(Plan { lives: SignedDuration::from_secs(2), ..Plan::default() }).await;
    let key = rig.orders.ended_key.as_str();
    let before = rig.s3.list_objects_v2().bucket(s3::BUCKET).prefix(key).send().await.unwrap();
    assert!(before.contents().is_empty());
    assert_eq!(rig.serving.await.unwrap().unwrap(), Ending::Deadline);
    rig.s3.head_object().bucket(s3::BUCKET).key(key).send().await.unwrap();
}
