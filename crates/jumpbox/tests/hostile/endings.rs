//! The box ends by its deadline and a minute, whatever its client does meanwhile.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use drawbridge_jumpbox::Ending;
use drawbridge_protocol::upload::USER;
use jiff::Timestamp;
use russh::{client, keys::PrivateKeyWithHashAlg};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    raw::{self, Anyone, Raw},
    relay::{Mischief, Relay},
    s3,
    support::{eventually, noise},
    target::{GRACE, Target, lives},
};

/// Seconds that the box lives. It is attacked for all of them, and after.
const LIFE: i64 = 35;

async fn logged_in(address: std::net::SocketAddr, seed: u8) -> client::Handle<Anyone> {
    let mut ssh = client::connect(Arc::default(), address, Anyone).await.unwrap();
    let key = PrivateKeyWithHashAlg::new(raw::key(seed), None);
    assert!(ssh.authenticate_publickey(USER, key).await.unwrap().success());
    ssh
}

/// An artifact without end, of what costs the box most to look at.
async fn endless(target: &Target, index: usize, begun: &AtomicUsize) {
    let mut raw = Raw::greeted(&target.rig, target.seed).await;
    raw.begin(&format!("endless-{index}.log.zst")).await;
    begun.fetch_add(1, Ordering::SeqCst);
    let (content, noise) = (b"AKIA ghp_ eyJ eval(base64_decode($_POST ".repeat(8_192), noise(1 << 20));
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    let mut offset = 0;
    for round in 0.. {
        // Some of it does not compress, so that the ratio is an honest one.
        encoder.write_all(&noise[round % 500 * 2_048..][..2_048]).unwrap();
        encoder.write_all(&content).unwrap();
        encoder.flush().unwrap();
        let stored = std::mem::take(encoder.get_mut());
        raw.data(offset, &stored).await;
        offset += stored.len() as u64;
        if !raw.answers_for(offset.saturating_sub(1 << 20)).await {
            return;
        }
    }
}

/// Requests whose answers are never read.
async fn deaf(target: &Target, begun: &AtomicUsize) {
    let relay = Relay::new(target.rig.address, Mischief::Deaf).await;
    let ssh = logged_in(relay.address, target.seed).await;
    let channel = ssh.channel_open_session().await.unwrap();
    relay.throw();
    begun.fetch_add(1, Ordering::SeqCst);
    while channel.exec(true, "id").await.is_ok() {}
}

/// One byte a second of an artifact.
async fn dripping(target: &Target, begun: &AtomicUsize) {
    let relay = Relay::new(target.rig.address, Mischief::Drip).await;
    let ssh = logged_in(relay.address, target.seed).await;
    let mut raw = Raw::over(ssh).await;
    raw.greet(&target.rig).await;
    raw.begin("dripping.log.zst").await;
    relay.throw();
    begun.fetch_add(1, Ordering::SeqCst);
    raw.data(0, b"a byte a second").await;
    while raw.receive().await.is_some() {}
}

/// New keys, again and again.
async fn rekeying(target: &Target, begun: &AtomicUsize) {
    let ssh = logged_in(target.rig.address, target.seed).await;
    let _channel = ssh.channel_open_session().await.unwrap();
    begun.fetch_add(1, Ordering::SeqCst);
    while ssh.rekey_soon().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Connections and garbage, as fast as they come.
async fn knocking(target: &Target) {
    let garbage = noise(64 << 10);
    loop {
        if let Ok(mut stream) = TcpStream::connect(target.rig.address).await {
            let _ = stream.write_all(&garbage).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_box_ends_in_time_whatever_its_client_does() {
    let target = Arc::new(Target::start(60, lives(LIFE)).await);
    target.honest("before.log.zst").await.unwrap();
    let mut attacks = attack(&target).await;

    // Memory is looked at as long as there is a process to look at.
    let deadline = target.rig.orders.deadline;
    while Timestamp::now() < deadline - jiff::SignedDuration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let all = "endless artifacts, deafness, one byte a second, new keys, knocking, all at once";
    target.stays_small(all, "nothing but what each gets alone");
    let over = Instant::now();
    let late = loop {
        if target.rig.serving.is_finished() {
            break (Timestamp::now() - deadline).total(jiff::Unit::Second).unwrap();
        }
        assert!(over.elapsed() < GRACE + Duration::from_secs(5), "the box is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    attacks.abort_all();
    eprintln!("the box ended {late:.1} s after its deadline");
    assert!(late < GRACE.as_secs_f64(), "the box ended {late:.1} s after its deadline");
    let key = target.rig.orders.ended_key.as_str();
    target.rig.s3.head_object().bucket(s3::BUCKET).key(key).send().await.expect("the ended marker");
    assert!(target.rig.objects().await.contains_key("before.log.zst"), "what was stored before");
    let target =
        Arc::into_inner(wait_for_the_attacks(attacks, target).await).expect("nobody attacks any more");
    let ended = timeout(Duration::from_secs(1), target.rig.serving).await.unwrap().unwrap();
    assert_eq!(ended.unwrap(), Ending::Deadline, "it ended well");
    crate::target::write_down(
        "the same attacks, at the deadline and after",
        &format!("ended {late:.1} s after it"),
        None,
    );
}

/// Everything at once, each on connections of its own; when it returns, all are under way.
async fn attack(target: &Arc<Target>) -> JoinSet<()> {
    let (mut attacks, begun) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for index in 0..5 {
        let (target, begun) = (Arc::clone(target), Arc::clone(&begun));
        attacks.spawn(async move {
            match index {
                0 | 1 => endless(&target, index, &begun).await,
                2 => deaf(&target, &begun).await,
                3 => dripping(&target, &begun).await,
                _ => rekeying(&target, &begun).await,
            }
        });
    }
    eventually("all attacks are under way", || async { begun.load(Ordering::SeqCst) == 5 }).await;
    let target = Arc::clone(target);
    attacks.spawn(async move { knocking(&target).await });
    attacks
}

async fn wait_for_the_attacks(mut attacks: JoinSet<()>, target: Arc<Target>) -> Arc<Target> {
    while let Some(ended) = attacks.join_next().await {
        assert!(!ended.is_err_and(|error| error.is_panic()), "an attack went wrong");
    }
    target
}
