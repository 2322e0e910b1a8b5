//! Before the first frame: who answers, in what words, and what he asks for.

use std::{net::SocketAddr, time::Duration};

use drawbridge::{fault::Reason, transfer::TransferError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::{
    meeting::{assert_named, impatient, meet, meet_in, session, succeeds},
    server::{Ask, Door, Manners},
    world::{World, ssh_key},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_another_host_key_gets_nothing() {
    let manners = Manners { host: Some(ssh_key().0), ..Manners::default() };
    let (error, hostile) = meet_in("stranger", World::pinned(), manners).await;
    assert_named("stranger", &error, Reason::HostKeyMismatch, "nothing was sent");
    assert_eq!((hostile.server.connections(), hostile.server.taken.bytes()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_asks_for_a_channel_of_its_own_gets_none_and_no_byte_more() {
    let asked = [
        (Ask::Session, "it opened a session channel"),
        (Ask::Agent, "it opened a channel to an SSH agent"),
        (Ask::ForwardedPort, "it opened a channel of a forwarded port"),
        (Ask::ForwardedSocket, "it opened a channel of a forwarded socket"),
        (Ask::OtherHost, "it opened a channel to another host"),
        (Ask::OtherSocket, "it opened a channel to a socket"),
        (Ask::X11, "it opened a channel to an X11 display"),
    ];
    for (ask, said) in asked {
        let what = format!("{ask:?}");
        let (error, hostile) =
            meet_in(&what, World::pinned(), Manners { asks: Some(ask), ..Manners::default() }).await;
        assert_named(&what, &error, Reason::ProtocolBroken, said);
        assert_eq!(hostile.server.connections(), 1, "{what}: it does not come back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_does_not_open_is_left_with_its_name() {
    let doors = [
        (Door::RefusesTheKey, Reason::ClientKeyRefused, "refused this session's client key"),
        (Door::NeverAdmits, Reason::ConnectionLost, "the handshake took too long"),
        (Door::RefusesTheChannel, Reason::ConnectionLost, "the connection to the box"),
        (Door::NeverOpensTheChannel, Reason::ConnectionLost, "the handshake took too long"),
        (Door::RefusesTheSubsystem, Reason::ProtocolBroken, "does not offer the subsystem drawbridge-upload"),
        (Door::NeverStarts, Reason::ConnectionLost, "the handshake took too long"),
    ];
    for (door, reason, said) in doors {
        let what = format!("{door:?}");
        let error = meet(&what, Manners { door, ..Manners::default() }).await;
        assert_named(&what, &error, reason, said);
    }
}

/// Somebody who speaks no SSH, or not for long: writes `words` once or for ever, then waits for the client to leave.
async fn speaks(words: Vec<u8>, for_ever: bool) -> (SocketAddr, oneshot::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (left, has_left) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        talk(stream, &words, for_ever).await;
        let _ = left.send(());
    });
    (address, has_left)
}

async fn talk(stream: TcpStream, words: &[u8], for_ever: bool) {
    let (mut reader, mut writer) = stream.into_split();
    let talking = async {
        while writer.write_all(words).await.is_ok() && for_ever {}
        std::future::pending::<()>().await;
    };
    let listening = async {
        let mut heard = [0; 4_096];
        while matches!(reader.read(&mut heard).await, Ok(1..)) {}
    };
    tokio::select! {
        () = talking => {}
        () = listening => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_no_ssh_is_left_and_his_connection_is_closed() {
    let long = "x".repeat(4_096).into_bytes();
    let mut huge = b"SSH-2.0-box\r\n".to_vec();
    huge.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let garbage: Vec<u8> = b"SSH-2.0-box\r\n".iter().copied().chain((0..=255).cycle().take(8_192)).collect();
    let cases = [
        ("an endless banner of lines", b"Welcome to my parlour\r\n".to_vec(), true),
        ("an endless banner of one line", long, true),
        ("a packet of four gigabytes", huge, false),
        ("garbage after the greeting", garbage, true),
        ("not a word", Vec::new(), false),
        ("a greeting, and no key exchange", b"SSH-2.0-box\r\n".to_vec(), false),
    ];
    for (what, words, for_ever) in cases {
        let (address, has_left) = speaks(words, for_ever).await;
        let world = World::pinned();
        let error = session(&world, address, impatient()).await.map(|_| ()).expect_err(what);
        assert!(matches!(error, TransferError::Dropped { .. }), "{what}: {error:?}");
        assert_named(what, &error, Reason::ConnectionLost, "the connection to the box");
        let left = tokio::time::timeout(Duration::from_secs(5), has_left).await;
        assert!(left.is_ok(), "{what}: nobody needs the connection, and it stays open");
    }
    succeeds("somebody who speaks SSH", World::pinned()).await;
}
