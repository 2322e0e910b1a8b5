//! The codec: round trips in pieces of any size, and everything that it must refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod samples;

use bytes::{BufMut as _, Bytes, BytesMut};
use drawbridge_protocol::{
    ProtocolError,
    upload::{
        BoxFrame, ClientFrame, Commit, DATA_HEADER, Data, Entry, Failure, FailureCode, Frame, MAX_COMMIT,
        MAX_CONTROL, MAX_DATA, UploadCodec, data_header,
    },
};
use tokio_util::codec::{Decoder as _, Encoder as _};

fn client_frames() -> Vec<ClientFrame> {
    vec![
        ClientFrame::Hello(samples::hello()),
        ClientFrame::Begin(samples::begin()),
        ClientFrame::Data(Data { offset: 7, bytes: Bytes::from(vec![1; MAX_DATA]) }),
        ClientFrame::Data(Data { offset: u64::MAX, bytes: Bytes::from_static(b"x") }),
        ClientFrame::End(Box::new(samples::end())),
        ClientFrame::Commit(samples::commit()),
        ClientFrame::Error(samples::failure()),
    ]
}

fn box_frames() -> Vec<BoxFrame> {
    vec![
        BoxFrame::Welcome(samples::welcome()),
        BoxFrame::Begun(samples::begun()),
        BoxFrame::Ack(u64::MAX),
        BoxFrame::Accepted(samples::accepted()),
        BoxFrame::Rejected(samples::rejected()),
        BoxFrame::Sealed(Box::new(samples::sealed())),
        BoxFrame::Error(samples::failure()),
    ]
}

fn encode<F: Frame>(frame: F) -> BytesMut {
    let mut bytes = BytesMut::new();
    UploadCodec::<F>::default().encode(frame, &mut bytes).unwrap();
    bytes
}

fn round_trip<F: Frame + Clone + PartialEq + std::fmt::Debug>(frames: &[F]) {
    let wire: Vec<u8> = frames.iter().flat_map(|frame| encode(frame.clone()).to_vec()).collect();
    for step in [1, 4, 1000, wire.len()] {
        let (mut codec, mut buffer, mut back) = (UploadCodec::<F>::default(), BytesMut::new(), Vec::new());
        for piece in wire.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                back.push(frame);
            }
        }
        assert_eq!(back, frames);
        assert!(buffer.is_empty());
    }
}

#[test]
fn frames_come_back_as_they_went_whatever_the_pieces() {
    round_trip(&client_frames());
    round_trip(&box_frames());
}

#[test]
fn a_header_and_the_bytes_make_the_same_data_frame() {
    let bytes = Bytes::from_static(b"some bytes");
    let header = data_header(42, bytes.len()).unwrap();
    assert_eq!(header.len(), DATA_HEADER);
    let frame = encode(ClientFrame::Data(Data { offset: 42, bytes: bytes.clone() }));
    assert_eq!(frame, [&header[..], &bytes].concat());
    assert!(data_header(0, 0).is_err());
    assert!(data_header(0, MAX_DATA + 1).is_err());
}

fn refused<F: Frame + std::fmt::Debug>(kind: u8, length: u32, payload: &[u8]) -> ProtocolError {
    let mut buffer = BytesMut::new();
    buffer.put_u8(kind);
    buffer.put_u32(length);
    buffer.put_slice(payload);
    UploadCodec::<F>::default().decode(&mut buffer).expect_err("a refusal")
}

fn payload<F: Frame + std::fmt::Debug>(kind: u8, payload: &[u8]) -> ProtocolError {
    refused::<F>(kind, u32::try_from(payload.len()).unwrap(), payload)
}

#[test]
fn a_frame_that_is_too_large_is_refused_by_its_header_alone() {
    for (kind, max) in
        [(1, MAX_CONTROL), (2, MAX_CONTROL), (3, 8 + MAX_DATA), (4, MAX_CONTROL), (5, MAX_COMMIT)]
    {
        for length in [u32::try_from(max).unwrap() + 1, u32::MAX] {
            assert!(
                matches!(refused::<ClientFrame>(kind, length, b""), ProtocolError::TooLarge { .. }),
                "kind {kind}"
            );
        }
    }
    for (kind, max) in [(65, MAX_CONTROL), (67, 8), (70, MAX_CONTROL), (127, MAX_CONTROL)] {
        let length = u32::try_from(max).unwrap() + 1;
        assert!(
            matches!(refused::<BoxFrame>(kind, length, b""), ProtocolError::TooLarge { .. }),
            "kind {kind}"
        );
    }
}

#[test]
fn a_side_takes_no_frames_of_its_own_kind_and_none_that_are_unknown() {
    for kind in [0, 6, 64, 65, 66, 67, 68, 69, 70, 128, 255] {
        assert_eq!(refused::<ClientFrame>(kind, 0, b""), ProtocolError::FrameKind { kind });
    }
    for kind in [0, 1, 2, 3, 4, 5, 71, 255] {
        assert_eq!(refused::<BoxFrame>(kind, 0, b""), ProtocolError::FrameKind { kind });
    }
}

#[test]
fn payloads_that_are_not_what_their_kind_says_are_refused() {
    let invalid = |error: ProtocolError| assert!(matches!(error, ProtocolError::Invalid { .. }), "{error}");
    invalid(payload::<ClientFrame>(3, &[0; 8]));
    invalid(payload::<ClientFrame>(1, b"{}"));
    invalid(payload::<ClientFrame>(1, b"null"));
    invalid(payload::<ClientFrame>(2, b"\xff\xff\xff"));
    let extra = br#"{"name":"a.tar.zst","key":"b"}"#;
    invalid(payload::<ClientFrame>(2, extra));
    let twice = br#"{"name":"a.tar.zst"}{"name":"b.tar.zst"}"#;
    invalid(payload::<ClientFrame>(2, twice));
    invalid(payload::<BoxFrame>(67, &[0; 4]));
    let version = br#"{"version":2,"window_bytes":1}"#;
    let error = payload::<BoxFrame>(65, version).to_string();
    assert!(error.contains("version 2 is not supported"), "{error}");
}

#[test]
fn what_the_other_side_would_refuse_is_not_sent() {
    let message = "x".repeat(MAX_CONTROL);
    let frame = ClientFrame::Error(Failure { code: FailureCode::State, message });
    let result = UploadCodec::<BoxFrame>::default().encode(frame, &mut BytesMut::new());
    assert!(matches!(result, Err(ProtocolError::TooLarge { .. })));
    let data = ClientFrame::Data(Data { offset: 0, bytes: Bytes::from(vec![0; MAX_DATA + 1]) });
    assert!(UploadCodec::<BoxFrame>::default().encode(data, &mut BytesMut::new()).is_err());
}

#[test]
fn the_largest_session_fits_into_a_commit() {
    let entry = samples::commit().entries[0].clone();
    let name = format!("{}.tar.zst", "a".repeat(192)).parse().unwrap();
    let entries = vec![Entry { name, bytes: u64::MAX, ..entry }; 10_000];
    let mut wire = encode(ClientFrame::Commit(Commit { entries, certificate: None }));
    let frame = UploadCodec::<ClientFrame>::default().decode(&mut wire).unwrap();
    assert!(matches!(frame, Some(ClientFrame::Commit(commit)) if commit.entries.len() == 10_000));
}
