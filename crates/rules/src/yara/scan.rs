//! The thread that scans one artifact's blocks.
//!
//! A scanner keeps its state from block to block and cannot move between threads, while an artifact's inspectors do. So
//! each artifact has a thread for its scanner, and two batches that go to and fro: one is filled while the other is
//! scanned. A rule that takes too long on some data stops the scanning and is told; it never stops the box.

use std::{
    ops::Range,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use yara_x::blocks::Scanner;

use super::Library;

/// Bytes that the YARA rules scan at once; of a longer entry the next block begins with the end of this one.
pub const BLOCK: usize = 128 << 10;
/// The longest match of a YARA rule that is seen wherever it lies.
pub const OVERLAP: usize = 4 << 10;
/// How long a batch may take; ours take less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(20);
/// Matches of one pattern that are counted, for rules that ask how many.
const MAX_MATCHES: usize = 1_000;

/// Bytes of one or more entries.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) spans: Vec<Span>,
}

/// A piece of one entry in a batch.
pub(super) struct Span {
    pub(super) path: Arc<[u8]>,
    /// Where the piece begins in the entry.
    pub(super) base: u64,
    pub(super) range: Range<usize>,
    /// The entry ends with it.
    pub(super) last: bool,
}

/// A rule matched in an entry.
pub(super) struct Hit {
    pub(super) path: Arc<[u8]>,
    pub(super) rule: String,
}

pub(super) struct Scanned {
    /// Empty again, with its memory.
    batch: Batch,
    hits: Vec<Hit>,
    finished: bool,
}

/// An artifact's scanner thread, from the side that feeds it.
pub(super) struct Lane {
    batches: Sender<Batch>,
    scanned: Receiver<Scanned>,
    patience: Duration,
    under_way: usize,
    spare: Option<Batch>,
}

/// The scanner did not keep up, or gave up.
#[derive(Debug)]
pub(super) struct Unfinished;

impl Lane {
    pub(super) fn start(library: Arc<Library>) -> Result<Self, Unfinished> {
        let (batches, feed) = channel();
        let (results, scanned) = channel();
        let run = move || serve(&library, &feed, &results);
        let started = thread::Builder::new().name("yara".to_owned()).spawn(run);
        started.map_err(|error| {
            tracing::error!(%error, "no thread for YARA rules");
            Unfinished
        })?;
        Ok(Self::over(batches, scanned, PATIENCE))
    }

    fn over(batches: Sender<Batch>, scanned: Receiver<Scanned>, patience: Duration) -> Self {
        Self { batches, scanned, patience, under_way: 0, spare: Some(Batch::new()) }
    }

    /// Gives a full batch away for an empty one.
    pub(super) fn exchange(&mut self, batch: Batch) -> Result<(Batch, Vec<Hit>), Unfinished> {
        self.batches.send(batch).map_err(|_| Unfinished)?;
        self.under_way += 1;
        match self.spare.take() {
            Some(spare) => Ok((spare, Vec::new())),
            None => self.next(),
        }
    }

    /// All that is still under way.
    pub(super) fn drain(&mut self, batch: Batch) -> Result<Vec<Hit>, Unfinished> {
        self.batches.send(batch).map_err(|_| Unfinished)?;
        self.under_way += 1;
        let mut hits = Vec::new();
        while self.under_way > 0 {
            hits.extend(self.next()?.1);
        }
        Ok(hits)
    }

    fn next(&mut self) -> Result<(Batch, Vec<Hit>), Unfinished> {
        match self.scanned.recv_timeout(self.patience) {
            Ok(Scanned { batch, hits, finished: true }) => {
                self.under_way -= 1;
                Ok((batch, hits))
            }
            Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(Unfinished),
        }
    }
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(BLOCK + 1), spans: Vec::new() }
    }
}

fn serve(library: &Library, feed: &Receiver<Batch>, results: &Sender<Scanned>) {
    let mut scanners = Scanners::new(library);
    while let Ok(mut batch) = feed.recv() {
        let mut hits = Vec::new();
        let finished = scanners.scan(&batch, &mut hits).is_ok();
        batch.bytes.clear();
        batch.spans.clear();
        if results.send(Scanned { batch, hits, finished }).is_err() {
            return;
        }
    }
}

/// One artifact's scanners.
struct Scanners<'r> {
    /// Sees a batch as one piece. Where no pattern of a shipped rule occurs in it, none occurs in an entry, and nearly all
    /// batches are done with: to evaluate the rules for every small file would take longer than to search it.
    gate: Scanner<'r>,
    shipped: Scanner<'r>,
    /// Something of the entry at hand was shown to `shipped`.
    begun: bool,
    /// A stack's rule may hold where nothing of it occurs, so every entry is shown to them.
    own: Option<Scanner<'r>>,
}

impl<'r> Scanners<'r> {
    fn new(library: &'r Library) -> Self {
        let scanner = |rules: &'r yara_x::Rules| {
            let mut scanner = Scanner::new(rules);
            scanner.fast_scan(true).max_matches_per_pattern(MAX_MATCHES);
            scanner
        };
        Self {
            gate: scanner(&library.shipped),
            shipped: scanner(&library.shipped),
            begun: false,
            own: library.own.as_ref().map(scanner),
        }
    }

    fn scan(&mut self, batch: &Batch, hits: &mut Vec<Hit>) -> Result<(), yara_x::ScanError> {
        let something = occurs(&mut self.gate, &batch.bytes)?;
        for Span { path, base, range, last } in &batch.spans {
            let bytes = batch.bytes.get(range.clone()).unwrap_or_default();
            let base = usize::try_from(*base).unwrap_or(usize::MAX);
            if something {
                self.shipped.scan(base, bytes)?;
                self.begun = true;
            }
            if let Some(own) = &mut self.own {
                own.scan(base, bytes)?;
            }
            if *last {
                if std::mem::take(&mut self.begun) {
                    finish(&mut self.shipped, path, hits)?;
                }
                if let Some(own) = &mut self.own {
                    finish(own, path, hits)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether any pattern of any rule occurs in `bytes`.
fn occurs(scanner: &mut Scanner<'_>, bytes: &[u8]) -> Result<bool, yara_x::ScanError> {
    let results = scanner.scan(0, bytes)?.finish()?;
    let mut rules = results.matching_rules().chain(results.non_matching_rules());
    Ok(rules.any(|rule| rule.patterns().any(|pattern| pattern.matches().next().is_some())))
}

/// The entry at `path` is over: the rules that match it.
fn finish(scanner: &mut Scanner<'_>, path: &Arc<[u8]>, hits: &mut Vec<Hit>) -> Result<(), yara_x::ScanError> {
    let results = scanner.finish()?;
    let matching = results.matching_rules();
    hits.extend(matching.map(|rule| Hit { path: Arc::clone(path), rule: rule.identifier().to_owned() }));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_scanner_that_does_not_answer_in_time_is_given_up() {
        let (batches, feed) = channel();
        let (results, scanned) = channel();
        let mut lane = Lane::over(batches, scanned, Duration::from_millis(1));
        assert!(lane.exchange(Batch::new()).is_ok(), "the spare one");
        assert!(lane.exchange(Batch::new()).is_err());
        drop((feed, results));
        assert!(lane.exchange(Batch::new()).is_err());
    }

    #[test]
    fn no_shipped_rule_holds_where_nothing_of_it_occurs() {
        let library = Library::new(&[]).unwrap();
        let mut scanner = Scanner::new(&library.shipped);
        assert!(!occurs(&mut scanner, b"plain text").unwrap());
        scanner.scan(0, b"plain text").unwrap();
        assert_eq!(scanner.finish().unwrap().matching_rules().count(), 0);
        assert!(occurs(&mut scanner, b"a word of a note: bitcoin").unwrap());
    }

    #[test]
    fn the_shipped_rules_have_few_enough_literals_to_be_searched_for_many_bytes_at_a_time() {
        // YARA-X's own bound of its fast search.
        let library = Library::new(&[]).unwrap();
        let mut patterns = std::collections::BTreeMap::new();
        for rule in library.shipped.iter() {
            for pattern in rule.patterns() {
                patterns.insert(
                    format!("{}{}", rule.identifier(), pattern.identifier()),
                    pattern.atoms().count(),
                );
            }
        }
        let all: usize = patterns.values().sum();
        assert!(all > 0 && all <= 64, "{all}: {patterns:?}");
    }

    #[test]
    fn a_scanner_that_answers_gives_the_batch_back() {
        let (batches, feed) = channel();
        let (results, scanned) = channel();
        let mut lane = Lane::over(batches, scanned, Duration::from_mins(1));
        for finished in [true, true] {
            let hits = vec![Hit { path: Arc::from(&b"a"[..]), rule: "r".to_owned() }];
            let _ = results.send(Scanned { batch: Batch::new(), hits, finished });
        }
        assert!(lane.exchange(Batch::new()).is_ok());
        let drained = lane.drain(Batch::new());
        assert_eq!(drained.map(|hits| hits.len()).ok(), Some(2));
        drop(feed);
    }
}
