//! The dialogue, fed what no client of ours sends: seeded, so that a run can be played again.
//!
//! `DRAWBRIDGE_DIALOGUE_SEED=n` plays one dialogue, `DRAWBRIDGE_FUZZ_SECONDS=n` many for so long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use bytes::Bytes;
use drawbridge_protocol::{
    ClusterName, JobRef, ObjectKey, ObjectPrefix, Orders, SessionId, SessionSigner, Sha256,
    orders::Limits,
    upload::{Data, Entry},
};
use drawbridge_rules::Rules;
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    ingest::{Bounds, Settings},
    machine::Machine,
    store::Store,
};

/// Dialogues that every `cargo test` plays.
const SEEDS: u64 = 150;
/// Messages of one dialogue.
const MESSAGES: usize = 120;
/// What the session takes.
const SESSION_BYTES: u64 = 300_000;

/// Numbers that a seed deals.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below
    }
}

/// A session whose S3 is not there: what it would store fails, in its own time.
fn session() -> Arc<Session> {
    let session = SessionId::random().unwrap();
    let cluster: ClusterName = "test".parse().unwrap();
    let job = JobRef::new("shop".to_owned(), "nightly".to_owned(), "6a1e-42".to_owned(), 1).unwrap();
    let client_key = drawbridge::transfer::ClientKey::generate().unwrap().public().clone();
    let limits = Limits { session_bytes: SESSION_BYTES, artifacts: 6, ..Limits::default() };
    let orders = Orders {
        version: Version,
        prefix: ObjectPrefix::of_session(&cluster, &job, &session).unwrap(),
        ended_key: ObjectKey::ended(&cluster, &session),
        session,
        job,
        cluster,
        client_key,
        bucket: "backups".to_owned(),
        region: "us-east-1".to_owned(),
        s3_endpoint: Some("http://127.0.0.1:9".to_owned()),
        extra_ca: None,
        ready_url: String::new(),
        deadline: Timestamp::now() + SignedDuration::from_mins(5),
        limits,
        checks: "yara=off".parse().unwrap(),
        rules: Vec::new(),
        baseline: None,
        revision: drawbridge_protocol::Revision::CERTIFIED,
    };
    let credentials = SharedCredentialsProvider::new(Credentials::new("k", "s", None, None, "test"));
    let machine = Machine { instance: "i-0".to_owned(), credentials };
    let store = Store::new(&orders, &machine, None);
    let rules = Rules::new(orders.checks.clone(), &[], None).unwrap();
    let signer = SessionSigner::generate().unwrap();
    // S3 is not there: no record is waited for.
    let settings = Settings::new(Bounds { record: Duration::ZERO, ..Bounds::default() });
    let program = Sha256::of(b"");
    Arc::new(Session::new(orders, machine.instance, program, settings, store, Ok(Arc::new(rules)), signer))
}

/// What a client says next; most of it makes sense somewhere, little of it here.
fn message(dice: &mut Dice, session: &Session, offset: u64) -> Vec<u8> {
    let name = |dice: &mut Dice| ["a.tar.zst", "b.log.zst", "c.jsonl.zst"][dice.roll(3)].parse().unwrap();
    let frame = match dice.roll(24) {
        0..=2 => ClientFrame::Hello(Hello { version: Version, session: session.orders.session.clone() }),
        3 => ClientFrame::Hello(Hello { version: Version, session: SessionId::random().unwrap() }),
        4..=8 => ClientFrame::Begin(Begin { name: name(dice) }),
        9..=14 => {
            let offset = if dice.roll(8) == 0 { offset.wrapping_add(dice.roll(3) as u64) } else { offset };
            let bytes = Bytes::from(vec![b'x'; 1 + dice.roll(20_000)]);
            ClientFrame::Data(Data { offset, bytes })
        }
        15..=17 => ClientFrame::End(Box::new(end(dice, offset))),
        18..=19 => {
            let entry = Entry { name: name(dice), bytes: offset, sha256: Sha256::of(b"") };
            ClientFrame::Commit(Commit { entries: vec![entry; dice.roll(3)], certificate: None })
        }
        20 => ClientFrame::Error(broken("the client's own words")),
        _ => return (0..=dice.roll(40)).map(|_| u8::try_from(dice.roll(8)).unwrap()).collect(),
    };
    let mut bytes = BytesMut::new();
    UploadCodec::<BoxFrame>::default().encode(frame, &mut bytes).unwrap();
    if dice.roll(12) == 0 {
        let at = dice.roll(bytes.len());
        bytes[at] ^= 1 << dice.roll(8);
    }
    bytes.to_vec()
}

fn end(dice: &mut Dice, bytes: u64) -> End {
    let claimed = drawbridge_protocol::manifest::Claimed {
        source: "s".to_owned(),
        namespace: "n".to_owned(),
        pod: "p".to_owned(),
        pod_uid: "u".to_owned(),
        container: "c".to_owned(),
        image: String::new(),
        paths: vec!["/etc".to_owned(); dice.roll(3)],
        original_bytes: bytes,
        original_sha256: Sha256::of(b""),
        log: None,
    };
    End { bytes, sha256: Sha256::of(b"another"), claimed }
}

/// One dialogue, over as many connections as the box ends.
async fn dialogue(seed: u64) {
    let (session, mut dice) = (session(), Dice::new(seed));
    let mut left = MESSAGES;
    while left > 0 {
        let (answers, mut queue) = mpsc::channel(ANSWERS);
        let mut dialogue = Dialogue { session: Arc::clone(&session), phase: Phase::Greeting, answers };
        let (mut buffer, mut taken) = (BytesMut::new(), 0);
        loop {
            left = left.saturating_sub(1);
            let bytes = message(&mut dice, &session, taken);
            let before = dialogue.phase.name();
            buffer.extend_from_slice(&bytes);
            let went = dialogue.read(&mut buffer);
            if before == "Hello was expected" && went.is_ok() && dialogue.phase.name() != before {
                assert_eq!(bytes[0], 1, "seed {seed}: something else than Hello was taken first");
            }
            while let Ok(answer) = queue.try_recv() {
                if let Answer::Frame(BoxFrame::Begun(Begun { offset })) = answer {
                    taken = offset;
                }
                assert!(
                    !matches!(answer, Answer::Frame(BoxFrame::Accepted(_) | BoxFrame::Sealed(_))),
                    "seed {seed}: something was stored, and there is no S3"
                );
            }
            if let Phase::Receiving(attachment) = &dialogue.phase {
                let gap = Data { offset: attachment.received() + 1, bytes: Bytes::from_static(b"x") };
                assert!(attachment.push(gap).is_err(), "seed {seed}: a gap was taken");
                taken = attachment.received();
            }
            assert!(session.reserved() <= SESSION_BYTES, "seed {seed}: more than the session's bytes");
            // Whatever waits for the dialogue gets its turn.
            tokio::task::yield_now().await;
            let told = dialogue.phase.result().now_or_never();
            let over = went.is_err() || told.is_some_and(|answer| dialogue.conclude(answer).is_err());
            if over || left == 0 {
                break;
            }
        }
    }
}

fn play(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_mins(1), dialogue(seed))
            .await
            .unwrap_or_else(|_| panic!("seed {seed}: the dialogue stands still"));
    });
    // Drivers of artifacts that nobody ended are dropped with it.
    runtime.shutdown_background();
}

#[test]
fn no_order_of_frames_breaks_the_dialogue() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("DRAWBRIDGE_DIALOGUE_SEED") {
        return play(seed);
    }
    let (begun, seconds) = (Instant::now(), number("DRAWBRIDGE_FUZZ_SECONDS").map(Duration::from_secs));
    let mut seed = 0;
    while seconds.map_or(seed < SEEDS, |seconds| begun.elapsed() < seconds) {
        let played = std::panic::catch_unwind(|| play(seed));
        assert!(played.is_ok(), "DRAWBRIDGE_DIALOGUE_SEED={seed} plays it again");
        seed += 1;
    }
    // For who records it.
    tracing::info!(dialogues = seed, "played");
    assert!(seed > 0);
}
