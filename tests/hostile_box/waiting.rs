//! Boxes that keep the client waiting: every wait has an end, and the end has a name.

use drawbridge::{fault::Reason, transfer::TransferError};
use drawbridge_protocol::upload::{BoxFrame, ClientFrame};

use crate::{
    dialogue::{Say, encode},
    meeting::{assert_named, meet, meet_in, twisted},
    server::Manners,
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_owes_an_answer_is_left_when_none_comes() {
    type Silence = fn(&ClientFrame) -> bool;
    let cases: [(&str, Silence, &str); 4] = [
        ("no Begun", |f| matches!(f, ClientFrame::Begin(_)), "owes the place where the artifact goes on"),
        ("no Ack", |f| matches!(f, ClientFrame::Data(_)), "owes an answer for what it was sent"),
        ("no Accepted", |f| matches!(f, ClientFrame::End(_)), "owes an answer for what it was sent"),
        ("no receipt", |f| matches!(f, ClientFrame::Commit(_)), "owes the receipt"),
    ];
    for (what, silent, said) in cases {
        let mute = twisted(move |heard, says| if silent(heard.frame) { Vec::new() } else { says });
        let error = meet(what, mute).await;
        assert!(matches!(error, TransferError::Silent { .. }), "{what}: {error:?}");
        assert_named(what, &error, Reason::ConnectionLost, said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_does_not_greet_is_left() {
    let mute = twisted(|_, _| Vec::new());
    let error = meet("no Welcome", mute).await;
    assert_named("no Welcome", &error, Reason::ConnectionLost, "the handshake took too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn saying_the_same_over_and_over_is_no_answer() {
    // Each is a good acknowledgement, and none says anything new.
    let parrot = twisted(|heard, says| match heard.frame {
        ClientFrame::End(end) => {
            let again: Vec<u8> = (0..512).flat_map(|_| encode(BoxFrame::Ack(end.bytes)).to_vec()).collect();
            vec![Say::Endless(again.into())]
        }
        _ => says,
    });
    let error = meet("endless acknowledgements", parrot).await;
    assert_named("parrot", &error, Reason::ConnectionLost, "owes an answer for what it was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_takes_nothing_is_left() {
    let error = meet("no window", Manners { window: 0, ..Manners::default() }).await;
    assert_named("no window", &error, Reason::ConnectionLost, "");
    let error = meet("packets of no bytes", Manners { packet: 0, ..Manners::default() }).await;
    assert_named("no packets", &error, Reason::ConnectionLost, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_closes_again_and_again_is_left_after_a_few_times() {
    let closing = twisted(|heard, says| match heard.frame {
        ClientFrame::Data(_) => vec![Say::Close],
        _ => says,
    });
    let (error, hostile) = meet_in("closing", World::pinned(), closing).await;
    assert!(
        matches!(
            error,
            // Silent, where all that the box would take at once was sent and nothing of it acknowledged.
            TransferError::Dropped { .. } | TransferError::Silent { .. } | TransferError::Lost { .. }
        ),
        "{error:?}"
    );
    assert!(hostile.server.connections() <= 8, "{} connections", hostile.server.connections());
}
