//! Bytes in, full parts and digests out. No I/O: this is the part that burns CPU and runs off the reactor.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use drawbridge_protocol::Sha256;

/// The smallest piece of memory that a part begins with; small artifacts should not cost a whole part.
const FIRST_ALLOCATION: usize = 256 << 10;

/// One artifact on its way into parts of fixed size.
pub(super) struct Assembly {
    part_bytes: usize,
    parts_per_object: u32,
    /// Over the whole artifact; while there is one object only, over that as well.
    whole: Context,
    /// Over the object at hand, from the second object on.
    object: Option<Context>,
    /// Objects that are full, and the one at hand.
    full: Vec<ObjectSum>,
    object_bytes: u64,
    part_number: u32,
    part: Vec<u8>,
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
    pub(super) fn new(part_bytes: usize, parts_per_object: u32) -> Self {
        Self {
            part_bytes,
            parts_per_object,
            whole: Context::new(&SHA256),
            object: None,
            full: Vec::new(),
            object_bytes: 0,
            part_number: 1,
            part: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes from `chunk` what the part at hand has room for. When that fills the part, the part comes back, and the
    /// caller calls again with what is left of `chunk`.
    pub(super) fn absorb(&mut self, chunk: &mut Bytes) -> Option<Part> {
        let take = chunk.len().min(self.part_bytes - self.part.len());
        let piece = chunk.split_to(take);
        self.whole.update(&piece);
        if let Some(object) = &mut self.object {
            object.update(&piece);
        }
        self.reserve(take);
        self.part.extend_from_slice(&piece);
        self.bytes += take as u64;
        self.object_bytes += take as u64;
        if self.part.len() == self.part_bytes { Some(self.cut()) } else { None }
    }

    /// The artifact is at its end.
    pub(super) fn finish(mut self) -> Assembled {
        let rest = if self.part.is_empty() { None } else { Some(self.take_part()) };
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

    /// Grows by doubling, as `Vec` does, but never past a part: memory is promised by the part.
    fn reserve(&mut self, more: usize) {
        let needed = self.part.len() + more;
        if needed > self.part.capacity() {
            let target = (self.part.capacity() * 2).max(needed).max(FIRST_ALLOCATION).min(self.part_bytes);
            self.part.reserve_exact(target - self.part.len());
        }
    }

    fn cut(&mut self) -> Part {
        let part = self.take_part();
        if part.number == self.parts_per_object {
            self.close_object();
        }
        part
    }

    fn take_part(&mut self) -> Part {
        let body = Bytes::from(std::mem::take(&mut self.part));
        let part = Part { object: self.full.len(), number: self.part_number, body };
        self.part_number += 1;
        part
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
    use super::*;

    fn feed(assembly: &mut Assembly, bytes: &[u8], step: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        for piece in bytes.chunks(step) {
            let mut chunk = Bytes::copy_from_slice(piece);
            while !chunk.is_empty() {
                parts.extend(assembly.absorb(&mut chunk));
            }
        }
        parts
    }

    #[test]
    fn parts_and_objects_join_to_the_artifact_whatever_the_chunks() {
        let data: Vec<u8> = (0..97_u8).collect();
        for step in [1, 3, 10, 97] {
            let mut assembly = Assembly::new(10, 3);
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
        let mut assembly = Assembly::new(10, 3);
        assert_eq!(feed(&mut assembly, &data, 30).len(), 3);
        let done = assembly.finish();
        assert!(done.rest.is_none());
        assert_eq!(done.objects, [ObjectSum { bytes: 30, sha256: Sha256::of(&data) }]);
        assert_eq!(done.sha256, Sha256::of(&data));
    }
}
