//! What was found in one artifact, bounded whatever it holds.

use std::{collections::BTreeMap, fmt};

use drawbridge_protocol::checks::{CheckId, ChecksConfig, Effect, Finding};

/// The longest example, in characters; names may be 4 KiB, and there may be 10,000 artifacts in a manifest.
const MAX_EXAMPLE: usize = 200;

/// Takes down what checks find, and what follows from it.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    config: ChecksConfig,
    found: BTreeMap<CheckId, Found>,
    rejection: Option<Rejection>,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    effect: Effect,
    count: u64,
    example: String,
}

/// Why an artifact is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("check '{check}': {reason}")]
pub struct Rejection {
    pub check: CheckId,
    pub reason: String,
}

impl Findings {
    pub fn new(config: ChecksConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// The stack's wishes; an inspector reads its limits there.
    pub fn config(&self) -> &ChecksConfig {
        &self.config
    }

    /// Whether `check` is made at all.
    pub fn wants(&self, check: CheckId) -> bool {
        self.config.effect(check) != Effect::Off
    }

    /// `check` found something. `example` says what and where, in words for people; only the first one is kept.
    pub fn note(&mut self, check: CheckId, example: impl fmt::Display) {
        self.note_with(check, self.config.effect(check), example);
    }

    /// As [`Findings::note`], by an inspector that has effects for what it looks for one by one.
    pub fn note_with(&mut self, check: CheckId, effect: Effect, example: impl fmt::Display) {
        if effect == Effect::Off {
            return;
        }
        if let Some(found) = self.found.get_mut(&check)
            && effect <= found.effect
        {
            found.count += 1;
            return;
        }
        let example = bounded(&example);
        if effect == Effect::Reject && self.rejection.is_none() {
            self.rejection = Some(Rejection { check, reason: example.clone() });
        }
        let count = 1 + self.found.get(&check).map_or(0, |found| found.count);
        self.found.insert(check, Found { effect, count, example });
    }

    /// The checks that found something, in their order.
    pub fn checks(&self) -> impl Iterator<Item = CheckId> {
        self.found.keys().copied()
    }

    /// All of it, as documents show it.
    pub(crate) fn report(self) -> Vec<Finding> {
        let found = self.found.into_iter();
        let report = found.map(|(check, Found { effect, count, example })| Finding {
            check: check.to_string(),
            effect,
            count,
            example,
        });
        report.collect()
    }

    /// Why the artifact is not stored, if it is not.
    pub fn rejection(&self) -> Option<&Rejection> {
        self.rejection.as_ref()
    }
}

/// A path as people can read it: what is no printable UTF-8 is escaped.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a>(pub &'a [u8]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// The beginning of what `text` shows.
fn bounded(text: &impl fmt::Display) -> String {
    let mut out = Bounded { text: String::new(), left: MAX_EXAMPLE };
    // Stops at the bound by an error, which is no error here.
    let whole = fmt::Write::write_fmt(&mut out, format_args!("{text}")).is_ok();
    if !whole {
        out.text.push('…');
    }
    out.text
}

struct Bounded {
    text: String,
    left: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        for character in piece.chars() {
            if self.left == 0 {
                return Err(fmt::Error);
            }
            self.left -= 1;
            self.text.push(character);
        }
        Ok(())
    }
}
