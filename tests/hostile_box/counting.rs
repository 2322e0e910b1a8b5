//! Lies about bytes and digests: what was stored, what was taken, where to go on.

use drawbridge::fault::Reason;
use drawbridge_protocol::{
    Sha256,
    upload::{Accepted, Begun, BoxFrame, ClientFrame},
};

use crate::{
    dialogue::{Say, WINDOW},
    meeting::{assert_named, meet, meet_in, twisted},
    world::World,
};

/// A box that changes every `Accepted`.
fn accepts_otherwise(change: impl Fn(&mut Accepted) + Send + Sync + 'static) -> crate::server::Manners {
    twisted(move |_, mut says| {
        for say in &mut says {
            if let Say::Frame(BoxFrame::Accepted(accepted)) = say {
                change(accepted);
            }
        }
        says
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_was_accepted_as_something_else_is_not_stored() {
    type Change = fn(&mut Accepted);
    let lies: [(&str, Change); 10] = [
        ("another digest", |a| a.sha256 = Sha256::of(b"other")),
        ("another size", |a| a.bytes += 1),
        ("another name", |a| a.name = "other.tar.zst".parse().unwrap()),
        ("no object", |a| a.objects.clear()),
        ("an object of another size", |a| a.objects[0].bytes -= 1),
        ("an object of another digest", |a| a.objects[0].sha256 = Sha256::of(b"other")),
        ("an object elsewhere", |a| {
            a.objects[0].key = "clusters/other/ns/j/s/a.tar.zst".parse().unwrap();
        }),
        ("the same object twice", |a| a.objects.push(a.objects[0].clone())),
        ("two objects whose sizes wrap around", |a| {
            let mut second = a.objects[0].clone();
            second.key = format!("{}.0001", second.key).parse().unwrap();
            (a.objects[0].bytes, second.bytes) = (u64::MAX, a.bytes + 1);
            a.objects.push(second);
        }),
        ("bytes that wrap around", |a| a.bytes = u64::MAX),
    ];
    for (what, change) in lies {
        let error = meet(what, accepts_otherwise(change)).await;
        assert_named(what, &error, Reason::ProtocolBroken, "as something else than what was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_of_bytes_that_were_never_sent_ends_the_session() {
    let lies: [(&str, u64); 2] =
        [("one byte too many", 1), ("all that there could be", u64::MAX - (1 << 40))];
    for (what, more) in lies {
        let boasting = twisted(move |heard, says| match (&heard.frame, &says[..]) {
            (ClientFrame::Data(_), [Say::Frame(BoxFrame::Ack(offset))]) => {
                vec![Say::Frame(BoxFrame::Ack(offset + (1 << 21) + more))]
            }
            _ => says,
        });
        let error = meet(what, boasting).await;
        assert_named(what, &error, Reason::ProtocolBroken, "it acknowledged byte");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_that_goes_back_ends_the_session() {
    let wavering = twisted(|heard, says| match (&heard.frame, &says[..]) {
        (ClientFrame::Data(data), _) if data.offset >= WINDOW => vec![Say::Frame(BoxFrame::Ack(1))],
        _ => says,
    });
    let error = meet("it takes an acknowledgement back", wavering).await;
    assert_named("back", &error, Reason::ProtocolBroken, "and then byte 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_were_acknowledged_and_are_not_there_are_noticed_when_it_goes_on() {
    // It answers for what came, closes, and has other ideas when the client is back.
    let forgetful = |offset: u64| {
        twisted(move |heard, mut says| match (heard.connection, heard.frame) {
            (0, ClientFrame::Data(data)) if data.offset >= WINDOW => {
                says.push(Say::Close);
                says
            }
            (1.., ClientFrame::Begin(_)) => vec![Say::Frame(BoxFrame::Begun(Begun { offset }))],
            _ => says,
        })
    };
    let error = meet("it forgot", forgetful(0)).await;
    assert_named("it forgot", &error, Reason::ConnectionLost, "kept 'logs.web-0.app.log.zst' no longer");
    let error = meet("it has more than was sent", forgetful(1 << 40)).await;
    assert_named("it has more than was sent", &error, Reason::ProtocolBroken, "it goes on at byte");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_has_bytes_before_any_were_sent_gets_none() {
    let stuffed = twisted(|heard, says| match heard.frame {
        ClientFrame::Begin(_) => vec![Say::Frame(BoxFrame::Begun(Begun { offset: 5 }))],
        _ => says,
    });
    let (error, hostile) = meet_in("stuffed", World::pinned(), stuffed).await;
    assert_named("stuffed", &error, Reason::TransferFailed, "that this upload did not send");
    assert_eq!(hostile.server.taken.bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_not_accepted_before_it_has_ended() {
    let hasty = twisted(|heard, says| match heard.frame {
        ClientFrame::Data(_) => {
            let name = "logs.web-0.app.log.zst".parse().unwrap();
            let (objects, verdict) = (Vec::new(), drawbridge_protocol::manifest::Verdict::Accepted);
            let (bytes, sha256, findings) = (0, Sha256::of(b""), Vec::new());
            let accepted = Accepted { name, objects, bytes, sha256, verdict, findings };
            vec![Say::Frame(BoxFrame::Accepted(accepted))]
        }
        _ => says,
    });
    let error = meet("hasty", hasty).await;
    assert_named("hasty", &error, Reason::ProtocolBroken, "it sent Accepted where that means nothing");
}
