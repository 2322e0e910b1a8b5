//! What a box measured of each source, and what it is compared with: the run before of the same series.
//!
//! The box reads nothing, so the run before comes to it in its orders. It is small on purpose: a receipt carries it
//! through the cluster, and the cluster's own storage is not ours to fill.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ProtocolError, SessionId, Version, ids::dns_label};

/// Sources of one run that are measured; a job has no more.
pub const MAX_SOURCES: usize = 16;
/// Files that are compared one by one, of a source.
pub const MAX_SAMPLES: usize = 32;
/// The largest baseline, in bytes of JSON.
pub const MAX_BASELINE: usize = 16 << 10;
/// Bytes of a sampled file: four of its path's digest, two of its content's.
const SAMPLED: usize = 6;

/// The series that a job belongs to: jobs of one namespace and series are compared with each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SeriesName(String);

impl SeriesName {
    /// As it stands in an object key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SeriesName {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        dns_label(&text).map_err(|why| ProtocolError::invalid("series", why))?;
        Ok(Self(text))
    }
}

impl From<SeriesName> for String {
    fn from(name: SeriesName) -> Self {
        name.0
    }
}

impl std::fmt::Display for SeriesName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one source of one run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceMeasures {
    pub artifacts: u64,
    /// Files with a body, or logs.
    pub files: u64,
    /// Of these, those that were long enough to say whether they look encrypted.
    pub measured: u64,
    /// Of these, those that do: compressed and encrypted bytes alike.
    pub dense: u64,
    /// Bytes before compression.
    pub bytes: u64,
    pub sample: Sample,
    /// The comparison of its density with the run before found something; no run is compared with this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alarmed: bool,
}

impl SourceMeasures {
    /// Both together, as one source.
    pub fn add(&mut self, other: &Self) {
        self.artifacts = self.artifacts.saturating_add(other.artifacts);
        self.files = self.files.saturating_add(other.files);
        self.measured = self.measured.saturating_add(other.measured);
        self.dense = self.dense.saturating_add(other.dense);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.alarmed |= other.alarmed;
        for file in &other.sample.0 {
            self.sample.add(*file);
        }
    }
}

/// Measures by the source's name.
pub type Sources = BTreeMap<String, SourceMeasures>;

/// Whether `sources` keep the bounds of a receipt; in words, if not.
pub fn check_sources(sources: &Sources) -> Result<(), ProtocolError> {
    let invalid = |why: String| Err(ProtocolError::invalid("measures", why));
    if sources.len() > MAX_SOURCES {
        return invalid(format!("{} sources, more than the {MAX_SOURCES} allowed", sources.len()));
    }
    match sources.keys().find_map(|name| dns_label(name).err()) {
        Some(why) => invalid(why),
        None => Ok(()),
    }
}

/// The files of a source whose paths have the smallest digests: two runs choose the same ones without knowing of each
/// other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sample(Vec<SampledFile>);

/// One file, by digests that are long enough for a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SampledFile {
    pub path: u32,
    pub content: u16,
}

impl Sample {
    /// Takes the file in, if it is among the smallest.
    pub fn add(&mut self, file: SampledFile) {
        let Err(at) = self.0.binary_search(&file) else { return };
        if at < MAX_SAMPLES {
            self.0.insert(at, file);
            self.0.truncate(MAX_SAMPLES);
        }
    }

    /// Sorted.
    pub fn files(&self) -> &[SampledFile] {
        &self.0
    }

    /// The largest path digest of which every file is here.
    pub fn reach(&self) -> u32 {
        match self.0.last() {
            Some(last) if self.0.len() == MAX_SAMPLES => last.path.saturating_sub(1),
            _ => u32::MAX,
        }
    }
}

impl TryFrom<String> for Sample {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        let invalid = |why: &str| ProtocolError::invalid("sample", why.to_owned());
        if text.len() > MAX_SAMPLES * SAMPLED * 4 / 3 {
            return Err(invalid("more files than a sample has"));
        }
        let raw = STANDARD_NO_PAD.decode(&text).map_err(|error| invalid(&error.to_string()))?;
        let (files, rest) = raw.as_chunks::<SAMPLED>();
        if !rest.is_empty() {
            return Err(invalid("its last file is cut"));
        }
        let file = |raw: &[u8; SAMPLED]| {
            let [p0, p1, p2, p3, c0, c1] = *raw;
            SampledFile { path: u32::from_be_bytes([p0, p1, p2, p3]), content: u16::from_be_bytes([c0, c1]) }
        };
        let files: Vec<SampledFile> = files.iter().map(file).collect();
        if files.is_sorted_by(|one, next| one < next) {
            Ok(Self(files))
        } else {
            Err(invalid("its files are not in order"))
        }
    }
}

impl From<Sample> for String {
    fn from(sample: Sample) -> Self {
        let bytes = |file: &SampledFile| [&file.path.to_be_bytes()[..], &file.content.to_be_bytes()].concat();
        let raw: Vec<u8> = sample.0.iter().flat_map(bytes).collect();
        STANDARD_NO_PAD.encode(raw)
    }
}

/// What the newest stored run of a series came to, as the state bucket holds it and a box's orders carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    pub version: Version,
    pub session: SessionId,
    pub sealed_at: Timestamp,
    pub sources: Sources,
}

impl Baseline {
    /// What the next run is compared with, after `run`. A source that alarmed keeps what it was
    /// compared with: an encrypted backup does not become the measure of the next one. `None` where `run` is not newer.
    pub fn after(before: Option<&Self>, run: Self) -> Option<Self> {
        if before.is_some_and(|before| run.sealed_at <= before.sealed_at) {
            return None;
        }
        let mut sources = Sources::new();
        for (name, measures) in run.sources {
            if !measures.alarmed {
                sources.insert(name, measures);
            } else if let Some(kept) = before.and_then(|before| before.sources.get(&name)) {
                sources.insert(name, kept.clone());
            }
        }
        Some(Self { sources, ..run })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(path: u32, content: u16) -> SampledFile {
        SampledFile { path, content }
    }

    fn measures(bytes: u64, alarmed: bool) -> SourceMeasures {
        SourceMeasures { bytes, alarmed, ..SourceMeasures::default() }
    }

    fn run(at: &str, sources: &[(&str, SourceMeasures)]) -> Baseline {
        let sources = sources.iter().map(|(name, source)| ((*name).to_owned(), source.clone())).collect();
        let session = "00112233445566778899aabbccddeeff".parse().unwrap();
        Baseline { version: Version, session, sealed_at: at.parse().unwrap(), sources }
    }

    #[test]
    fn a_sample_keeps_the_smallest_whatever_the_order_and_says_how_far_it_reaches() {
        let mut up = Sample::default();
        let mut down = Sample::default();
        for path in 0..100 {
            up.add(file(path * 7, 1));
            down.add(file((99 - path) * 7, 1));
            up.add(file(path * 7, 1));
        }
        assert_eq!(up, down);
        assert_eq!(up.files().len(), MAX_SAMPLES);
        assert_eq!(up.reach(), 31 * 7 - 1);
        let mut few = Sample::default();
        few.add(file(5, 5));
        assert_eq!(few.reach(), u32::MAX);
    }

    #[test]
    fn a_sample_comes_back_as_it_went_and_a_spoilt_one_is_refused() {
        let mut sample = Sample::default();
        for path in 0..40 {
            sample.add(file(path, u16::try_from(path).unwrap()));
        }
        let text = String::from(sample.clone());
        assert_eq!(text.len(), 256);
        assert_eq!(Sample::try_from(text.clone()).unwrap(), sample);
        for spoilt in [format!("{text}AAAAAAAA"), text[..8].repeat(2), "AAAA".to_owned(), "!".to_owned()] {
            assert!(Sample::try_from(spoilt.clone()).is_err(), "{spoilt}");
        }
    }

    #[test]
    fn a_newer_run_replaces_the_baseline_and_an_older_or_repeated_one_does_not() {
        let old = run("2026-11-21T10:00:00Z", &[("etc", measures(1, false))]);
        let new = run("2026-11-21T11:00:00Z", &[("etc", measures(2, false))]);
        assert_eq!(Baseline::after(None, old.clone()), Some(old.clone()));
        assert_eq!(Baseline::after(Some(&old), new.clone()), Some(new.clone()));
        assert_eq!(Baseline::after(Some(&new), old), None);
        assert_eq!(Baseline::after(Some(&new), new.clone()), None);
    }

    #[test]
    fn a_source_that_alarmed_keeps_what_it_was_compared_with() {
        let old = run("2026-11-21T10:00:00Z", &[("etc", measures(1, false)), ("gone", measures(1, false))]);
        let new = run("2026-11-21T11:00:00Z", &[("etc", measures(2, true)), ("logs", measures(3, false))]);
        let next = Baseline::after(Some(&old), new).unwrap();
        assert_eq!(next.sources.keys().collect::<Vec<_>>(), ["etc", "logs"]);
        assert_eq!(next.sources["etc"].bytes, 1);
    }

    #[test]
    fn the_largest_baseline_fits_its_bound() {
        let mut source = SourceMeasures {
            artifacts: u64::MAX,
            files: u64::MAX,
            measured: u64::MAX,
            dense: u64::MAX,
            bytes: u64::MAX,
            sample: Sample::default(),
            alarmed: true,
        };
        for path in 0..40 {
            source.sample.add(file(u32::MAX - path, u16::MAX));
        }
        let sources: Sources =
            (0..MAX_SOURCES).map(|index| (format!("{index:063}"), source.clone())).collect();
        check_sources(&sources).unwrap();
        let mut run = run("2026-11-21T10:00:00Z", &[]);
        run.sources = sources;
        assert!(crate::json::write("baseline", &run).unwrap().len() <= MAX_BASELINE);
    }
}
