//! Secrets in the clear. A literal that begins one is searched for; what must follow it is checked by hand. The secret is
//! looked at where it lies, and neither it nor a part of it is ever kept, told or logged.

mod detectors;
mod shapes;

use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use drawbridge_checks::{EntryHead, Findings, Inspector};
use drawbridge_protocol::checks::{CheckId, ChecksConfig, Effect};

use detectors::{ANCHORS, WINDOW};
pub use detectors::{DETECTORS, Detector};

use crate::tally::Tally;

/// Bytes that are searched at once.
const BLOCK: usize = 64 << 10;

/// The literals that begin a secret; one for all artifacts of a box.
pub(crate) struct Anchors(Option<AhoCorasick>);

impl Anchors {
    pub(crate) fn new() -> Self {
        let built = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(ANCHORS.iter().map(|anchor| anchor.literal));
        // A few short literals always build; a test holds it.
        Self(built.ok())
    }
}

/// Looks for secrets in one artifact.
pub(crate) struct SecretInspector {
    anchors: Arc<Anchors>,
    tally: Tally,
    path: Vec<u8>,
    /// Detectors that found something in the entry at hand, a bit each.
    seen: u32,
    looking: bool,
    block: Vec<u8>,
    /// Where in the block the search goes on; one byte before it is kept.
    from: usize,
}

impl SecretInspector {
    pub(crate) fn new(anchors: Arc<Anchors>, config: &ChecksConfig) -> Self {
        let tally = Tally::new(CheckId::Secret, config);
        Self { anchors, tally, path: Vec::new(), seen: 0, looking: false, block: Vec::new(), from: 0 }
    }

    /// Searches the block for secrets that begin before `until`.
    fn search(&mut self, until: usize, found: &mut Findings) {
        let Some(anchors) = &self.anchors.0 else { return };
        let mut seen = 0;
        for hit in anchors.find_iter(&self.block[self.from..]) {
            let at = self.from + hit.start();
            if at >= until {
                break;
            }
            let Some(anchor) = ANCHORS.get(hit.pattern().as_usize()) else { continue };
            let end = self.block.len().min(at + WINDOW);
            let before = at.checked_sub(1).map(|before| self.block[before]);
            if (anchor.is_secret)(before, &self.block[at..end]) {
                seen |= 1 << anchor.detector;
            }
        }
        for (index, detector) in DETECTORS.iter().enumerate() {
            let bit = 1 << index;
            if seen & bit != 0 && self.seen & bit == 0 {
                self.tally.hit(detector.name, Effect::Flag, &self.path, found);
            }
        }
        self.seen |= seen;
    }
}

impl Inspector for SecretInspector {
    fn entry(&mut self, head: &EntryHead<'_>, _: &mut Findings) {
        self.looking = head.kind.has_content();
        self.path.clear();
        self.path.extend_from_slice(head.path);
        self.block.clear();
        self.from = 0;
        self.seen = 0;
    }

    fn data(&mut self, mut bytes: &[u8], found: &mut Findings) {
        while self.looking && !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(BLOCK.saturating_sub(self.block.len())));
            self.block.extend_from_slice(piece);
            bytes = rest;
            if self.block.len() == BLOCK {
                let until = BLOCK - WINDOW;
                self.search(until, found);
                self.block.drain(..until - 1);
                self.from = 1;
            }
        }
    }

    fn entry_end(&mut self, found: &mut Findings) {
        if self.looking {
            self.search(self.block.len(), found);
        }
        self.looking = false;
    }

    fn finish(&mut self, found: &mut Findings) {
        self.tally.tell(found);
    }
}
