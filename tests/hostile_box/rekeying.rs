//! Boxes that exchange keys anew in the middle of an upload: honestly, with another host key, or never to its end; and one
//! that has more to say than a client wants to hear before it lets it in.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aws_lc_rs::signature::Ed25519KeyPair;
use bytes::BytesMut;
use drawbridge::{
    fault::Reason,
    transfer::{Patience, TransferError},
};
use drawbridge_protocol::{
    ArtifactName,
    upload::{BoxFrame, ClientFrame, UploadCodec},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::codec::Decoder as _;

use crate::{
    dialogue::{self, Say, encode},
    meeting::{assert_named, impatient, session, succeeds},
    server::{Manners, Server},
    wire::{Message, Reader, Wire, kind},
    world::World,
};

/// What the box does with SSH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    KeysAnew,
    AnotherHostKey,
    NeverNewKeys,
    EndlessBanner,
}

/// A box of that conduct, and what tells that a connection to it has ended.
async fn listen(world: World, conduct: Conduct) -> (Arc<Server>, SocketAddr, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::new(Server::new(world, Manners::default()));
    let (ended, ends) = mpsc::unbounded_channel();
    let host = Arc::clone(&server);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (server, ended) = (Arc::clone(&host), ended.clone());
            tokio::spawn(async move {
                let _ = serve(&server, stream, conduct).await;
                let _ = ended.send(());
            });
        }
    });
    (server, address, ends)
}

async fn serve(server: &Server, stream: TcpStream, conduct: Conduct) -> std::io::Result<()> {
    let mut wire = Wire::new(stream).await?;
    wire.offer().await?;
    let (mut codec, mut buffer, mut current) =
        (UploadCodec::<ClientFrame>::default(), BytesMut::new(), None::<ArtifactName>);
    let (mut client, mut exchanging, mut frames) = (0, true, 0);
    // Between the offer and the new keys nothing else may be said.
    let mut held = Vec::new();
    loop {
        let message = wire.read().await?;
        let mut reader = Reader(&message[1..]);
        match message[0] {
            kind::KEXINIT => {
                if !std::mem::replace(&mut exchanging, true) {
                    wire.offer().await?;
                }
                wire.offered(&message);
            }
            kind::ECDH_INIT if wire.is_keyed() && conduct == Conduct::NeverNewKeys => {}
            kind::ECDH_INIT => {
                let other = wire.is_keyed() && conduct == Conduct::AnotherHostKey;
                let seed = if other { [9; 32] } else { server.world.host_seed };
                wire.exchange(&message, &Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()).await?;
                exchanging = false;
                for said in held.drain(..) {
                    tell(&mut wire, client, said).await?;
                }
            }
            kind::NEWKEYS => {
                frames = 0;
                wire.renew();
            }
            // The service, the login, the channel, the subsystem: granted.
            5 => wire.write(&Message::of(6).string(reader.string())).await?,
            50 if conduct == Conduct::EndlessBanner => loop {
                wire.write(&Message::of(53).string(&vec![b'x'; 30_000]).string(b"")).await?;
                server.poured(30_000);
            },
            50 => wire.write(&Message::of(52)).await?,
            90 => {
                reader.string();
                client = reader.u32();
                wire.write(&Message::of(91).u32(client).u32(0).u32(1 << 30).u32(65_000)).await?;
            }
            98 => wire.write(&Message::of(99).u32(client)).await?,
            80 if !exchanging => wire.write(&Message::of(82)).await?,
            94 => {
                reader.u32();
                buffer.extend_from_slice(reader.string());
                while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                    frames += u32::from(matches!(frame, ClientFrame::Data(_)));
                    for say in dialogue::answer(server, &mut current, &frame) {
                        let Say::Frame(said) = say else { return Ok(()) };
                        if exchanging {
                            held.push(said);
                        } else {
                            tell(&mut wire, client, said).await?;
                        }
                    }
                }
                // In the middle of the first artifact.
                if frames >= 2 && !exchanging {
                    (exchanging, frames) = (true, 0);
                    wire.offer().await?;
                }
            }
            1 | 97 => return Ok(()),
            _ => {}
        }
    }
}

async fn tell(wire: &mut Wire, client: u32, frame: BoxFrame) -> std::io::Result<()> {
    wire.write(&Message::of(94).u32(client).string(&encode(frame))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_exchanged_anew_under_way_disturb_nothing() {
    let (server, address, _) = listen(World::pinned(), Conduct::KeysAnew).await;
    let sealed = session(&server.world, address, Patience::default()).await.unwrap();
    assert_eq!(sealed.receipt().artifacts, 2);
}

/// russh asks about the host key once a connection. It is enough: only who holds the connection's keys can exchange them, and
/// those came about under the pinned key. What counts is signed with another key anyway.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_key_gives_nobody_anything_that_the_first_had_not() {
    let (server, address, _) = listen(World::pinned(), Conduct::AnotherHostKey).await;
    let sealed = session(&server.world, address, Patience::default()).await.unwrap();
    assert_eq!(sealed.receipt().session, server.world.session);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_never_finishes_an_exchange_of_keys_is_left_and_its_connections_closed() {
    let (server, address, mut ends) = listen(World::pinned(), Conduct::NeverNewKeys).await;
    let ended =
        tokio::time::timeout(Duration::from_mins(1), session(&server.world, address, impatient())).await;
    let error = ended.expect("it never ended").map(|_| ()).expect_err("a Complete");
    assert_named("never new keys", &error, Reason::ConnectionLost, "the box at");
    let closed = tokio::time::timeout(Duration::from_secs(10), ends.recv()).await;
    assert!(closed.is_ok(), "nobody needs the connection, and it stays open");
    succeeds("one that finishes it", World::pinned()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_only_sends_banners_is_left_and_its_connection_closed() {
    let (server, address, mut ends) = listen(World::pinned(), Conduct::EndlessBanner).await;
    let error = session(&server.world, address, impatient()).await.map(|_| ()).expect_err("a Complete");
    assert!(matches!(error, TransferError::Dropped { .. }), "{error:?}");
    assert_named("endless banners", &error, Reason::ConnectionLost, "the handshake took too long");
    assert!(server.poured(0) > 0, "the client was to hear something");
    let closed = tokio::time::timeout(Duration::from_secs(10), ends.recv()).await;
    assert!(closed.is_ok(), "nobody needs the connection, and it stays open");
}
