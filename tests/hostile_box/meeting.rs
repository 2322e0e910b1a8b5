//! What the controller does with a box, and what becomes of it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use drawbridge::{
    fault::{Fault, Reason},
    transfer::{Claim, Patience, Progress, SealedReceipt, TransferError, Uploader},
};
use futures::{Stream, stream};

use crate::{
    dialogue::{Heard, Say},
    server::{Listening, Manners, listen},
    world::World,
};

/// More than the sum of all the patience that a client in a test has.
const LIMIT: Duration = Duration::from_mins(1);

/// A client that waits as ours does, only less long.
pub(crate) fn impatient() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        handshake: Duration::from_secs(4),
        stuck: Duration::from_secs(1),
        answer: Duration::from_secs(2),
        resume: Duration::from_secs(4),
    }
}

/// A whole session, as the controller's carrier has it.
pub(crate) async fn session(
    world: &World,
    address: SocketAddr,
    patience: Patience,
) -> Result<SealedReceipt, TransferError> {
    let target = world.target(address);
    target.believes(target.certificate.as_ref(), world.key.public())?;
    let mut uploader =
        Uploader::connect(target, world.key.clone(), patience, Arc::<Progress>::default()).await?;
    let mut entries = Vec::new();
    // More than a window of this box's, and less than a frame.
    for (name, len) in [("logs.web-0.app.log.zst", 1_300_000), ("config.web-0.app.tar.zst", 100)] {
        let stored = uploader.upload(&name.parse().unwrap(), Claim::default(), noise(len)).await?;
        entries.push(stored.entry());
    }
    let sealed = uploader.commit(&entries).await?;
    uploader.close().await;
    Ok(sealed)
}

/// Bytes that do not compress, as a source yields them.
fn noise(len: usize) -> impl Stream<Item = io::Result<Bytes>> {
    let mut bytes = vec![0; len];
    rand::fill(bytes.as_mut_slice());
    stream::iter(bytes.chunks(60_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect::<Vec<_>>())
}

/// Meets a box of these manners: it must come to an error in time, and its honest twin to a receipt.
pub(crate) async fn meet(what: &str, manners: Manners) -> TransferError {
    meet_in(what, World::pinned(), manners).await.0
}

/// The same, for a session of `world`; with the box, to see what it saw.
pub(crate) async fn meet_in(what: &str, world: World, manners: Manners) -> (TransferError, Listening) {
    let hostile = listen(world, manners).await;
    let met = session(&hostile.server.world, hostile.address, impatient());
    let met = tokio::time::timeout(LIMIT, met).await.unwrap_or_else(|_| panic!("{what}: it never ended"));
    let error = met.map(|_| ()).expect_err(what);
    succeeds(what, World::pinned()).await;
    (error, hostile)
}

/// The honest twin.
pub(crate) async fn succeeds(what: &str, world: World) {
    let honest = listen(world, Manners::default()).await;
    let sealed = session(&honest.server.world, honest.address, Patience::default()).await;
    let sealed = sealed.unwrap_or_else(|error| panic!("the honest twin of '{what}': {error}"));
    assert_eq!(sealed.receipt().artifacts, 2, "{what}");
}

/// An otherwise honest box that twists its words.
pub(crate) fn twisted(twist: impl Fn(&Heard<'_>, Vec<Say>) -> Vec<Say> + Send + Sync + 'static) -> Manners {
    Manners { twist: Box::new(twist), ..Manners::default() }
}

/// The error is of this reason, and says this.
pub(crate) fn assert_named(what: &str, error: &TransferError, reason: Reason, said: &str) {
    let fault = Fault::from(error);
    assert_eq!(fault.reason, reason, "{what}: {error}");
    assert!(fault.message.contains(said), "{what}: expected '{said}' in: {}", fault.message);
}
