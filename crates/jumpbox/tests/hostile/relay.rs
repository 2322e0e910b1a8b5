//! A relay between a well-behaved SSH library and the box: it makes the library misbehave on the wire.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What it does once the switch is thrown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// Sends the box noise in place of what the client says.
    Noise,
    /// Reads nothing of what the box says, so that its answers queue.
    Deaf,
    /// Lets one byte a second through to the box.
    Drip,
}

/// Carries one connection.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    thrown: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) async fn new(target: SocketAddr, mischief: Mischief) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let thrown = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&thrown);
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let target = TcpStream::connect(target).await.unwrap();
            let ((from_client, to_client), (from_box, to_box)) = (client.into_split(), target.into_split());
            tokio::spawn(back(from_box, to_client, mischief, Arc::clone(&switch)));
            forth(from_client, to_box, mischief, switch).await;
        });
        Self { address, thrown }
    }

    /// From here on it misbehaves.
    pub(crate) fn throw(&self) {
        self.thrown.store(true, Ordering::SeqCst);
    }
}

async fn forth(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mischief: Mischief, on: Arc<AtomicBool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let on = on.load(Ordering::SeqCst);
        match mischief {
            Mischief::Noise if on => {
                let noise = crate::support::noise(1 << 20);
                while to.write_all(&noise).await.is_ok() {}
                return;
            }
            Mischief::Drip if on => {
                for byte in &buffer[..read] {
                    if to.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            _ if to.write_all(&buffer[..read]).await.is_err() => return,
            _ => {}
        }
    }
}

async fn back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mischief: Mischief, on: Arc<AtomicBool>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        if mischief == Mischief::Deaf && on.load(Ordering::SeqCst) {
            // Both halves are kept, and nothing is read, until the test ends.
            std::future::pending::<()>().await;
        }
        match from.read(&mut buffer).await {
            Ok(read @ 1..) if to.write_all(&buffer[..read]).await.is_ok() => {}
            _ => return,
        }
    }
}
