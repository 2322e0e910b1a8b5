//! Before the key is shown: who has none, or does not speak SSH at all.

use std::{sync::Arc, time::Duration};

use drawbridge_protocol::upload::USER;
use russh::{client::KeyboardInteractiveAuthResponse, keys::PrivateKeyWithHashAlg};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    raw,
    relay::{Mischief, Relay},
    support::noise,
    target::{Target, checked},
};

/// How long the box gives somebody to show the key, and some time for a busy machine.
const KNOCKING: Duration = Duration::from_secs(15 + 10);
/// Connections that attack at once; more of ours would run out of descriptors before the box does.
const AT_ONCE: usize = 400;

/// Whether the box hangs up, whatever it says before.
async fn hangs_up(stream: &mut TcpStream) -> bool {
    let mut buffer = vec![0; 4 << 10];
    let reading = async { while let Ok(1..) = stream.read(&mut buffer).await {} };
    timeout(KNOCKING, reading).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_other_keys_are_guessed_in_vain() {
    let target = Target::start(20, checked()).await;
    let connect = || russh::client::connect(Arc::default(), target.rig.address, raw::Anyone);
    let mut tried = 0;
    for user in [USER, "root", "ec2-user", ""] {
        let mut handle = connect().await.unwrap();
        for password in ["", "drawbridge", "root", "\0", &"x".repeat(20_000)] {
            match handle.authenticate_password(user, password).await {
                Ok(result) => assert!(!result.success(), "{user} by a password"),
                Err(_) => break,
            }
            tried += 1;
        }
        let mut handle = connect().await.unwrap();
        let answer = handle.authenticate_keyboard_interactive_start(user, None).await;
        assert!(
            !matches!(
                answer,
                Ok(KeyboardInteractiveAuthResponse::Success
                    | KeyboardInteractiveAuthResponse::InfoRequest { .. })
            ),
            "{user} by keyboard-interactive"
        );
        let mut handle = connect().await.unwrap();
        for seed in 200..220 {
            let key = PrivateKeyWithHashAlg::new(raw::key(seed), None);
            match handle.authenticate_publickey(user, key).await {
                Ok(result) => assert!(!result.success(), "{user} by another key"),
                Err(_) => break,
            }
            tried += 1;
        }
        assert!(handle.channel_open_session().await.is_err(), "a channel without the key");
    }
    assert!((12..80).contains(&tried), "{tried} guesses were taken");
    target
        .holds("passwords, keyboard-interactive, other keys, other users", "refused, then hung up on")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_place_of_a_handshake_is_hung_up_on() {
    let target = Target::start(21, checked()).await;
    let tls: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let greeting: &[u8] = b"SSH-2.0-x\r\n";
    let mut huge = greeting.to_vec();
    huge.extend_from_slice(&[0xff; 64]);
    let mut long = vec![b'a'; 1 << 20];
    long.extend_from_slice(b"\r\n");
    let mut noisy = greeting.to_vec();
    noisy.extend_from_slice(&noise(256 << 10));
    let openings: [(&str, Vec<u8>); 7] = [
        ("http", b"GET / HTTP/1.1\r\nhost: box\r\n\r\n".to_vec()),
        ("tls", tls.to_vec()),
        ("noise", noise(256 << 10)),
        ("a line of 1 MiB", long),
        ("ssh 1", b"SSH-1.5-x\r\n".to_vec()),
        ("a packet of 4 GiB", huge),
        ("noise after the version", noisy),
    ];
    let mut ending = JoinSet::new();
    for (what, bytes) in openings {
        let mut stream = TcpStream::connect(target.rig.address).await.unwrap();
        ending.spawn(async move {
            let _ = stream.write_all(&bytes).await;
            assert!(hangs_up(&mut stream).await, "{what}: still there");
        });
    }
    while let Some(ended) = ending.join_next().await {
        ended.unwrap();
    }
    target
        .holds("HTTP, TLS, noise, endless lines, a packet of 4 GiB before the handshake", "hung up on")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_after_the_handshake_is_hung_up_on() {
    let target = Target::start(22, checked()).await;
    for _ in 0..20 {
        let relay = Relay::new(target.rig.address, Mischief::Noise).await;
        let mut ssh = russh::client::connect(Arc::default(), relay.address, raw::Anyone).await.unwrap();
        let key = PrivateKeyWithHashAlg::new(raw::key(22), None);
        assert!(ssh.authenticate_publickey(USER, key).await.unwrap().success());
        let mut channel = ssh.channel_open_session().await.unwrap();
        relay.throw();
        let _ = channel.exec(true, "id").await;
        let over = async { while channel.wait().await.is_some() {} };
        timeout(Duration::from_secs(20), over).await.expect("the box hangs up");
    }
    target.holds("noise in place of encrypted packets", "hung up on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_connections_sixteen_are_held() {
    let target = Target::start(23, checked()).await;
    let before = target.descriptors();
    let mut most = 0;
    let mut held = JoinSet::new();
    for index in 0..10_000_usize {
        let address = target.rig.address;
        held.spawn(async move {
            let Ok(mut stream) = TcpStream::connect(address).await else { return };
            if index.is_multiple_of(2) {
                let _ = stream.write_all(b"SSH-2.0-x\r\n").await;
            }
            let _ = hangs_up(&mut stream).await;
        });
        if held.len() >= AT_ONCE {
            held.join_next().await;
        }
        if index.is_multiple_of(500) {
            most = most.max(target.descriptors());
        }
    }
    held.abort_all();
    while held.join_next().await.is_some() {}
    assert!(most <= before + 16 + 8, "{most} descriptors, {before} before");
    assert!(target.log().contains("too many have not shown the key yet"));
    target.holds("10,000 connections without a key", "16 held for 15 s, the others turned away").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_a_second_does_not_hold_the_door() {
    let target = Target::start(24, checked()).await;
    let begun = Instant::now();
    let mut slow = JoinSet::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(target.rig.address).await.unwrap();
        slow.spawn(async move {
            for byte in b"SSH-2.0-a-name-that-takes-a-minute-to-come-and-more-of-the-same-for-as-long" {
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            hangs_up(&mut stream).await
        });
    }
    crate::support::eventually("the door is full", || async {
        let mut one_more = TcpStream::connect(target.rig.address).await.unwrap();
        let mut buffer = [0];
        matches!(timeout(Duration::from_secs(2), one_more.read(&mut buffer)).await, Ok(Ok(0) | Err(_)))
    })
    .await;
    target.holds("16 connections that send one byte a second", "hung up on after 15 s").await;
    assert!(begun.elapsed() < KNOCKING + KNOCKING, "the door was held for {:?}", begun.elapsed());
    slow.abort_all();
}
