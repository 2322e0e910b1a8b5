//! Looks at logs and JSON streams: how long lines are, and whether it is text at all.

use drawbridge_protocol::checks::{CheckId, CheckLimits};

use crate::{Findings, Form};

/// Fewer bytes than this are too few for a share of control bytes.
const LEAST: u64 = 4 << 10;

/// Where the stream is.
#[derive(Debug)]
pub(crate) struct Lines {
    form: Form,
    max_line: u64,
    max_control_permille: u64,
    line: u64,
    /// Bytes of the line at hand, and whether its length was complained of.
    length: u64,
    long: bool,
    /// Of the line at hand, the first and the last byte that is no space.
    first: Option<u8>,
    last: u8,
    bytes: u64,
    control: u64,
}

impl Lines {
    pub(crate) fn new(form: Form, limits: &CheckLimits) -> Self {
        Self {
            form,
            max_line: limits.max_line,
            max_control_permille: limits.max_control_permille,
            line: 1,
            length: 0,
            long: false,
            first: None,
            last: 0,
            bytes: 0,
            control: 0,
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8], found: &mut Findings) {
        self.bytes += bytes.len() as u64;
        self.control += control_bytes(bytes);
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.piece(&rest[..end], found);
            self.end_line(found);
            rest = &rest[end + 1..];
        }
        self.piece(rest, found);
    }

    /// The stream is over.
    pub(crate) fn finish(&mut self, found: &mut Findings) {
        self.end_line(found);
        if self.form == Form::Log
            && self.bytes >= LEAST
            && self.control.saturating_mul(1_000) > self.bytes.saturating_mul(self.max_control_permille)
        {
            let (control, bytes) = (self.control, self.bytes);
            found.note(
                CheckId::LogControlBytes,
                format_args!("{control} of {bytes} bytes are control characters: it is no text"),
            );
        }
    }

    fn piece(&mut self, piece: &[u8], found: &mut Findings) {
        self.length += piece.len() as u64;
        if self.length > self.max_line && !self.long {
            self.long = true;
            found.note(
                CheckId::LogLineLength,
                format_args!("line {} has more than {} bytes", self.line, self.max_line),
            );
        }
        if self.form == Form::JsonLines {
            let text = piece.trim_ascii();
            if let [first, ..] = text {
                self.first.get_or_insert(*first);
                self.last = text[text.len() - 1];
            }
        }
    }

    fn end_line(&mut self, found: &mut Findings) {
        let whole = match self.first {
            None => true,
            Some(b'{') => self.last == b'}',
            Some(b'[') => self.last == b']',
            Some(_) => false,
        };
        if !whole {
            found.note(CheckId::JsonLine, format_args!("line {} is not one object or array", self.line));
        }
        self.line += 1;
        (self.length, self.long, self.first) = (0, false, None);
    }
}

/// Counted in bytes as long as they hold the number, so that the compiler counts many at once.
fn control_bytes(bytes: &[u8]) -> u64 {
    let few = |run: &[u8]| run.iter().fold(0_u8, |count, &byte| count + u8::from(is_control(byte)));
    bytes.chunks(255).map(|run| u64::from(few(run))).sum()
}

/// Control bytes that no log writer means: colours, tabs, bells, backspaces and line ends are not among them.
fn is_control(byte: u8) -> bool {
    byte < 7 || (byte > 13 && byte < 32 && byte != 27) || byte == 127
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use drawbridge_protocol::checks::ChecksConfig;

    use super::*;

    fn checks(form: Form, bytes: &[u8], step: usize) -> Vec<CheckId> {
        let config: ChecksConfig = "max_line=100".parse().unwrap();
        let mut found = Findings::new(config.clone());
        let mut lines = Lines::new(form, &config.limits);
        for chunk in bytes.chunks(step) {
            lines.feed(chunk, &mut found);
        }
        lines.finish(&mut found);
        found.checks().collect()
    }

    #[test]
    fn text_passes_and_what_is_no_text_does_not() {
        let colours = b"2026-01-01T00:00:00Z \x1b[32mINFO\x1b[0m started\r\n".repeat(200);
        let umlauts = "2026-01-01T00:00:00Z Gr\u{fc}\u{df}e\n".repeat(200);
        let binary: Vec<u8> = (0..=255_u8).cycle().take(8_192).collect();
        for step in [1, 99, 100_000] {
            assert_eq!(checks(Form::Log, &colours, step), []);
            assert_eq!(checks(Form::Log, umlauts.as_bytes(), step), []);
            assert!(checks(Form::Log, &binary, step).contains(&CheckId::LogControlBytes));
        }
    }

    #[test]
    fn a_line_longer_than_the_limit_is_found_whatever_the_chunks() {
        let line = |length| [&b"short\n"[..], &vec![b'x'; length], b"\nshort"].concat();
        for step in [1, 64, 1_000] {
            assert_eq!(checks(Form::Log, &line(100), step), []);
            assert_eq!(checks(Form::Log, &line(101), step), [CheckId::LogLineLength]);
        }
    }

    #[test]
    fn each_line_of_a_json_stream_is_an_object_or_an_array() {
        for step in [1, 3, 1_000] {
            for good in ["", "{}\n", "{\"a\": [1]}\n\n  [2] \r\n{}", "{}"] {
                assert_eq!(checks(Form::JsonLines, good.as_bytes(), step), [], "{good}");
            }
            for bad in ["{\n}\n", "{}\nnull\n", "{}x", "{\"cut\": "] {
                assert_eq!(checks(Form::JsonLines, bad.as_bytes(), step), [CheckId::JsonLine], "{bad}");
            }
        }
    }
}
