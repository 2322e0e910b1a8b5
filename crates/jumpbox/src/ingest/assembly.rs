//! Bytes in, full parts and digests out. No I/O: this is the part that burns CPU and runs off the reactor.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use drawbridge_protocol::Sha256;

use crate::store::{PartBuffer, Slot};

/// One artifact on its way into parts of fixed size.
pub(super) struct Assembly {
    parts_per_object: u32,
    /// Over the whole artifact; while there is one object only, over that as well.
    whole: Context,
    /// Over the object at hand, from the second object on.
    object: Option<Context>,
    /// Objects that are full, and the one at hand.
    full: Vec<ObjectSum>,
    object_bytes: u64,
    part_number: u32,
    /// The part at hand. The caller gives its memory.
    part: Option<PartBuffer>,
    bytes: u64,
}

/// A part that is ready to go.
#[derive(Debug)]
pub(super) struct Part {
    /// Counts from 0.
    pub(super) object: usize,
    /// Counts from 1, as S3 does.
    pub(super) number: u32,
    pub(super) body: Bytes,
    pub(super) slot: Slot,
}

/// What one object came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectSum {
    pub(super) bytes: u64,
    pub(super) sha256: Sha256,
}

/// What the artifact came to.
#[derive(Debug)]
pub(super) struct Assembled {
    /// What was left over; the only part of a small artifact.
    pub(super) rest: Option<Part>,
    pub(super) objects: Vec<ObjectSum>,
    pub(super) bytes: u64,
    pub(super) sha256: Sha256,
}

impl Assembly {
    pub(super) fn new(parts_per_object: u32) -> Self {
        Self {
            parts_per_object,
            whole: Context::new(&SHA256),
            object: None,
            full: Vec::new(),
            object_bytes: 0,
            part_number: 1,
            part: None,
            bytes: 0,
        }
    }

    /// Whether there is no part at hand: [`Assembly::begin`] comes before more bytes.
    pub(super) fn is_between_parts(&self) -> bool {
        self.part.is_none()
    }

    /// Gives the next part its memory.
    pub(super) fn begin(&mut self, part: PartBuffer) {
        self.part = Some(part);
    }

    /// Takes from `chunk` what the part at hand has room for. When that fills the part, the part comes back, and the
    /// caller begins another and calls again with what is left of `chunk`.
    pub(super) fn absorb(&mut self, chunk: &mut Bytes) -> Option<Part> {
        let part = self.part.as_mut()?;
        let piece = chunk.split_to(chunk.len().min(part.room()));
        self.whole.update(&piece);
        if let Some(object) = &mut self.object {
            object.update(&piece);
        }
        part.extend(&piece);
        let full = part.room() == 0;
        self.bytes += piece.len() as u64;
        self.object_bytes += piece.len() as u64;
        if full { self.cut() } else { None }
    }

    /// The artifact is at its end.
    pub(super) fn finish(mut self) -> Assembled {
        let rest = self.take_part();
        if self.object_bytes > 0 {
            self.close_object();
        }
        Assembled {
            rest,
            objects: self.full,
            bytes: self.bytes,
            sha256: Sha256::from_digest(&self.whole.finish()),
        }
    }

    /// How much the artifact has so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn cut(&mut self) -> Option<Part> {
        let part = self.take_part();
        if part.as_ref().is_some_and(|part| part.number == self.parts_per_object) {
            self.close_object();
        }
        part
    }

    /// The part at hand, unless nothing is in it.
    fn take_part(&mut self) -> Option<Part> {
        let (body, slot) = self.part.take().filter(|part| !part.is_empty())?.freeze();
        let part = Part { object: self.full.len(), number: self.part_number, body, slot };
        self.part_number += 1;
        Some(part)
    }

    fn close_object(&mut self) {
        let digest = self.object.take().unwrap_or_else(|| self.whole.clone()).finish();
        self.full.push(ObjectSum { bytes: self.object_bytes, sha256: Sha256::from_digest(&digest) });
        self.object = Some(Context::new(&SHA256));
        self.object_bytes = 0;
        self.part_number = 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::store::PartPool;

    /// Parts of ten bytes.
    fn feed(assembly: &mut Assembly, bytes: &[u8], step: usize) -> Vec<Part> {
        let (pool, mut parts) = (PartPool::new(32, 10), Vec::new());
        for piece in bytes.chunks(step) {
            let mut chunk = Bytes::copy_from_slice(piece);
            while !chunk.is_empty() {
                if assembly.is_between_parts() {
                    assembly.begin(pool.take().now_or_never().unwrap());
                }
                parts.extend(assembly.absorb(&mut chunk));
            }
        }
        parts
    }

    #[test]
    fn parts_and_objects_join_to_the_artifact_whatever_the_chunks() {
        let data: Vec<u8> = (0..97_u8).collect();
        for step in [1, 3, 10, 97] {
            let mut assembly = Assembly::new(3);
            let mut parts = feed(&mut assembly, &data, step);
            let done = assembly.finish();
            parts.extend(done.rest);
            let joined: Vec<u8> = parts.iter().flat_map(|part| part.body.to_vec()).collect();
            assert_eq!(joined, data);
            assert_eq!(parts.last().map(|part| (part.object, part.number)), Some((3, 1)));
            assert_eq!(done.objects.iter().map(|object| object.bytes).collect::<Vec<_>>(), [30, 30, 30, 7]);
            assert_eq!(done.sha256, Sha256::of(&data));
            for (object, piece) in done.objects.iter().zip(data.chunks(30)) {
                assert_eq!(object.sha256, Sha256::of(piece));
            }
        }
    }

    #[test]
    fn an_artifact_that_ends_with_its_object_has_no_further_one() {
        let data = [7_u8; 30];
        let mut assembly = Assembly::new(3);
        assert_eq!(feed(&mut assembly, &data, 30).len(), 3);
        let done = assembly.finish();
        assert!(done.rest.is_none());
        assert_eq!(done.objects, [ObjectSum { bytes: 30, sha256: Sha256::of(&data) }]);
        assert_eq!(done.sha256, Sha256::of(&data));
    }
}
