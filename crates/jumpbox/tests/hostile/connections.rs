//! With the key: connections that cost the box something and bring it nothing.

use std::{sync::Arc, time::Duration};

use drawbridge_protocol::upload::USER;
use russh::{client, keys::PrivateKeyWithHashAlg};
use tokio::time::timeout;

use crate::{
    raw::{self, Raw},
    relay::{Mischief, Relay},
    support::Plan,
    target::{Target, checked},
};

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_connections_with_the_key_eight_are_served() {
    let target = Target::start(30, checked()).await;
    let mut served = Vec::new();
    for _ in 0..50 {
        let Ok(mut ssh) = client::connect(Arc::default(), target.rig.address, raw::Anyone).await else {
            continue;
        };
        let key = PrivateKeyWithHashAlg::new(raw::key(30), None);
        if !ssh.authenticate_publickey(USER, key).await.is_ok_and(|result| result.success()) {
            continue;
        }
        if let Ok(Ok(channel)) = timeout(Duration::from_secs(5), ssh.channel_open_session()).await {
            served.push((ssh, channel));
        }
    }
    // The first ones ask for nothing in ten seconds and are hung up on: their places may be taken again.
    assert!((8..=24).contains(&served.len()), "{} were served", served.len());
    drop(served);
    target.holds("50 connections with the key at once", "8 served, the others turned away").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_asks_for_nothing_and_a_client_that_does_not_greet_are_hung_up_on() {
    let target = Target::start(31, checked()).await;
    let (ssh, _) = raw::ssh(&target.rig, USER, 31).await;
    let mut silent = ssh.channel_open_session().await.unwrap();
    let mut rude = Raw::connect(&target.rig, 31).await;
    let over = async { while silent.wait().await.is_some() {} };
    let (asked, greeted) = tokio::join!(
        timeout(Duration::from_secs(30), over),
        timeout(Duration::from_secs(30), rude.failure())
    );
    asked.expect("a channel without the subsystem is hung up on");
    assert!(greeted.expect("an answer").message.contains("no Hello"));
    target
        .holds("a channel without the subsystem, a subsystem without Hello", "told so after 10 s, hung up on")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_at_one_byte_a_second_stands_in_nobodys_way() {
    let target = Target::start(32, checked()).await;
    let mut slow = Vec::new();
    for index in 0..7 {
        let relay = Relay::new(target.rig.address, Mischief::Drip).await;
        let mut ssh = client::connect(Arc::default(), relay.address, raw::Anyone).await.unwrap();
        let key = PrivateKeyWithHashAlg::new(raw::key(32), None);
        assert!(ssh.authenticate_publickey(USER, key).await.unwrap().success());
        let mut raw = Raw::over(ssh).await;
        raw.greet(&target.rig).await;
        raw.begin(&format!("slow-{index}.log.zst")).await;
        relay.throw();
        raw.data(0, b"a byte a second from here on").await;
        slow.push((relay, raw));
    }
    // Beside them, while they hold seven of eight places.
    target.honest("beside.log.zst").await.unwrap();
    target
        .holds(
            "7 artifacts at one byte a second",
            "held until their clients leave or the box ends; the rest goes on",
        )
        .await;
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_that_are_begun_and_left_give_their_places_back() {
    let target = Target::start(33, Plan::default()).await;
    for index in 0..8 {
        let mut raw = Raw::greeted(&target.rig, 33).await;
        raw.begin(&format!("left-{index}.log.zst")).await;
        raw.data(0, &crate::support::noise(100_000)).await;
        drop(raw);
    }
    let over = target.honest("ninth.log.zst").await;
    assert!(over.is_err_and(|why| why.contains("under way")), "a ninth artifact was taken");
    // They wait 30 s for their clients to come back.
    target.holds("8 artifacts begun and left", "a ninth is refused for 30 s, then taken").await;
}
