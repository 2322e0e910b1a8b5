//! The last line of a log, asked for before the log is read: a stream that does not hold it was cut.

use jiff::Timestamp;

use super::sift::stamp;

/// The last record of a log. The runtime cuts long lines into records; kubelet joins them again when it reads from
/// the line's beginning, but not when it is asked for the last record alone, which then has a timestamp of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    at: Timestamp,
    /// The last bytes of the record, with the timestamp if it is short.
    end: Vec<u8>,
    /// The last record of its line.
    terminated: bool,
}

/// A line must be longer than this to be one of several records: runtimes cut at 16 KiB.
const RECORD: u64 = 4 << 10;

impl Probe {
    /// The bytes that are compared.
    pub(super) const END: usize = 64;

    /// From the beginning and the last bytes of an answer to `tailLines=1`; they overlap if it is short.
    pub(super) fn new(beginning: &[u8], end: &[u8]) -> Option<Self> {
        let at = stamp(beginning)?;
        let terminated = end.last() == Some(&b'\n');
        let content = if terminated { &end[..end.len() - 1] } else { end };
        let end = content[content.len().saturating_sub(Self::END)..].to_vec();
        Some(Self { at, end, terminated })
    }

    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether a line with these last bytes is the probe.
    pub(super) fn is(&self, at: Timestamp, content: &[u8]) -> bool {
        if !self.terminated {
            // Its line was still being written; the one after it was not there yet.
            return at > self.at;
        }
        at == self.at && content.ends_with(&self.end)
    }

    /// Whether a line of several records ends with the probe, or was being written when it was asked for.
    pub(super) fn ends(&self, at: Timestamp, content: &[u8], length: u64) -> bool {
        // A short record's beginning is its own timestamp, which the line does not hold there.
        let text = stamp(&self.end).map_or(self.end.as_slice(), |_| {
            let space = self.end.iter().position(|&byte| byte == b' ').map_or(0, |space| space + 1);
            &self.end[space..]
        });
        length > RECORD && at <= self.at && (!self.terminated || content.ends_with(text))
    }
}
