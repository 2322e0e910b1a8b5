//! One artifact on its way through all checks.

use std::{io, ops::ControlFlow};

use aws_lc_rs::digest::{Context, SHA256};
use drawbridge_protocol::{
    ArtifactName, Sha256,
    checks::{CheckId, ChecksConfig, Effect, Finding, Measures},
};

use crate::{
    Findings, Form, Inspectors, Rejection, Shared,
    look::Look,
    unpack::{UnpackFault, Unpacker},
};

/// What a bomb may cost before its ratio is looked at.
const RATIO_FLOOR: u64 = 64 << 20;

/// What was found in an artifact that may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Bytes and digest before compression, where the checks could look to the end.
    pub original: Option<(u64, Sha256)>,
    /// Not empty: the artifact is flagged.
    pub findings: Vec<Finding>,
    pub measures: Measures,
}

/// Checks one artifact. It does no I/O and burns CPU: it runs where that is welcome.
pub struct Checker {
    /// Gone when the stream cannot be followed any further and the stack lets that pass.
    unpacker: Option<Unpacker>,
    stream: Stream,
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").field("findings", &self.stream.findings).finish_non_exhaustive()
    }
}

/// What has come out so far.
struct Stream {
    findings: Findings,
    look: Look,
    digest: Context,
    stored: u64,
    original: u64,
    shared: Shared,
    /// The artifact is stored: what it counted stays counted.
    kept: bool,
    limits: Limits,
}

/// The limits that are on.
struct Limits {
    artifact: Option<u64>,
    session: bool,
    ratio: Option<u64>,
}

impl Checker {
    /// For the artifact of that name. None where the stack wants no checks at all. An error means that there is no memory.
    pub fn new(
        name: &ArtifactName,
        config: &ChecksConfig,
        shared: &Shared,
        inspectors: &dyn Inspectors,
    ) -> io::Result<Option<Self>> {
        if !config.wants(CheckId::ALL) {
            return Ok(None);
        }
        let form = Form::of(name);
        let on = |check| config.effect(check) != Effect::Off;
        let mut findings = Findings::new(config.clone());
        let look = Look::new(name, form, &config.limits, shared, inspectors.of(name), &mut findings);
        let stream = Stream {
            findings,
            look,
            digest: Context::new(&SHA256),
            stored: 0,
            original: 0,
            shared: shared.clone(),
            kept: false,
            limits: Limits {
                artifact: on(CheckId::ArtifactBytes).then_some(config.limits.max_artifact_bytes),
                session: on(CheckId::SessionBytes),
                ratio: on(CheckId::ZstdRatio).then_some(config.limits.max_ratio),
            },
        };
        Ok(Some(Self { unpacker: Some(Unpacker::new(&shared.spare)?), stream }))
    }

    /// Takes the next bytes of the artifact as stored.
    pub fn feed(&mut self, stored: &[u8]) -> Result<(), Rejection> {
        self.stream.stored += stored.len() as u64;
        let Some(unpacker) = &mut self.unpacker else { return Ok(()) };
        let fed = unpacker.feed(stored, |bytes| self.stream.take(bytes));
        match fed {
            Err(fault) => self.stop(&fault),
            // It saw more than enough, and goes on unseen unless that is a rejection.
            Ok(()) if self.stream.look.is_over() => self.unpacker = None,
            Ok(()) => {}
        }
        self.stream.rejection()
    }

    /// The artifact is whole. `claimed` is what the client says was in it.
    pub fn finish(mut self, claimed: (u64, &Sha256)) -> Result<Report, Rejection> {
        if let Some(Err(fault)) = self.unpacker.as_ref().map(Unpacker::finish) {
            self.stop(&fault);
        }
        let whole = self.unpacker.is_some();
        if whole {
            self.stream.look.finish(&mut self.stream.findings);
        }
        self.stream.rejection()?;
        let original = whole.then(|| {
            let digest = std::mem::replace(&mut self.stream.digest, Context::new(&SHA256)).finish();
            (self.stream.original, Sha256::from_digest(&digest))
        });
        if let Some((bytes, sha256)) = &original
            && (*bytes, sha256) != claimed
        {
            let (said, of) = claimed;
            self.stream.findings.note(
                CheckId::OriginalMismatch,
                format_args!(
                    "the client says {said} bytes of sha256 {of} were in it, {bytes} of {sha256} are"
                ),
            );
            self.stream.rejection()?;
        }
        self.stream.kept = true;
        let measures = Measures {
            original_bytes: self.stream.original,
            stored_bytes: self.stream.stored,
            ..self.stream.look.measures()
        };
        Ok(Report { original, findings: std::mem::take(&mut self.stream.findings).report(), measures })
    }

    /// The stream cannot be followed any further.
    fn stop(&mut self, fault: &UnpackFault) {
        let check = match fault {
            UnpackFault::Trailing { .. } => CheckId::ZstdTrailing,
            _ => CheckId::ZstdDamaged,
        };
        self.stream.findings.note(check, fault);
        self.unpacker = None;
    }
}

impl Stream {
    fn rejection(&self) -> Result<(), Rejection> {
        self.findings.rejection().map_or(Ok(()), |rejection| Err(rejection.clone()))
    }

    /// Takes the next bytes that came out, unless enough was seen.
    fn take(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        self.original += bytes.len() as u64;
        if let Err((check, what)) = self.within_limits(bytes.len() as u64) {
            self.findings.note(check, what);
            self.look.give_up();
            return ControlFlow::Break(());
        }
        self.digest.update(bytes);
        self.look.feed(bytes, &mut self.findings);
        if self.findings.rejection().is_some() {
            self.look.give_up();
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn within_limits(&self, bytes: u64) -> Result<(), (CheckId, String)> {
        let (original, stored) = (self.original, self.stored.max(1));
        let within_session = self.shared.count(bytes);
        if self.limits.session && !within_session {
            let max = self.shared.max_original();
            return Err((
                CheckId::SessionBytes,
                format!("more than {max} bytes come out of the session's artifacts"),
            ));
        }
        if let Some(max) = self.limits.artifact.filter(|max| original > *max) {
            return Err((CheckId::ArtifactBytes, format!("more than {max} bytes come out of it")));
        }
        if let Some(max) = self.limits.ratio
            && original > RATIO_FLOOR
            && original / max > stored
        {
            return Err((
                CheckId::ZstdRatio,
                format!("{original} bytes come out of {stored}, more than {max} to one"),
            ));
        }
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.kept {
            self.shared.uncount(self.original);
        }
    }
}

#[cfg(test)]
mod tests;
