//! Takes down what one inspector finds in an artifact, so that it is told once, with where it was first and how often.

use std::{collections::BTreeMap, fmt::Write as _};

use drawbridge_checks::{Findings, Path};
use drawbridge_protocol::{
    checks::{CheckId, ChecksConfig, Effect},
    details::Detail,
};

/// What one inspector has found. Bounded by the number of things that it looks for.
pub(crate) struct Tally {
    check: CheckId,
    config: ChecksConfig,
    found: BTreeMap<Detail, Count>,
}

struct Count {
    effect: Effect,
    entries: u64,
    first: Vec<u8>,
}

impl Tally {
    pub(crate) fn new(check: CheckId, config: &ChecksConfig) -> Self {
        Self { check, config: config.clone(), found: BTreeMap::new() }
    }

    /// `name` was found in the entry at `path`; `usual` is what follows where the stack does not say. What rejects is
    /// told at once, so that nothing more is taken in.
    pub(crate) fn hit(&mut self, name: &str, usual: Effect, path: &[u8], found: &mut Findings) {
        let Ok(detail) = Detail::new(self.check, name) else { return };
        let effect = self.config.effect_of(&detail, usual);
        match self.found.get_mut(&detail) {
            _ if effect == Effect::Off => {}
            Some(count) => count.entries += 1,
            None => {
                if effect == Effect::Reject {
                    found.note_with(self.check, effect, format_args!("{detail} in {}", Path(path)));
                }
                self.found.insert(detail, Count { effect, entries: 1, first: path.to_vec() });
            }
        }
    }

    /// Tells all that was found and does not reject.
    pub(crate) fn tell(&mut self, found: &mut Findings) {
        let mut text = String::new();
        for (detail, count) in &self.found {
            if count.effect != Effect::Flag {
                continue;
            }
            if !text.is_empty() {
                text.push_str("; ");
            }
            // Writing to a String cannot fail.
            let _ = write!(text, "{detail} in {}", Path(&count.first));
            if count.entries > 1 {
                let _ = write!(text, " and {} more", count.entries - 1);
            }
        }
        if !text.is_empty() {
            found.note_with(self.check, Effect::Flag, text);
        }
        self.found.clear();
    }
}
