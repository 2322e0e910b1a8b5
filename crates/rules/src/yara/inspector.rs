//! Fills blocks with an artifact's entries and takes down which rules match.

use std::{mem, sync::Arc};

use drawbridge_checks::{EntryHead, Findings, Inspector};
use drawbridge_protocol::checks::{CheckId, ChecksConfig};

use super::{
    Library,
    scan::{BLOCK, Batch, Hit, Lane, OVERLAP, Span, Unfinished},
};
use crate::tally::Tally;

/// Pieces of entries in one batch; many files are empty or nearly so.
const MAX_SPANS: usize = 1_024;

/// Tries the rules on one artifact.
pub(crate) struct YaraInspector {
    library: Arc<Library>,
    lane: State,
    batch: Batch,
    entry: Option<Entry>,
    tally: Tally,
}

enum State {
    /// No thread before there is something to scan.
    Idle,
    Running(Lane),
    /// It did not keep up; what follows is not scanned.
    Over,
}

/// The entry at hand.
struct Entry {
    path: Arc<[u8]>,
    /// Its bytes so far.
    offset: u64,
    /// Where its piece in the batch begins.
    start: usize,
    /// The offset of that piece in the entry.
    base: u64,
}

impl YaraInspector {
    pub(crate) fn new(library: Arc<Library>, config: &ChecksConfig) -> Self {
        let tally = Tally::new(CheckId::Yara, config);
        Self { library, lane: State::Idle, batch: Batch::default(), entry: None, tally }
    }

    /// Puts the entry's piece into the batch as it is.
    fn close_span(&mut self, last: bool) {
        let Some(entry) = &self.entry else { return };
        if entry.offset > 0 {
            let (path, range) = (Arc::clone(&entry.path), entry.start..self.batch.bytes.len());
            self.batch.spans.push(Span { path, base: entry.base, range, last });
            if last {
                // No word goes on from one entry to the next.
                self.batch.bytes.push(0);
            }
        }
    }

    /// Has the batch scanned and begins another, with the end of the entry at hand.
    fn rotate(&mut self, found: &mut Findings) {
        let mut tail = Vec::new();
        if let Some(entry) = &self.entry {
            let piece = &self.batch.bytes[entry.start..];
            tail.extend_from_slice(&piece[piece.len().saturating_sub(OVERLAP)..]);
        }
        let full = mem::take(&mut self.batch);
        match self.lane().and_then(|lane| lane.exchange(full)) {
            Ok((batch, hits)) => {
                self.batch = batch;
                self.take_down(hits, found);
            }
            Err(Unfinished) => self.give_up(found),
        }
        self.batch.bytes.extend_from_slice(&tail);
        if let Some(entry) = &mut self.entry {
            entry.start = 0;
            entry.base = entry.offset - tail.len() as u64;
        }
    }

    fn lane(&mut self) -> Result<&mut Lane, Unfinished> {
        if matches!(self.lane, State::Idle) {
            self.lane = State::Running(Lane::start(Arc::clone(&self.library))?);
        }
        match &mut self.lane {
            State::Running(lane) => Ok(lane),
            _ => Err(Unfinished),
        }
    }

    fn give_up(&mut self, found: &mut Findings) {
        self.lane = State::Over;
        let path = self.entry.as_ref().map(|entry| Arc::clone(&entry.path)).unwrap_or_default();
        let near = drawbridge_checks::Path(&path);
        found.note(CheckId::YaraUnfinished, format_args!("the rules took too long near '{near}'"));
    }

    fn take_down(&mut self, hits: Vec<Hit>, found: &mut Findings) {
        for Hit { path, rule } in hits {
            self.tally.hit(&rule, self.library.effect(&rule), &path, found);
        }
    }
}

impl Inspector for YaraInspector {
    fn entry(&mut self, head: &EntryHead<'_>, _: &mut Findings) {
        if !head.kind.has_content() || matches!(self.lane, State::Over) {
            return;
        }
        if self.batch.bytes.capacity() == 0 {
            self.batch = Batch::new();
        }
        let start = self.batch.bytes.len();
        self.entry = Some(Entry { path: Arc::from(head.path), offset: 0, start, base: 0 });
    }

    fn data(&mut self, mut bytes: &[u8], found: &mut Findings) {
        while !bytes.is_empty() && self.entry.is_some() && !matches!(self.lane, State::Over) {
            let room = BLOCK.saturating_sub(self.batch.bytes.len());
            if room == 0 {
                self.close_span(false);
                self.rotate(found);
                continue;
            }
            let (piece, rest) = bytes.split_at(bytes.len().min(room));
            self.batch.bytes.extend_from_slice(piece);
            if let Some(entry) = &mut self.entry {
                entry.offset += piece.len() as u64;
            }
            bytes = rest;
        }
    }

    fn entry_end(&mut self, found: &mut Findings) {
        self.close_span(true);
        self.entry = None;
        if self.batch.spans.len() >= MAX_SPANS && !matches!(self.lane, State::Over) {
            self.rotate(found);
        }
    }

    fn finish(&mut self, found: &mut Findings) {
        let batch = mem::take(&mut self.batch);
        let due = match self.lane {
            State::Idle => !batch.spans.is_empty(),
            State::Running(_) => true,
            State::Over => false,
        };
        if due {
            match self.lane().and_then(|lane| lane.drain(batch)) {
                Ok(hits) => self.take_down(hits, found),
                Err(Unfinished) => self.give_up(found),
            }
        }
        self.tally.tell(found);
        self.lane = State::Over;
    }
}
