//! Asking for what the box does not offer, once and ten thousand times.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use drawbridge_protocol::{
    Version,
    upload::{BoxFrame, ClientFrame, Hello, SUBSYSTEM, USER, UploadCodec},
};
use futures::{StreamExt as _, stream};
use russh::{Channel, ChannelMsg, client::Msg, keys::PrivateKeyWithHashAlg};
use tokio_util::codec::Encoder as _;

use crate::{
    raw::{self, Raw},
    relay::{Mischief, Relay},
    target::{Target, checked},
};

const MANY: usize = 10_000;

async fn denied(channel: &mut Channel<Msg>, what: &str) {
    match channel.wait().await {
        Some(ChannelMsg::Failure) => {}
        other => panic!("{what} was to be denied, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_one_subsystem_is_served() {
    let target = Target::start(1, checked()).await;
    let (ssh, _) = raw::ssh(&target.rig, USER, 1).await;
    let mut channel = ssh.channel_open_session().await.unwrap();
    channel.request_shell(true).await.unwrap();
    denied(&mut channel, "shell").await;
    for command in ["id", "scp -t /etc", "/bin/sh -c 'cat /proc/1/environ'"] {
        channel.exec(true, command).await.unwrap();
        denied(&mut channel, command).await;
    }
    channel.request_pty(true, "xterm", 80, 24, 0, 0, &[]).await.unwrap();
    denied(&mut channel, "pty").await;
    for name in ["LD_PRELOAD", "PATH", "AWS_ENDPOINT_URL"] {
        channel.set_env(true, name, "/tmp/x").await.unwrap();
        denied(&mut channel, name).await;
    }
    channel.request_x11(true, false, "MIT-MAGIC-COOKIE-1", "00", 0).await.unwrap();
    denied(&mut channel, "x11").await;
    channel.agent_forward(true).await.unwrap();
    denied(&mut channel, "agent").await;
    for name in ["sftp", "netconf", "", "drawbridge-upload\0", "DRAWBRIDGE-UPLOAD"] {
        channel.request_subsystem(true, name).await.unwrap();
        denied(&mut channel, name).await;
    }
    channel.request_subsystem(true, SUBSYSTEM).await.unwrap();
    assert!(matches!(channel.wait().await, Some(ChannelMsg::Success)), "the one subsystem");
    channel.request_subsystem(true, SUBSYSTEM).await.unwrap();
    denied(&mut channel, "the subsystem a second time").await;
    channel.exec(true, "id").await.unwrap();
    denied(&mut channel, "exec beside the subsystem").await;
    target
        .holds("shell, exec, pty, env, X11, agent, other subsystems, a second one", "denied, one by one")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_forwarded_either_way() {
    let target = Target::start(2, checked()).await;
    // Somebody listens where the box could lead to: a forwarding that works would reach him.
    let inside = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = u32::from(inside.local_addr().unwrap().port());
    let (ssh, _) = raw::ssh(&target.rig, USER, 2).await;
    assert!(ssh.channel_open_direct_tcpip("127.0.0.1", port, "127.0.0.1", 1).await.is_err(), "direct-tcpip");
    assert!(ssh.channel_open_direct_tcpip("169.254.169.254", 80, "127.0.0.1", 1).await.is_err(), "metadata");
    assert!(ssh.channel_open_direct_streamlocal("/run/dbus/system_bus_socket").await.is_err(), "a socket");
    assert!(ssh.channel_open_x11("127.0.0.1", 1).await.is_err(), "an X11 channel");
    for port in [0, 22, 8080] {
        assert!(ssh.tcpip_forward("0.0.0.0", port).await.is_err(), "tcpip-forward of {port}");
    }
    assert!(ssh.streamlocal_forward("/tmp/drawbridge.sock").await.is_err(), "streamlocal-forward");
    assert!(ssh.cancel_tcpip_forward("0.0.0.0", 22).await.is_err(), "cancel-tcpip-forward");
    let reached = tokio::time::timeout(Duration::from_millis(200), inside.accept()).await;
    assert!(reached.is_err(), "somebody was reached through the box");
    assert!(ssh.channel_open_session().await.is_ok(), "the one channel");
    drop(ssh);
    target.holds("direct-tcpip, tcpip-forward, sockets both ways, X11 channels", "refused, one by one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_channels_one_is_opened() {
    let target = Target::start(3, checked()).await;
    let (ssh, _) = raw::ssh(&target.rig, USER, 3).await;
    let ssh = Arc::new(ssh);
    let opening = stream::iter(0..MANY).map(|index| {
        let ssh = Arc::clone(&ssh);
        async move {
            match index % 4 {
                0..=2 => ssh.channel_open_session().await,
                _ => ssh.channel_open_direct_tcpip("127.0.0.1", 80, "127.0.0.1", 1).await,
            }
        }
    });
    let opened: Vec<_> =
        opening.buffer_unordered(256).filter_map(async |channel| channel.ok()).collect().await;
    assert_eq!(opened.len(), 1, "channels were opened");
    target.honest("beside.log.zst").await.unwrap();
    drop((opened, ssh));
    target.holds("10,000 channels on one connection", "one opened, 9,999 refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_on_a_channel_are_each_denied() {
    let target = Target::start(4, checked()).await;
    let (ssh, _) = raw::ssh(&target.rig, USER, 4).await;
    let mut channel = ssh.channel_open_session().await.unwrap();
    channel.request_subsystem(true, SUBSYSTEM).await.unwrap();
    assert!(matches!(channel.wait().await, Some(ChannelMsg::Success)));
    let hello = ClientFrame::Hello(Hello { version: Version, session: target.rig.orders.session.clone() });
    let mut bytes = BytesMut::new();
    UploadCodec::<BoxFrame>::default().encode(hello, &mut bytes).unwrap();
    channel.data_bytes(bytes.freeze()).await.unwrap();
    for _ in 0..MANY / 100 {
        for _ in 0..100 {
            channel.exec(true, "id").await.unwrap();
        }
        let mut denied = 0;
        while denied < 100 {
            match channel.wait().await {
                Some(ChannelMsg::Failure) => denied += 1,
                Some(ChannelMsg::Data { .. } | ChannelMsg::WindowAdjusted { .. }) => {}
                other => panic!("a denial was expected, got {other:?}"),
            }
        }
    }
    target.honest("beside.log.zst").await.unwrap();
    target.holds("10,000 requests on one channel", "each denied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_its_answers_is_not_answered_for_ever() {
    let target = Target::start(5, checked()).await;
    let relay = Relay::new(target.rig.address, Mischief::Deaf).await;
    let mut ssh = russh::client::connect(Arc::default(), relay.address, raw::Anyone).await.unwrap();
    let key = PrivateKeyWithHashAlg::new(raw::key(5), None);
    assert!(ssh.authenticate_publickey(USER, key).await.unwrap().success());
    let channel = ssh.channel_open_session().await.unwrap();
    relay.throw();
    // Each asks for an answer of 37 bytes and more; 400,000 of them are more than the sockets between us hold.
    let flood = async {
        for _ in 0..400_000 {
            if channel.exec(true, "id").await.is_err() {
                break;
            }
        }
    };
    // Either the box stops reading, and we can send no more, or it hangs up.
    let _ = tokio::time::timeout(Duration::from_secs(20), flood).await;
    target.honest("beside.log.zst").await.unwrap();
    target.holds("requests without end, answers never read", "the box reads no further").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_rekeys_stores_what_was_sent() {
    let target = Target::start(6, checked()).await;
    let limits =
        russh::Limits { rekey_write_limit: 4 << 10, rekey_read_limit: 4 << 10, ..Default::default() };
    // Answers are read after all is sent: russh's client stands still when its channel's buffer is full of them.
    let config = Arc::new(russh::client::Config { limits, channel_buffer_size: 4_096, ..Default::default() });
    let mut ssh = russh::client::connect(config, target.rig.address, raw::Anyone).await.unwrap();
    let key = PrivateKeyWithHashAlg::new(raw::key(6), None);
    assert!(ssh.authenticate_publickey(USER, key).await.unwrap().success());
    for _ in 0..200 {
        // Asked for while the one before may still be under way.
        ssh.rekey_soon().await.unwrap();
        ssh.send_keepalive(true).await.unwrap();
    }
    let mut raw = Raw::over(ssh).await;
    raw.greet(&target.rig).await;
    assert!(raw.begin("storm.log.zst").await.is_some());
    let lines = crate::support::noise(256 << 10);
    let stored = zstd::stream::encode_all(&lines[..], 3).unwrap();
    for (index, piece) in stored.chunks(512).enumerate() {
        raw.data(index as u64 * 512, piece).await;
    }
    let all = raw.answers_for(stored.len() as u64);
    assert!(tokio::time::timeout(Duration::from_mins(1), all).await.unwrap(), "the box hung up");
    drop(raw);
    target
        .holds("new keys asked for 200 times, then after every 4 KiB", "new keys each time, the data whole")
        .await;
}
