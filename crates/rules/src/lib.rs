//! What a box looks for in the data itself while it streams: YARA rules, secrets in the clear, file types, and ransomware's
//! mark against the run before.
//!
//! ```text
//! yara/      the rules, compiled once a box, and a thread an artifact that scans blocks
//! secrets/   literals that begin a secret, and what must follow
//! types      the first bytes of a file
//! baseline/  how much looks encrypted and what has changed since the run before
//! ```
//! Nothing here keeps the data, and no secret is ever written down: a finding is what was looked for, where, how often.

mod baseline;
mod secrets;
mod tally;
mod types;
mod yara;

use std::sync::Arc;

use drawbridge_checks::{Form, Inspector, Inspectors};
use drawbridge_protocol::{
    ArtifactName, Baseline, SourceMeasures,
    checks::{CheckId, ChecksConfig},
    orders::RulesFile,
};

pub use baseline::source_of;
pub use secrets::{DETECTORS, Detector};
pub use types::FileType;
pub use yara::{BLOCK as YARA_BLOCK, OVERLAP as YARA_OVERLAP, RulesError, shipped};

use crate::{
    baseline::{BaselineInspector, Compared, Measured},
    secrets::{Anchors, SecretInspector},
    types::TypeInspector,
    yara::{Library, YaraInspector},
};

/// The shipped rules and the stack's own, compiled, for [`Rules::with`].
pub fn compile(own: &[RulesFile]) -> Result<Vec<u8>, RulesError> {
    Library::new(own)?.write()
}

/// Looks for all of it, as one stack wants it, in the artifacts of one session.
pub struct Rules {
    config: ChecksConfig,
    library: Option<Arc<Library>>,
    anchors: Option<Arc<Anchors>>,
    compared: Arc<Compared>,
    measured: Arc<Measured>,
}

impl Rules {
    /// Compiles the shipped rules and the stack's own. Nothing is compiled where the stack wants no rule at all.
    pub fn new(
        config: ChecksConfig,
        own: &[RulesFile],
        baseline: Option<Baseline>,
    ) -> Result<Self, RulesError> {
        Self::over(config, baseline, || Library::new(own))
    }

    /// As [`Rules::new`], with rules that somebody else compiled: `compiled` gives what [`compile`] made on this machine.
    pub fn with(
        config: ChecksConfig,
        baseline: Option<Baseline>,
        compiled: impl FnOnce() -> Result<Vec<u8>, RulesError>,
    ) -> Result<Self, RulesError> {
        Self::over(config, baseline, || Library::read(&compiled()?))
    }

    fn over(
        config: ChecksConfig,
        baseline: Option<Baseline>,
        library: impl FnOnce() -> Result<Library, RulesError>,
    ) -> Result<Self, RulesError> {
        let library = config.wants(&[CheckId::Yara]).then(library).transpose()?.map(Arc::new);
        let anchors = config.wants(&[CheckId::Secret]).then(|| Arc::new(Anchors::new()));
        let (compared, measured) = (Arc::new(Compared(baseline)), Arc::default());
        Ok(Self { config, library, anchors, compared, measured })
    }

    /// What an artifact came to, once it was whole; the second time nothing.
    pub fn take_measures(&self, artifact: &ArtifactName) -> Option<SourceMeasures> {
        self.measured.take(artifact)
    }
}

impl Inspectors for Rules {
    fn of(&self, artifact: &ArtifactName) -> Vec<Box<dyn Inspector>> {
        let Self { config, library, anchors, compared, measured } = self;
        let mut inspectors: Vec<Box<dyn Inspector>> = Vec::new();
        if let Some(library) = library {
            inspectors.push(Box::new(YaraInspector::new(Arc::clone(library), config)));
        }
        if let Some(anchors) = anchors {
            inspectors.push(Box::new(SecretInspector::new(Arc::clone(anchors), config)));
        }
        if Form::of(artifact) == Form::Tar && config.wants(&[CheckId::FileType]) {
            inspectors.push(Box::new(TypeInspector::new(config)));
        }
        if let Some(source) = source_of(artifact) {
            let (compared, measured) = (Arc::clone(compared), Arc::clone(measured));
            inspectors.push(Box::new(BaselineInspector::new(artifact.clone(), source, compared, measured)));
        }
        inspectors
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("config", &self.config).finish_non_exhaustive()
    }
}
