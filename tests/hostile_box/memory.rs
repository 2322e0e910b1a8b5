//! What a box pours into the client does not stay there.

use std::{fs, time::Duration};

use bytes::Bytes;
use drawbridge::{fault::Reason, transfer::Patience};
use drawbridge_protocol::upload::{BoxFrame, ClientFrame};

use crate::{
    dialogue::{Say, encode},
    meeting::{assert_named, impatient, session, succeeds, twisted},
    server::listen,
    world::World,
};

/// By how much the process may grow, other tests beside it included, in KiB.
const GROWTH: usize = 40 << 10;
/// How much must have been poured for that to say anything, in bytes.
const POURED: usize = 100 << 20;

/// The process's peak, in KiB.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_stream_costs_the_client_no_memory() {
    succeeds("the first to run takes what every session takes", World::pinned()).await;
    // One that goes back would end the session at once; the same again is no offence.
    let acknowledged: fn(u64) -> Say = |bytes| {
        let again = (0..4_096).flat_map(|_| encode(BoxFrame::Ack(bytes)).to_vec());
        Say::Endless(again.collect::<Vec<_>>().into())
    };
    let other: fn(u64) -> Say = |_| Say::EndlessErrors(Bytes::from(vec![b'x'; 60_000]));
    for (what, stream) in [("the last acknowledgement again", acknowledged), ("the other stream", other)] {
        let (before, mut poured) = (peak(), 0);
        // Several sessions where the machine is too slow for one to show it.
        while poured < POURED {
            let pouring = twisted(move |heard, says| match heard.frame {
                ClientFrame::End(end) => vec![stream(end.bytes)],
                _ => says,
            });
            let hostile = listen(World::pinned(), pouring).await;
            let patience = Patience { answer: Duration::from_secs(10), ..impatient() };
            let ended = session(&hostile.server.world, hostile.address, patience).await;
            let error = ended.map(|_| ()).expect_err(what);
            assert_named(what, &error, Reason::ConnectionLost, "owes an answer for what it was sent");
            poured += hostile.server.poured(0);
        }
        let grown = peak() - before;
        assert!(
            grown < GROWTH,
            "{what}: {grown} KiB grown for {poured} bytes, at most {GROWTH} KiB expected"
        );
    }
    succeeds("a box that says what it owes", World::pinned()).await;
}
