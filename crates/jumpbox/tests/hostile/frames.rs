//! Frames as no client of ours sends them, from all the connections that a session may have.

use std::time::Duration;

use drawbridge_protocol::{
    SessionId, Sha256, Version,
    manifest::Claimed,
    upload::{BoxFrame, ClientFrame, Commit, End, Entry, FailureCode, Hello},
};
use futures::future::join_all;
use tokio::time::timeout;

use crate::{
    raw::Raw,
    support::{Plan, artifact, eventually, noise},
    target::{Target, checked},
};

/// Connections that a session may have.
const ALL: usize = 8;

/// As long a run of raw frames as a test writes at once.
const RUN: usize = 48 << 10;

async fn refused(raw: &mut Raw, what: &str) {
    let failure = raw.failure().await;
    assert_eq!(failure.code, FailureCode::Protocol, "{what}: {}", failure.message);
    assert_eq!(raw.receive().await, None, "{what}: after which the box hangs up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_frame_is_refused_by_its_header() {
    let target = Target::start(40, checked()).await;
    for kind in [1, 2, 3, 4, 5, 127] {
        for length in [u32::MAX, 1 << 31, (4 << 20) + 1] {
            let mut raw = Raw::greeted(&target.rig, 40).await;
            let mut header = vec![kind];
            header.extend_from_slice(&length.to_be_bytes());
            raw.send_bytes(&header).await;
            refused(&mut raw, &format!("kind {kind} of {length} bytes")).await;
        }
    }
    for kind in [0, 6, 65, 70, 255] {
        let mut raw = Raw::greeted(&target.rig, 40).await;
        raw.send_bytes(&[kind, 0, 0, 0, 0]).await;
        refused(&mut raw, &format!("kind {kind}")).await;
    }
    target
        .holds("frames of 4 GiB of every kind, kinds that there are not", "refused by the header: protocol")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_out_of_order_are_refused() {
    let target = Target::start(41, Plan::default()).await;
    let rig = &target.rig;
    let greeting = || ClientFrame::Hello(Hello { version: Version, session: rig.orders.session.clone() });

    let mut raw = Raw::greeted(rig, 41).await;
    raw.send(greeting()).await;
    refused(&mut raw, "Hello twice").await;

    let mut raw = Raw::connect(rig, 41).await;
    raw.data(0, b"data").await;
    refused(&mut raw, "Data before Hello").await;

    let mut raw = Raw::connect(rig, 41).await;
    raw.send(ClientFrame::Hello(Hello { version: Version, session: SessionId::random().unwrap() })).await;
    assert_eq!(raw.failure().await.code, FailureCode::State, "another session");

    for (what, offset) in [("a gap", 7), ("an overlap", 0), ("the end of time", u64::MAX)] {
        let mut raw = Raw::greeted(rig, 41).await;
        raw.begin(&format!("{}.log.zst", what.replace(' ', "-"))).await;
        raw.data(0, b"four").await;
        raw.data(offset, b"data").await;
        refused(&mut raw, what).await;
    }
    let mut raw = Raw::greeted(rig, 41).await;
    assert!(matches!(raw.end(0, Sha256::of(b"")).await, Some(BoxFrame::Error(_))), "End before Begin");

    for name in
        ["../x.log.zst", "/etc/x.log.zst", "a/b.log.zst", "manifest.json", "", "x.exe", "x\u{0}.log.zst"]
    {
        let mut raw = Raw::greeted(rig, 41).await;
        let body = serde_json::json!({"name": name}).to_string();
        let mut frame = vec![2];
        frame.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(body.as_bytes());
        raw.send_bytes(&frame).await;
        refused(&mut raw, name).await;
    }
    target
        .holds(
            "frames out of order, gaps, overlaps, names that leave the prefix",
            "refused: protocol or state",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_at_once_past_their_windows_are_read_no_faster_than_stored() {
    let target = Target::start(42, checked()).await;
    let stored = zstd::stream::encode_all(&noise(64 << 20)[..], 1).unwrap();
    let floods = (0..ALL).map(|index| {
        let (rig, stored) = (&target.rig, &stored);
        async move {
            let mut raw = Raw::greeted(rig, 42).await;
            raw.begin(&format!("flood-{index}.log.zst")).await;
            let mut offset = 0;
            // Without a look at what is acknowledged.
            for chunk in stored.chunks(256 << 10) {
                let sent = raw.data(offset, chunk);
                if timeout(Duration::from_secs(2), sent).await.is_err() {
                    break;
                }
                offset += chunk.len() as u64;
            }
            // One that is alone past its window is refused; of several the box reads less.
            match timeout(Duration::from_secs(3), raw.told_before(u64::MAX)).await {
                Ok(Some(BoxFrame::Error(failure))) => {
                    assert!(failure.message.contains("unacknowledged"), "{}", failure.message);
                }
                Ok(other) => panic!("a refusal or nothing was expected, got {other:?}"),
                Err(_) => {}
            }
        }
    });
    join_all(floods).await;
    let attack = "8 connections that run past their windows";
    target.holds(attack, "read no faster than it is stored, or refused: protocol").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_full_of_single_bytes_takes_no_more_memory_than_another() {
    let target = Target::start(43, Plan::default()).await;
    let floods = (0..ALL).map(|index| {
        let rig = &target.rig;
        async move {
            let mut raw = Raw::greeted(rig, 43).await;
            raw.begin(&format!("slivers-{index}.tar.zst")).await;
            // 3 MiB of artifact: within the window, whatever is acknowledged.
            let mut offset = 0_u64;
            while offset < 3 << 20 {
                let mut run = Vec::with_capacity(RUN + 16);
                while run.len() < RUN {
                    run.extend_from_slice(&[3, 0, 0, 0, 9]);
                    run.extend_from_slice(&offset.to_be_bytes());
                    run.push(7);
                    offset += 1;
                }
                let sent = raw.send_bytes(&run);
                if timeout(Duration::from_secs(20), sent).await.is_err() {
                    break;
                }
            }
            let failure = raw.failure().await;
            assert!(failure.message.contains("unacknowledged frames"), "{}", failure.message);
        }
    });
    join_all(floods).await;
    target.holds("frames of one byte, 3 million on each of 8 connections", "refused: protocol").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_commits_from_all_connections_at_once_are_refused() {
    let target = Target::start(44, checked()).await;
    target.honest("stored.log.zst").await.unwrap();
    let entry = Entry { name: artifact("a.tar.zst"), bytes: 0, sha256: Sha256::of(b"") };
    // As many as fit into the largest frame.
    let commit = Commit { entries: vec![entry; 38_000], certificate: None };
    let before = target.descriptors();
    for _ in 0..3 {
        let commits = (0..ALL).map(|_| async {
            let mut raw = Raw::greeted(&target.rig, 44).await;
            raw.send(ClientFrame::Commit(commit.clone())).await;
            let failure = raw.failure().await;
            assert!(failure.message.contains("frame has"), "{failure:?}");
        });
        join_all(commits).await;
        eventually("their connections are gone", || async { target.descriptors() <= before + 2 }).await;
    }
    target.holds("8 commits of 4 MiB at once, three times", "refused by the header: protocol").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_are_small_on_the_wire_and_large_in_memory_are_bounded() {
    let target = Target::start(45, checked()).await;
    let line = b"a line\n";
    let stored = zstd::stream::encode_all(&line[..], 3).unwrap();
    let mut accepted = Vec::new();
    // Paths of one letter: four bytes of JSON, and some fifty of memory.
    let paths = vec!["a".to_owned(); 15_000];
    let refusal = loop {
        let mut raw = Raw::greeted(&target.rig, 45).await;
        let name = format!("claims-{}.log.zst", accepted.len());
        raw.begin(&name).await;
        raw.data(0, &stored).await;
        let claimed = Claimed {
            source: "s".to_owned(),
            namespace: "n".to_owned(),
            pod: "p".to_owned(),
            pod_uid: "u".to_owned(),
            container: "c".to_owned(),
            image: String::new(),
            paths: paths.clone(),
            original_bytes: line.len() as u64,
            original_sha256: Sha256::of(line),
            log: None,
        };
        let sha256 = Sha256::of(&stored);
        let end = End { bytes: stored.len() as u64, sha256: sha256.clone(), claimed };
        raw.send(ClientFrame::End(Box::new(end))).await;
        match raw.receive().await {
            Some(BoxFrame::Accepted(_)) => {
                accepted.push(Entry { name: artifact(&name), bytes: stored.len() as u64, sha256 });
            }
            Some(BoxFrame::Error(failure)) => break failure,
            other => panic!("accepted or refused, got {other:?}"),
        }
        assert!(accepted.len() < 200, "claims are not bounded");
    };
    assert_eq!(refusal.code, FailureCode::Limit, "{}", refusal.message);
    // The last one is still under way: its client may come back for 30 s.
    let sealed = async {
        loop {
            let mut raw = Raw::greeted(&target.rig, 45).await;
            raw.send(ClientFrame::Commit(Commit { entries: accepted.clone(), certificate: None })).await;
            match raw.receive().await {
                Some(BoxFrame::Sealed(_)) => return,
                Some(BoxFrame::Error(failure)) if failure.message.contains("under way") => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                other => panic!("a receipt was expected, got {other:?}"),
            }
        }
    };
    timeout(Duration::from_mins(1), sealed).await.expect("a receipt");
    target.stays_small(
        "claims of a million paths, then sealed",
        "refused past the bound: limit; the rest sealed",
    );
}
