//! Ransomware's mark: everything changed against the run before, and nothing compresses any more.
//!
//! Neither alone is a sign: a new release changes every file, and an archive compresses no further. What is compared is one
//! artifact with its source in the run before. The box measures; `cleanup` keeps; `create` hands over.

mod compare;
mod gauge;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use drawbridge_checks::{EntryHead, Findings, Inspector};
use drawbridge_protocol::{
    ArtifactName, Baseline, SeriesName, SourceMeasures,
    checks::{CheckId, Effect},
};

use self::gauge::Gauge;

/// The run before, if there was one.
pub(crate) struct Compared(pub(crate) Option<Baseline>);

/// What the session's whole artifacts came to, until each is taken.
#[derive(Default)]
pub(crate) struct Measured(Mutex<BTreeMap<ArtifactName, SourceMeasures>>);

impl Measured {
    pub(crate) fn take(&self, artifact: &ArtifactName) -> Option<SourceMeasures> {
        self.all().remove(artifact)
    }

    fn keep(&self, artifact: ArtifactName, measures: SourceMeasures) {
        self.all().insert(artifact, measures);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ArtifactName, SourceMeasures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The source of an artifact: what stands before the first dot of its name. Nothing where that is no source's name.
pub fn source_of(artifact: &ArtifactName) -> Option<String> {
    let source = artifact.as_str().split('.').next().unwrap_or_default();
    SeriesName::try_from(source.to_owned()).ok().map(String::from)
}

/// Measures one artifact and compares it.
pub(crate) struct BaselineInspector {
    artifact: ArtifactName,
    source: String,
    compared: Arc<Compared>,
    measured: Arc<Measured>,
    gauge: Gauge,
}

impl BaselineInspector {
    pub(crate) fn new(
        artifact: ArtifactName,
        source: String,
        compared: Arc<Compared>,
        measured: Arc<Measured>,
    ) -> Self {
        Self { artifact, source, compared, measured, gauge: Gauge::default() }
    }
}

impl Inspector for BaselineInspector {
    fn entry(&mut self, head: &EntryHead<'_>, _: &mut Findings) {
        if head.kind.has_content() {
            self.gauge.begin(head.path);
        }
    }

    fn data(&mut self, bytes: &[u8], _: &mut Findings) {
        self.gauge.take(bytes);
    }

    fn entry_end(&mut self, _: &mut Findings) {
        self.gauge.end();
    }

    fn finish(&mut self, found: &mut Findings) {
        let mut measures = self.gauge.measures();
        if let Some(before) = &self.compared.0
            && let Some(source) = before.sources.get(&self.source)
        {
            if let Some(why) = compare::encrypted(source, &measures) {
                measures.alarmed = found.config().effect(CheckId::BaselineEntropy) != Effect::Off;
                found.note(
                    CheckId::BaselineEntropy,
                    format_args!("source {} against {}: {why}", self.source, before.sealed_at),
                );
            }
            if self.artifact.as_str().ends_with(".tar.zst")
                && let Some(why) = compare::size(source, &measures)
            {
                found.note(
                    CheckId::BaselineSize,
                    format_args!("source {} against {}: {why}", self.source, before.sealed_at),
                );
            }
        }
        self.measured.keep(self.artifact.clone(), measures);
    }
}
