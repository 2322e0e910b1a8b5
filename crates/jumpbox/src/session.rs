//! What one session has taken in, is taking in, and has sealed. The only place where its limits are kept.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use drawbridge_checks::{Inspectors, NoInspectors};
use drawbridge_protocol::{
    ArtifactName, Certificate, Envelope, Orders, SessionSigner, Sha256, Sources,
    checks::Finding,
    manifest::{ArtifactRecord, Claimed, Observed, Verdict},
    measures::MAX_SOURCES,
    upload::{Accepted, Entry, Failure, FailureCode, MAX_DATA, Rejected},
};
use drawbridge_rules::{Rules, source_of};
use jiff::Timestamp;

use crate::{
    backlog::Backlog,
    ingest::{Attachment, Checks, Driven, Ingest, Outcome, Settings, Stored, drive},
    rejections,
    seal::{Seal, Sealer},
    store::Store,
};

/// Artifacts under way at once: each may hold its parts in memory. One a connection, so as many as connections.
pub(crate) const MAX_OPEN: usize = 8;
/// What clients may claim in one session, in bytes of JSON: it all ends up in the manifest.
const MAX_CLAIMS: usize = 6 << 20;
/// Paths and gaps that clients may claim in one session: one of a letter takes four bytes of JSON, and fifty of memory.
const MAX_LISTED: usize = 128 << 10;
/// What the frame of a commit has beside its entries: the certificate, most of all.
const COMMIT: usize = 64 << 10;
/// An entry of a commit: a name of 200 bytes, a digest, a number, what stands around them.
const COMMIT_ENTRY: usize = 400;
/// What examples of findings may take of the manifest in one session, in bytes of JSON.
const MAX_FINDINGS: usize = 1 << 20;

/// One session.
pub(crate) struct Session {
    pub(crate) orders: Orders,
    pub(crate) instance: String,
    pub(crate) program: Sha256,
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) backlog: Backlog,
    pub(crate) checks: Checks,
    /// Or why they cannot be used: then nothing is taken.
    rules: Result<Arc<Rules>, String>,
    pub(crate) sealer: Sealer,
    state: Mutex<State>,
    /// Held while sealing; sealing twice at once would race for the same keys.
    seal: tokio::sync::Mutex<Option<Seal>>,
}

#[derive(Default)]
struct State {
    artifacts: BTreeMap<ArtifactName, Artifact>,
    /// Bytes of artifacts that are stored or under way.
    bytes: u64,
    claims: usize,
    /// Paths and gaps of the claims.
    listed: usize,
    /// What findings take of the manifest, in bytes of JSON.
    findings: usize,
    /// What is stored of each source.
    sources: Sources,
    /// No artifact begins any more.
    sealing: bool,
}

enum Artifact {
    Open(Arc<Ingest>),
    Stored(Box<ArtifactRecord>),
    Rejected(Rejected),
}

/// How an artifact begins.
pub(crate) enum Beginning {
    /// From the attachment's offset on.
    Open(Attachment),
    /// It is stored already; the client lost the answer, or tries to overwrite.
    Stored(Accepted),
    /// It was rejected, and will not be stored.
    Rejected(Rejected),
}

impl Session {
    pub(crate) fn new(
        orders: Orders,
        instance: String,
        program: Sha256,
        settings: Settings,
        store: Store,
        rules: Result<Arc<Rules>, String>,
        signer: SessionSigner,
    ) -> Self {
        let sealer = Sealer::new(signer);
        let inspectors: Arc<dyn Inspectors> = match &rules {
            Ok(rules) => Arc::<Rules>::clone(rules),
            Err(_) => Arc::new(NoInspectors),
        };
        let checks = Checks::new(orders.checks.clone(), inspectors);
        let (state, seal, backlog) = (Mutex::default(), tokio::sync::Mutex::default(), Backlog::default());
        Self { orders, instance, program, settings, store, backlog, checks, rules, sealer, state, seal }
    }

    /// Begins an artifact, or goes on with it.
    pub(crate) fn begin(self: &Arc<Self>, name: &ArtifactName) -> Result<Beginning, Failure> {
        if let Err(why) = &self.rules {
            return Err(refuse(FailureCode::State, why.clone()));
        }
        let mut state = self.state();
        match state.artifacts.get(name) {
            Some(Artifact::Open(ingest)) => return Ok(Beginning::Open(ingest.attach())),
            Some(Artifact::Stored(record)) => {
                return Ok(Beginning::Stored(self.accepted(name, &record.observed)));
            }
            Some(Artifact::Rejected(rejected)) => return Ok(Beginning::Rejected(rejected.clone())),
            None => {}
        }
        if state.sealing {
            return Err(refuse(
                FailureCode::State,
                "the session is sealed; no artifact begins any more".to_owned(),
            ));
        }
        if state.artifacts.len() >= self.orders.limits.artifacts as usize {
            let why = format!("the session's {} artifacts are used up", self.orders.limits.artifacts);
            return Err(refuse(FailureCode::Limit, why));
        }
        if state.open().count() >= MAX_OPEN {
            let why = format!("{MAX_OPEN} artifacts are under way, no more are taken at once");
            return Err(refuse(FailureCode::Limit, why));
        }
        let (ingest, intakes) = Ingest::new(name.clone(), self.settings, self.backlog.clone());
        let attachment = ingest.attach();
        state.artifacts.insert(name.clone(), Artifact::Open(Arc::clone(&ingest)));
        let session = Arc::clone(self);
        tokio::spawn(async move {
            let (prefix, store) = (session.orders.prefix.clone(), session.store.clone());
            let Driven { outcome, told, unfinished } =
                drive(&ingest, prefix, store, &session.checks, intakes).await;
            // The record comes first: where S3 is slow, giving up what was uploaded takes longer than a box may live.
            if let Outcome::Rejected(rejected) = &outcome {
                rejections::keep(&session, rejected).await;
            }
            if let Some(uploads) = unfinished {
                uploads.abort().await;
            }
            // Before any connection hears of it.
            session.settle(&ingest, &outcome);
            told.send_replace(Some(outcome));
        });
        Ok(Beginning::Open(attachment))
    }

    /// Counts `bytes` that are about to come in.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), Failure> {
        let mut state = self.state();
        let limit = self.orders.limits.session_bytes;
        if state.bytes.saturating_add(bytes) > limit {
            return Err(refuse(FailureCode::Limit, format!("the session's {limit} bytes are used up")));
        }
        state.bytes += bytes;
        Ok(())
    }

    /// Bytes that are stored or under way.
    #[cfg(test)]
    pub(crate) fn reserved(&self) -> u64 {
        self.state().bytes
    }

    /// Counts what a client claims.
    pub(crate) fn reserve_claim(&self, claimed: &Claimed) -> Result<(), Failure> {
        let size = serde_json::to_vec(claimed).map_or(usize::MAX, |json| json.len());
        let mut state = self.state();
        if state.claims.saturating_add(size) > MAX_CLAIMS {
            let why = format!("the session's claims exceed {MAX_CLAIMS} bytes; name fewer paths");
            return Err(refuse(FailureCode::Limit, why));
        }
        let listed = claimed.paths.len() + claimed.log.as_ref().map_or(0, |log| log.gaps.len());
        if state.listed + listed > MAX_LISTED {
            let why = format!("the session's claims list more than {MAX_LISTED} paths and gaps; name fewer");
            return Err(refuse(FailureCode::Limit, why));
        }
        state.claims += size;
        state.listed += listed;
        Ok(())
    }

    /// The largest frame that makes sense: a commit of all that there is. Memory is taken for no other.
    pub(crate) fn largest_frame(&self) -> usize {
        (8 + MAX_DATA).max(COMMIT + COMMIT_ENTRY * self.state().artifacts.len())
    }

    /// Seals the session over exactly `entries`, or gives the receipt again.
    pub(crate) async fn commit(
        &self,
        mut entries: Vec<Entry>,
        certificate: Option<Certificate>,
    ) -> Result<Envelope, Failure> {
        entries.sort();
        if let Some(certificate) = &certificate {
            let meant = self.sealer.is_meant(self, certificate);
            meant.map_err(|error| refuse(FailureCode::State, error.to_string()))?;
        }
        let mut seal = self.seal.lock().await;
        if seal.is_none() {
            let records = self.close(&entries)?;
            // No artifact begins any more, and a manifest may be large.
            self.store.parts.release();
            let made = self.sealer.seal(self, entries.clone(), records, certificate.clone());
            *seal = Some(made.map_err(|error| refuse(FailureCode::Storage, error.to_string()))?);
        }
        match seal.as_mut() {
            Some(seal) if seal.certificate != certificate => {
                Err(refuse(FailureCode::State, "the session is sealed with another certificate".to_owned()))
            }
            Some(seal) if seal.entries == entries => seal.write(&self.store).await,
            _ => Err(refuse(FailureCode::State, "the session is sealed over other artifacts".to_owned())),
        }
    }

    /// Lets nothing begin any more, if what is stored is exactly `entries`.
    fn close(&self, entries: &[Entry]) -> Result<Vec<ArtifactRecord>, Failure> {
        let mut state = self.state();
        if let Some(name) = state.open().next() {
            return Err(refuse(FailureCode::State, format!("artifact '{name}' is still under way")));
        }
        let stored: Vec<(Entry, &ArtifactRecord)> = state.stored().collect();
        if stored.is_empty() {
            return Err(refuse(
                FailureCode::State,
                "nothing is stored; an empty backup is not a backup".to_owned(),
            ));
        }
        if let Some(why) = difference(entries, stored.iter().map(|(entry, _)| entry)) {
            return Err(refuse(FailureCode::State, why));
        }
        let records = stored.into_iter().map(|(_, record)| record.clone()).collect();
        state.sealing = true;
        Ok(records)
    }

    /// Keeps how an artifact ended.
    fn settle(&self, ingest: &Ingest, outcome: &Outcome) {
        let mut state = self.state();
        let name = ingest.name.clone();
        match outcome {
            Outcome::Stored(stored) => {
                tracing::info!(artifact = %name, bytes = stored.bytes, objects = stored.objects.len(), "stored");
                let mut observed = observed(stored);
                for Finding { check, count, example, .. } in &observed.findings {
                    tracing::warn!(artifact = %name, check, count, example, "flagged");
                }
                state.bound(&mut observed.findings);
                state.measure(&self.rules, &name);
                let record = ArtifactRecord { observed, claimed: stored.claimed.clone() };
                state.artifacts.insert(name, Artifact::Stored(Box::new(record)));
            }
            Outcome::Rejected(rejected) => {
                tracing::warn!(artifact = %name, check = rejected.check, reason = rejected.reason, "rejected");
                state.bytes = state.bytes.saturating_sub(ingest.received());
                state.artifacts.insert(name, Artifact::Rejected(rejected.clone()));
            }
            Outcome::Failed(failure) => {
                tracing::warn!(artifact = %name, code = ?failure.code, reason = failure.message, "not stored");
                state.bytes = state.bytes.saturating_sub(ingest.received());
                state.artifacts.remove(&name);
            }
        }
    }

    /// What `Accepted` says of a stored artifact; the same however often it is asked.
    pub(crate) fn accepted(&self, name: &ArtifactName, observed: &Observed) -> Accepted {
        let Observed { objects, bytes, sha256, verdict, findings, .. } = observed.clone();
        let accepted = Accepted { name: name.clone(), objects, bytes, sha256, verdict, findings };
        accepted.in_words_of(self.orders.revision)
    }

    /// What is stored of each source, for the next run to be compared with.
    pub(crate) fn sources(&self) -> Sources {
        self.state().sources.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps the manifest within its bound: past [`MAX_FINDINGS`] no example is kept, past twice that the verdict alone.
    fn bound(&mut self, findings: &mut Vec<Finding>) {
        let size = |findings: &[Finding]| serde_json::to_vec(findings).map_or(usize::MAX, |json| json.len());
        if self.findings.saturating_add(size(findings)) > MAX_FINDINGS {
            for finding in findings.iter_mut() {
                finding.example.clear();
            }
        }
        if self.findings.saturating_add(size(findings)) > 2 * MAX_FINDINGS {
            findings.clear();
        }
        self.findings += size(findings);
    }

    /// Adds what the artifact came to. Sources past the bound are not measured.
    fn measure(&mut self, rules: &Result<Arc<Rules>, String>, name: &ArtifactName) {
        let measures = rules.as_ref().ok().and_then(|rules| rules.take_measures(name));
        let (Some(measures), Some(source)) = (measures, source_of(name)) else { return };
        if self.sources.len() < MAX_SOURCES || self.sources.contains_key(&source) {
            self.sources.entry(source).or_default().add(&measures);
        }
    }

    fn open(&self) -> impl Iterator<Item = &ArtifactName> {
        self.artifacts
            .iter()
            .filter(|(_, artifact)| matches!(artifact, Artifact::Open(_)))
            .map(|(name, _)| name)
    }

    fn stored(&self) -> impl Iterator<Item = (Entry, &ArtifactRecord)> {
        self.artifacts.iter().filter_map(|(name, artifact)| match artifact {
            Artifact::Stored(record) => {
                let Observed { bytes, sha256, .. } = &record.observed;
                Some((Entry { name: name.clone(), bytes: *bytes, sha256: sha256.clone() }, &**record))
            }
            _ => None,
        })
    }
}

pub(crate) fn observed(stored: &Stored) -> Observed {
    let Stored { objects, bytes, sha256, report, .. } = stored.clone();
    let measures = report.as_ref().map(|report| report.measures);
    let (original, findings) =
        report.map_or_else(Default::default, |report| (report.original, report.findings));
    let (original_bytes, original_sha256) = original.unzip();
    let verdict = if findings.is_empty() { Verdict::Accepted } else { Verdict::Flagged };
    let accepted_at = Timestamp::now();
    Observed {
        objects,
        bytes,
        sha256,
        accepted_at,
        verdict,
        original_bytes,
        original_sha256,
        findings,
        measures,
    }
}

pub(crate) fn refuse(code: FailureCode, message: String) -> Failure {
    Failure { code, message }
}

/// In words, the first difference between what the client commits and what is stored. Both are sorted.
fn difference<'a>(committed: &'a [Entry], stored: impl Iterator<Item = &'a Entry>) -> Option<String> {
    let stored: Vec<&Entry> = stored.collect();
    if let Some(extra) = committed.iter().find(|entry| stored.binary_search(entry).is_err()) {
        return Some(format!(
            "the commit names '{}' with {} bytes, which is not what is stored",
            extra.name, extra.bytes
        ));
    }
    if let Some(missing) = stored.iter().find(|entry| committed.binary_search(entry).is_err()) {
        return Some(format!("the commit does not name '{}', which is stored", missing.name));
    }
    (committed.len() != stored.len()).then(|| "the commit names an artifact twice".to_owned())
}
