//! Goes through a log stream line by line: skips what is stored already, passes on the rest.
//!
//! Pure: it knows nothing of connections. However the stream is cut into chunks, the same lines come out.

use bytes::BytesMut;
use drawbridge_protocol::Sha256;
use jiff::{SignedDuration, Timestamp};
use memchr::memchr;

use super::probe::Probe;
use crate::api::LogMark;

/// Bytes of a line that are held until its end is seen, and that its digest covers. A longer line passes through.
pub(super) const HELD: usize = 64 << 10;
/// Once lines are this much younger than the mark, it is not in the file: standard output and standard error are
/// written by two goroutines of the runtime, so that neighbours may be out of order, but not by seconds.
const PAST: SignedDuration = SignedDuration::from_secs(10);
/// No timestamp is longer than `2026-01-01T00:00:00.000000000+00:00`.
const STAMP: usize = 40;
/// The part of a strange line that is shown to people.
const SHOWN: usize = 200;

/// Why a stream is not read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The mark is not in the file.
    Past,
    /// Something that is no line of a log: kubelet's own words.
    NoTimestamp(String),
}

/// What passed through, over all streams of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    pub lines: u64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// The first since the mark was last given up.
    pub first_here: Option<Timestamp>,
    /// Bytes of lines within a second of that one: how fast the log begins.
    pub opening: u64,
}

/// The last complete line that is stored, now or before.
#[derive(Clone, Debug, Default)]
struct Tail {
    at: Timestamp,
    head: Vec<u8>,
    repeat: i64,
}

/// One log, read in one stream or, if that breaks, in several.
#[derive(Debug, Default)]
pub(super) struct Sift {
    /// The line to go on from; what precedes it is skipped until it was seen.
    seeking: Option<LogMark>,
    seen: i64,
    forgotten: Option<LogMark>,
    tail: Option<Tail>,
    passed: Passed,
    /// The current line, as far as it came.
    held: Vec<u8>,
    long: Option<Long>,
    /// A long line that was passed on in part when the last stream broke: its time and how many bytes.
    broken: Option<(Timestamp, u64)>,
    probe: Option<Probe>,
    proven: bool,
    /// A long line ended like the probe; that holds unless an older line follows.
    likely: bool,
}

/// A line that is longer than what is held.
#[derive(Debug, Default)]
struct Long {
    at: Timestamp,
    /// What is held of it; empty if the line is skipped.
    head: Vec<u8>,
    /// Its bytes so far.
    length: u64,
    emit: bool,
    /// Leading bytes that a stream before this one passed on.
    skip: u64,
    /// Its last bytes, for the probe.
    end: Vec<u8>,
}

impl Sift {
    /// Goes on after `mark`, or from the beginning.
    pub(super) fn new(mark: Option<LogMark>) -> Self {
        Self { seeking: mark, ..Self::default() }
    }

    /// Begins a stream that must hold `probe`. What a broken stream left unfinished is read again.
    pub(super) fn begin(&mut self, probe: Option<Probe>) {
        if let Some(long) = self.long.take().filter(|long| long.emit) {
            self.broken = Some((long.at, long.length.max(long.skip)));
        }
        if self.seeking.is_none() {
            self.seeking = self.mark();
        }
        self.seen = 0;
        self.held.clear();
        self.proven = probe.is_none();
        self.likely = false;
        self.probe = probe;
    }

    /// The mark is not in the file: the next stream is passed on from its beginning.
    pub(super) fn forget_mark(&mut self) {
        self.forgotten = self.mark();
        self.seeking = None;
        self.tail = None;
        self.passed.first_here = None;
        self.passed.opening = 0;
    }

    /// Where to go on from: the last complete line.
    pub(super) fn mark(&self) -> Option<LogMark> {
        let stored = self.tail.as_ref().map(|tail| LogMark {
            at: tail.at,
            digest: digest(&tail.head),
            repeat: tail.repeat,
        });
        stored.or_else(|| self.seeking.clone())
    }

    /// The last line stored, also if it is not in the file any more.
    pub(super) fn last_mark(&self) -> Option<LogMark> {
        self.mark().or_else(|| self.forgotten.clone())
    }

    /// Whether the mark is still being looked for.
    pub(super) fn is_seeking(&self) -> bool {
        self.seeking.is_some()
    }

    /// Whether the stream held the line that stood last in the log before.
    pub(super) fn is_proven(&self) -> bool {
        self.proven || self.likely
    }

    /// At the end of a stream: a line without its end may be the one that the stream must hold.
    pub(super) fn weigh_rest(&mut self) {
        if let Some(long) = &self.long {
            let (at, end, length) = (long.at, long.end.clone(), long.length);
            self.compare(at, &end, length);
        } else if let Some(at) = stamp(&self.held) {
            let line = std::mem::take(&mut self.held);
            self.compare(at, &line, line.len() as u64);
            self.held = line;
        }
    }

    pub(super) fn passed(&self) -> &Passed {
        &self.passed
    }

    /// Takes the next bytes; what is to be stored is appended to `out`.
    pub(super) fn feed(&mut self, mut chunk: &[u8], out: &mut BytesMut) -> Result<(), Stop> {
        while !chunk.is_empty() {
            let end = memchr(b'\n', chunk);
            let (piece, rest) = chunk.split_at(end.map_or(chunk.len(), |at| at + 1));
            chunk = rest;
            if self.long.is_some() {
                self.pass_long(piece, end.is_some(), out);
            } else if self.held.is_empty() && end.is_some() && piece.len() <= HELD {
                self.line(piece, out)?;
            } else {
                self.hold(piece, end.is_some(), out)?;
            }
        }
        Ok(())
    }

    /// The stream has ended. A line without its end is stored only if nothing will follow it, or if a part of it is.
    pub(super) fn finish(&mut self, ended: bool, out: &mut BytesMut) -> Result<(), Stop> {
        if let Some(long) = self.long.take() {
            if long.emit {
                out.extend_from_slice(b"\n");
                self.count(long.at, long.length);
                if ended {
                    self.keep(long.at, &long.head);
                }
            }
        } else if !self.held.is_empty() {
            let mut line = std::mem::take(&mut self.held);
            stamp(&line).ok_or_else(|| strange(&line))?;
            if ended {
                line.push(b'\n');
                self.line(&line, out)?;
            }
        }
        Ok(())
    }

    /// Takes a part of a line that did not come in one piece.
    fn hold(&mut self, piece: &[u8], ends: bool, out: &mut BytesMut) -> Result<(), Stop> {
        let room = HELD - self.held.len();
        if piece.len() <= room {
            self.held.extend_from_slice(piece);
            if ends {
                let line = std::mem::take(&mut self.held);
                self.line(&line, out)?;
                self.held = line;
                self.held.clear();
            }
            return Ok(());
        }
        self.held.extend_from_slice(&piece[..room]);
        let head = std::mem::take(&mut self.held);
        let long = match stamp(&head) {
            Some(at) if self.decide(at, &head)? => {
                let skip = self.mend(Some(at), out);
                Long { at, head: head.clone(), emit: true, skip, ..Long::default() }
            }
            Some(at) => Long { at, ..Long::default() },
            // Before the mark it is the rest of a line whose beginning `sinceTime` hides.
            None if self.is_seeking() => Long { at: Timestamp::MIN, ..Long::default() },
            None => return Err(strange(&head)),
        };
        self.long = Some(long);
        self.pass_long(&head, false, out);
        self.pass_long(&piece[room..], ends, out);
        Ok(())
    }

    /// The next bytes of a long line.
    fn pass_long(&mut self, piece: &[u8], ends: bool, out: &mut BytesMut) {
        let Some(long) = &mut self.long else { return };
        if long.emit {
            let known = usize::try_from(long.skip.saturating_sub(long.length)).unwrap_or(usize::MAX);
            out.extend_from_slice(piece.get(known..).unwrap_or_default());
        }
        long.length += piece.len() as u64;
        let content = if ends { &piece[..piece.len() - 1] } else { piece };
        long.end.extend_from_slice(&content[content.len().saturating_sub(Probe::END)..]);
        let surplus = long.end.len().saturating_sub(Probe::END);
        long.end.drain(..surplus);
        if ends && let Some(long) = self.long.take() {
            if long.emit {
                self.count(long.at, long.length);
                self.keep(long.at, &long.head);
            }
            self.compare(long.at, &long.end, long.length);
        }
    }

    /// A whole line, its end included.
    fn line(&mut self, line: &[u8], out: &mut BytesMut) -> Result<(), Stop> {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let Some(at) = stamp(content) else {
            return if self.is_seeking() { Ok(()) } else { Err(strange(content)) };
        };
        if self.decide(at, content)? {
            self.mend(None, out);
            self.count(at, line.len() as u64);
            self.keep(at, content);
            out.extend_from_slice(line);
        }
        self.compare(at, content, line.len() as u64);
        Ok(())
    }

    /// How many bytes of the long line that begins now are stored already. If another line follows the one that broke,
    /// the rest of that one will not come, and it is ended.
    fn mend(&mut self, long: Option<Timestamp>, out: &mut BytesMut) -> u64 {
        match self.broken.take() {
            Some((at, length)) if long == Some(at) => length,
            Some(_) => {
                out.extend_from_slice(b"\n");
                0
            }
            None => 0,
        }
    }

    /// Ends a long line that is stored in part, as the rest of it will not come in this log.
    pub(super) fn end_broken(&mut self, out: &mut BytesMut) {
        if self.long.take().is_some_and(|long| long.emit) || self.broken.take().is_some() {
            out.extend_from_slice(b"\n");
        }
    }

    /// Whether a line that begins with `head` is to be stored.
    fn decide(&mut self, at: Timestamp, head: &[u8]) -> Result<bool, Stop> {
        let Some(mark) = &self.seeking else { return Ok(true) };
        if at == mark.at && digest(head) == mark.digest {
            self.seen += 1;
            if self.seen >= mark.repeat {
                self.tail = Some(Tail { at, head: head.to_vec(), repeat: mark.repeat });
                self.seeking = None;
            }
        } else if at.duration_since(mark.at) > PAST {
            return Err(Stop::Past);
        }
        Ok(false)
    }

    /// Counts a line that is stored.
    fn count(&mut self, at: Timestamp, length: u64) {
        let passed = &mut self.passed;
        passed.lines += 1;
        passed.first.get_or_insert(at);
        passed.last = Some(at);
        let first = *passed.first_here.get_or_insert(at);
        if at.duration_since(first) < SignedDuration::from_secs(1) {
            passed.opening += length;
        }
    }

    /// Keeps a line as the one to go on from.
    fn keep(&mut self, at: Timestamp, head: &[u8]) {
        let tail = self.tail.get_or_insert_default();
        if tail.repeat > 0 && tail.at == at && tail.head == head {
            tail.repeat += 1;
            return;
        }
        (tail.at, tail.repeat) = (at, 1);
        tail.head.clear();
        tail.head.extend_from_slice(head);
    }

    /// Looks whether a line that has ended is the one that the stream must hold.
    fn compare(&mut self, at: Timestamp, content: &[u8], length: u64) {
        if self.proven {
            return;
        }
        if let Some(probe) = &self.probe {
            self.proven = probe.is(at, content);
            self.likely = probe.ends(at, content, length) || (self.likely && at >= probe.at());
        }
    }
}

/// 64 bits of the digest of a line's first bytes.
fn digest(head: &[u8]) -> String {
    Sha256::of(&head[..head.len().min(HELD)]).as_str()[..16].to_owned()
}

/// The timestamp that a line begins with.
pub(super) fn stamp(line: &[u8]) -> Option<Timestamp> {
    let end = memchr(b' ', &line[..line.len().min(STAMP)])?;
    std::str::from_utf8(&line[..end]).ok()?.parse().ok()
}

fn strange(line: &[u8]) -> Stop {
    let text = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
    Stop::NoTimestamp(text.trim().to_owned())
}
