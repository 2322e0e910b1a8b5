//! Frames that are none, too large, out of order or too many.

use drawbridge::fault::Reason;
use drawbridge_protocol::{
    Version,
    upload::{Begun, BoxFrame, ClientFrame, MAX_CONTROL, Welcome},
};

use crate::{
    dialogue::{Say, encode, raw},
    meeting::{assert_named, meet, twisted},
};

fn welcome(window_bytes: u64) -> Say {
    Say::Frame(BoxFrame::Welcome(Welcome { version: Version, window_bytes }))
}

/// What is said instead of `Begun`.
async fn instead_of_begun(what: &str, words: Vec<Say>) -> drawbridge::transfer::TransferError {
    let garbled = twisted(move |heard, says| match heard.frame {
        ClientFrame::Begin(_) => words.clone(),
        _ => says,
    });
    meet(what, garbled).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_ends_the_session_by_its_header_or_its_content() {
    let mut huge = vec![66];
    huge.extend_from_slice(&u32::MAX.to_be_bytes());
    let mut large = vec![66];
    large.extend_from_slice(&u32::try_from(MAX_CONTROL + 1).unwrap().to_be_bytes());
    let lies = [
        ("a kind that does not exist", raw(200, b"{}"), "unknown frame kind 200"),
        ("a client's own frame", raw(2, b"{}"), "unknown frame kind 2"),
        ("a huge header", Say::Raw(huge.into()), "4294967295 bytes, more than the 65536 allowed"),
        ("a header one byte too large", Say::Raw(large.into()), "65537 bytes, more than the 65536 allowed"),
        ("an acknowledgement of nine bytes", raw(67, b"123456789"), "more than the 8 allowed"),
        ("an acknowledgement of seven bytes", raw(67, b"1234567"), "eight bytes were expected"),
        ("no JSON", raw(66, b"\xff\xfe"), "Begun is not valid"),
        ("nothing at all", raw(66, b""), "Begun is not valid"),
        ("a field that nobody knows", raw(66, br#"{"offset":0,"run":"id"}"#), "unknown field `run`"),
        ("a negative offset", raw(66, br#"{"offset":-1}"#), "Begun is not valid"),
        ("nested too deep", raw(66, "[".repeat(60_000).as_bytes()), "Begun is not valid"),
    ];
    for (what, words, said) in lies {
        let error = instead_of_begun(what, vec![words]).await;
        assert_named(what, &error, Reason::ProtocolBroken, said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_out_of_order_end_the_session() {
    let begun = || Say::Frame(BoxFrame::Begun(Begun { offset: 0 }));
    let error = instead_of_begun("Welcome again", vec![welcome(1 << 20)]).await;
    assert_named("Welcome again", &error, Reason::ProtocolBroken, "it sent Welcome where that means nothing");
    let error = instead_of_begun("Begun twice", vec![begun(), begun()]).await;
    assert_named("Begun twice", &error, Reason::ProtocolBroken, "it sent Begun where that means nothing");
    let early = vec![begun(), Say::Frame(BoxFrame::Ack(1 << 40))];
    let error = instead_of_begun("Ack before anything was sent", early).await;
    assert_named("early Ack", &error, Reason::ProtocolBroken, "it acknowledged byte 1099511627776");

    let sealed = twisted(|heard, says| match heard.frame {
        ClientFrame::End(_) => {
            let commit = drawbridge_protocol::upload::Commit { entries: Vec::new(), certificate: None };
            let receipt = heard.world.seal(&commit);
            vec![Say::Frame(BoxFrame::Sealed(Box::new(drawbridge_protocol::upload::Sealed { receipt })))]
        }
        _ => says,
    });
    let error = meet("Sealed for an artifact", sealed).await;
    assert_named("Sealed", &error, Reason::ProtocolBroken, "it sent Sealed where that means nothing");

    let begun_for_hello = twisted(|heard, says| match heard.frame {
        ClientFrame::Hello(_) => vec![Say::Frame(BoxFrame::Begun(Begun { offset: 0 }))],
        _ => says,
    });
    let error = meet("Begun for Hello", begun_for_hello).await;
    assert_named("Begun for Hello", &error, Reason::ProtocolBroken, "it sent Begun where that means nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_frames_that_nobody_asked_for_ends_the_session() {
    let many: Vec<u8> =
        (0..2_000).flat_map(|_| encode(BoxFrame::Begun(Begun { offset: 0 })).to_vec()).collect();
    let error = instead_of_begun("endless frames", vec![Say::Endless(many.into())]).await;
    assert_named("endless frames", &error, Reason::ProtocolBroken, "it sent Begun where that means nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_that_no_client_can_work_with_ends_the_session() {
    let greets = |word: Say| {
        twisted(move |heard, says| match heard.frame {
            ClientFrame::Hello(_) => vec![word.clone()],
            _ => says,
        })
    };
    let error = meet("no window", greets(welcome(0))).await;
    assert_named(
        "no window",
        &error,
        Reason::ProtocolBroken,
        "its window of 0 bytes is smaller than a frame",
    );
    let other = raw(65, br#"{"version":2,"window_bytes":1048576}"#);
    let error = meet("another version", greets(other)).await;
    assert_named("another version", &error, Reason::ProtocolBroken, "version 2 is not supported");
}
