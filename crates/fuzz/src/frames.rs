//! The upload protocol's frames, as the box reads them and as the client does.

use bytes::BytesMut;
use drawbridge_protocol::{
    ProtocolError,
    upload::{BoxFrame, ClientFrame, Frame, MAX_COMMIT, UploadCodec},
};
use tokio_util::codec::{Decoder as _, Encoder as _};

/// The same frames and the same end come out, however the bytes are cut; what was read can be written and read again.
pub(crate) fn frames(data: &[u8]) {
    side::<ClientFrame>(data);
    side::<BoxFrame>(data);
}

fn side<F: Frame + Clone + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let whole = read::<F>(std::iter::once(data));
    let cut = read::<F>(crate::pieces(data));
    assert_eq!(whole, cut, "frames depend on how they are cut");
    for frame in whole.0 {
        let mut again = BytesMut::new();
        UploadCodec::<F>::default().encode(frame.clone(), &mut again).expect("what was read can be written");
        let back = UploadCodec::<F>::default().decode(&mut again).expect("what was written can be read");
        assert_eq!(back, Some(frame));
        assert!(again.is_empty(), "a frame is written whole");
    }
}

fn read<'a, F: Frame>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<F>, Option<ProtocolError>) {
    let (mut codec, mut buffer, mut frames) = (UploadCodec::<F>::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        // A header alone may make it take memory for its frame, and not more.
        assert!(
            buffer.capacity() <= 2 * (MAX_COMMIT + (64 << 10)),
            "{} bytes for one frame",
            buffer.capacity()
        );
    }
    (frames, None)
}
