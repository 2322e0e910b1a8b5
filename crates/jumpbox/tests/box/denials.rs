//! What is refused; each beside the twin that is allowed, so that a broken test cannot pass as security.

use drawbridge::transfer::{ClientKey, Patience, Target, TransferError, Uploader};
use drawbridge_protocol::upload::{BoxFrame, ClientFrame, FailureCode, Hello, SUBSYSTEM, USER};
use drawbridge_protocol::{SessionId, Version};
use russh::{Channel, ChannelMsg, client::Msg};

use crate::{
    raw::{self, Raw},
    support::{Plan, rig},
};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_orders_key_gets_in_and_only_as_the_one_user() {
    let rig = raw::rig(10, Plan::default()).await;
    assert!(raw::ssh(&rig, USER, 10).await.1);
    assert!(!raw::ssh(&rig, USER, 11).await.1, "another key");
    assert!(!raw::ssh(&rig, "root", 10).await.1, "another user");
    let mut handle =
        russh::client::connect(std::sync::Arc::default(), rig.address, raw::Anyone).await.unwrap();
    assert!(!handle.authenticate_password(USER, "drawbridge").await.unwrap().success(), "a password");
    let mut handle =
        russh::client::connect(std::sync::Arc::default(), rig.address, raw::Anyone).await.unwrap();
    assert!(!handle.authenticate_none(USER).await.unwrap().success(), "nothing");
    assert!(handle.channel_open_session().await.is_err(), "a channel before the key");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_names_what_went_wrong_at_the_door() {
    let rig = rig().await;
    let connect = |target: Target, key: ClientKey| {
        Uploader::connect(target, key, Patience::default(), std::sync::Arc::default())
    };
    let stranger = connect(rig.target(), ClientKey::generate().unwrap()).await;
    assert!(matches!(stranger, Err(TransferError::KeyRefused { .. })), "{stranger:?}");
    let another = ClientKey::generate().unwrap().public().clone();
    let target = Target { host_key: another, ..rig.target() };
    let intercepted = connect(target, rig.key.clone()).await;
    assert!(matches!(intercepted, Err(TransferError::HostKeyMismatch { .. })), "{intercepted:?}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = connect(Target { address: nobody, ..rig.target() }, rig.key.clone()).await;
    assert!(matches!(refused, Err(TransferError::Connect { .. })), "{refused:?}");
    assert!(connect(rig.target(), rig.key.clone()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_offers_the_one_subsystem_and_nothing_else() {
    let rig = raw::rig(12, Plan::default()).await;
    let (ssh, _) = raw::ssh(&rig, USER, 12).await;
    let mut channel = ssh.channel_open_session().await.unwrap();
    channel.request_shell(true).await.unwrap();
    denied(&mut channel, "shell").await;
    channel.exec(true, "id").await.unwrap();
    denied(&mut channel, "exec").await;
    channel.request_pty(true, "xterm", 80, 24, 0, 0, &[]).await.unwrap();
    denied(&mut channel, "pty").await;
    channel.set_env(true, "LD_PRELOAD", "/tmp/x.so").await.unwrap();
    denied(&mut channel, "env").await;
    channel.request_x11(true, false, "MIT-MAGIC-COOKIE-1", "00", 0).await.unwrap();
    denied(&mut channel, "x11").await;
    channel.agent_forward(true).await.unwrap();
    denied(&mut channel, "agent").await;
    channel.request_subsystem(true, "sftp").await.unwrap();
    denied(&mut channel, "sftp").await;
    channel.request_subsystem(true, SUBSYSTEM).await.unwrap();
    assert!(matches!(channel.wait().await, Some(ChannelMsg::Success)), "the one subsystem");
    channel.request_subsystem(true, SUBSYSTEM).await.unwrap();
    denied(&mut channel, "the subsystem a second time").await;
    channel.exec(true, "id").await.unwrap();
    denied(&mut channel, "exec beside the subsystem").await;
}

async fn denied(channel: &mut Channel<Msg>, what: &str) {
    match channel.wait().await {
        Some(ChannelMsg::Failure) => {}
        other => panic!("{what} was to be denied, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_forwarded_either_way_and_there_is_one_channel() {
    let rig = raw::rig(13, Plan::default()).await;
    let (ssh, _) = raw::ssh(&rig, USER, 13).await;
    assert!(ssh.channel_open_direct_tcpip("127.0.0.1", 80, "127.0.0.1", 1).await.is_err(), "direct-tcpip");
    assert!(ssh.channel_open_direct_streamlocal("/var/run/docker.sock").await.is_err(), "direct-streamlocal");
    assert!(ssh.channel_open_x11("127.0.0.1", 1).await.is_err(), "x11");
    assert!(ssh.tcpip_forward("127.0.0.1", 8080).await.is_err(), "tcpip-forward");
    assert!(ssh.streamlocal_forward("/tmp/sock").await.is_err(), "streamlocal-forward");
    let first = ssh.channel_open_session().await;
    assert!(first.is_ok(), "a session");
    assert!(ssh.channel_open_session().await.is_err(), "a second one beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialogue_out_of_order_is_refused() {
    let rig = raw::rig(14, Plan::default()).await;
    let mut raw = Raw::connect(&rig, 14).await;
    raw.send(ClientFrame::Hello(Hello { version: Version, session: SessionId::random().unwrap() })).await;
    assert_eq!(raw.failure().await.code, FailureCode::State, "another session");

    let mut raw = Raw::connect(&rig, 14).await;
    assert!(matches!(raw.begin("a.tar.zst").await, Some(BoxFrame::Error(_))), "Begin before Hello");

    let mut raw = Raw::greeted(&rig, 14).await;
    raw.data(0, b"data").await;
    assert_eq!(raw.failure().await.code, FailureCode::Protocol, "Data before Begin");

    let mut raw = Raw::greeted(&rig, 14).await;
    raw.begin("a.tar.zst").await;
    raw.data(7, b"data").await;
    assert_eq!(raw.failure().await.code, FailureCode::Protocol, "a gap");

    let mut raw = Raw::greeted(&rig, 14).await;
    raw.send_bytes(&[2, 0xff, 0xff, 0xff, 0xff]).await;
    assert_eq!(raw.failure().await.code, FailureCode::Protocol, "a huge frame");

    let mut raw = Raw::greeted(&rig, 14).await;
    raw.send_bytes(&[2, 0, 0, 0, 18]).await;
    raw.send_bytes(br#"{"name":"../x.tar.zst"}"#).await;
    assert_eq!(raw.failure().await.code, FailureCode::Protocol, "a name that leaves the prefix");
    assert_eq!(raw.receive().await, None, "after which the box hangs up");
}
