//! Decompresses exactly one zstd frame in memory that is bounded before the first byte comes.

use std::{
    fmt, io,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use drawbridge_protocol::checks::WINDOW_LOG;
use zstd::stream::raw::{DParameter, Decoder, Operation as _, Status};

/// What every frame begins with. A skippable frame would hide what is in it from everyone who unpacks the artifact.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes that come out at a time: zstd's largest block.
const OUT: usize = 128 << 10;

/// Why a stream is not one whole frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnpackFault {
    #[error("it does not begin as a zstd frame")]
    NotZstd,
    #[error("byte {at} cannot be decompressed: {why} (a frame's window may be {} MiB)", (1 << WINDOW_LOG) >> 20)]
    Damaged { at: u64, why: String },
    #[error("the zstd frame is not whole after {bytes} bytes")]
    Truncated { bytes: u64 },
    #[error("something follows the zstd frame, which ends at byte {at}")]
    Trailing { at: u64 },
}

/// Where the frame is.
pub(crate) struct Unpacker {
    /// Given back with the frame's end.
    memory: Option<Memory>,
    spare: Spare,
    stored: u64,
}

/// A decoder with its window, and room for what comes out.
struct Memory {
    decoder: Decoder<'static>,
    out: Vec<u8>,
}

/// What artifacts before have left for those to come: a session has thousands, and a window each would be spread over
/// the heaps of many threads.
#[derive(Clone, Default)]
pub(crate) struct Spare(Arc<Mutex<Vec<Memory>>>);

impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spare")
    }
}

impl Spare {
    fn take(&self) -> io::Result<Memory> {
        if let Some(memory) = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(memory);
        }
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Memory { decoder, out: vec![0; OUT] })
    }

    fn give(&self, mut memory: Memory) {
        // One that cannot begin anew is of no use.
        if memory.decoder.reinit().is_ok() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        }
    }
}

impl Unpacker {
    pub(crate) fn new(spare: &Spare) -> io::Result<Self> {
        Ok(Self { memory: Some(spare.take()?), spare: spare.clone(), stored: 0 })
    }

    /// Takes the next stored bytes and shows what comes out of them, until `show` has seen enough.
    pub(crate) fn feed(
        &mut self,
        mut stored: &[u8],
        mut show: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), UnpackFault> {
        self.magic(stored)?;
        loop {
            let Some(memory) = &mut self.memory else {
                return if stored.is_empty() {
                    Ok(())
                } else {
                    Err(UnpackFault::Trailing { at: self.stored })
                };
            };
            let Memory { decoder, out } = memory;
            let at = self.stored;
            let Status { remaining, bytes_read, bytes_written } = decoder
                .run_on_buffers(stored, out)
                .map_err(|error| UnpackFault::Damaged { at, why: error.to_string() })?;
            stored = &stored[bytes_read..];
            self.stored += bytes_read as u64;
            if bytes_written > 0 && show(&out[..bytes_written]).is_break() {
                return Ok(());
            }
            if remaining == 0 {
                self.give_back();
            } else if stored.is_empty() && bytes_written < OUT {
                return Ok(());
            }
        }
    }

    /// Whether the stream may end here.
    pub(crate) fn finish(&self) -> Result<(), UnpackFault> {
        if self.memory.is_none() { Ok(()) } else { Err(UnpackFault::Truncated { bytes: self.stored }) }
    }

    fn give_back(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.spare.give(memory);
        }
    }

    fn magic(&self, stored: &[u8]) -> Result<(), UnpackFault> {
        let Ok(known @ 0..4) = usize::try_from(self.stored) else { return Ok(()) };
        let same = MAGIC[known..].iter().zip(stored).all(|(expected, got)| expected == got);
        if same { Ok(()) } else { Err(UnpackFault::NotZstd) }
    }
}

impl Drop for Unpacker {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn packed(data: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(data, 3).unwrap()
    }

    fn unpacked(stored: &[u8], step: usize) -> Result<Vec<u8>, UnpackFault> {
        let (mut unpacker, mut out) = (Unpacker::new(&Spare::default()).unwrap(), Vec::new());
        for chunk in stored.chunks(step) {
            unpacker.feed(chunk, |bytes| {
                out.extend_from_slice(bytes);
                ControlFlow::Continue(())
            })?;
        }
        unpacker.finish().map(|()| out)
    }

    #[test]
    fn a_frame_comes_out_as_it_went_in_whatever_the_chunks() {
        for data in [&b""[..], b"hello", &vec![7; 5 << 20]] {
            let stored = packed(data);
            for step in [1, 3, 4_096, stored.len()] {
                assert_eq!(unpacked(&stored, step).unwrap(), data, "chunks of {step}");
            }
        }
    }

    #[test]
    fn nothing_is_shown_after_enough_was_seen() {
        let (mut unpacker, mut shown) = (Unpacker::new(&Spare::default()).unwrap(), 0);
        let bomb = packed(&vec![0; 64 << 20]);
        let feed = unpacker.feed(&bomb, |bytes| {
            shown += bytes.len();
            if shown < 1 << 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        assert_eq!(feed, Ok(()));
        assert!(shown <= (1 << 20) + OUT, "{shown}");
    }

    #[test]
    fn a_truncated_frame_is_not_whole() {
        let stored = packed(&b"some text ".repeat(1_000));
        for end in 0..stored.len() {
            assert!(
                matches!(unpacked(&stored[..end], 7), Err(UnpackFault::Truncated { .. })),
                "cut at {end}"
            );
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_at_its_first_wrong_byte() {
        assert_eq!(unpacked(b"no zstd", 1), Err(UnpackFault::NotZstd));
        // A skippable frame of five bytes, alone and before a good one.
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 5, 0, 0, 0][..], b"hide!"].concat();
        for stored in [skippable.clone(), [skippable, packed(b"x")].concat()] {
            assert_eq!(unpacked(&stored, 3), Err(UnpackFault::NotZstd));
        }
    }

    #[test]
    fn what_one_artifact_leaves_serves_the_next_however_it_ended() {
        let (spare, good) = (Spare::default(), packed(&b"some text ".repeat(1_000)));
        for stored in [&good[..], &good[..20], b"no zstd", &[&good[..], b"stray"].concat(), &good[..]] {
            let mut unpacker = Unpacker::new(&spare).unwrap();
            let mut bytes = 0;
            let fed = unpacker.feed(stored, |out| {
                bytes += out.len();
                ControlFlow::Continue(())
            });
            assert_eq!(fed.is_ok() && unpacker.finish().is_ok(), stored == good && bytes == 10_000);
            drop(unpacker);
            assert_eq!(spare.0.lock().unwrap().len(), 1);
        }
    }

    #[test]
    fn a_second_frame_and_stray_bytes_are_refused() {
        let stored = packed(b"first");
        for more in [packed(b"second"), b"x".to_vec(), vec![0]] {
            let at = stored.len() as u64;
            assert_eq!(unpacked(&[&stored[..], &more].concat(), 5), Err(UnpackFault::Trailing { at }));
        }
    }

    #[test]
    fn a_frame_that_wants_more_memory_than_the_bound_is_refused_before_it_is_taken() {
        let data = vec![1; 1 << 20];
        for (window, good) in [(WINDOW_LOG, true), (WINDOW_LOG + 1, false), (27, false)] {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
            encoder.window_log(window).unwrap();
            encoder.write_all(&data).unwrap();
            let stored = encoder.finish().unwrap();
            let result = unpacked(&stored, 1_000);
            assert_eq!(result.is_ok(), good, "window 2^{window}: {:?}", result.map(|out| out.len()));
        }
    }
}
