//! What the newest stored run of each series came to, under `baselines/` of the state bucket. The box cannot read, so
//! `create` hands it over; the cluster cannot be believed, so `cleanup` takes it from a receipt that the box signed.
//!
//! It is an aid of the checks: that it is missing, old or could not be written keeps nobody from a backup or from an end.

use drawbridge_protocol::{
    Baseline, Envelope, JobRef, ReadyReport, Receipt, SeriesName, SessionId, Version, json,
    measures::{MAX_BASELINE, check_sources},
};
use tracing::{info, warn};

use crate::{
    destroy::Destroyer,
    error::Error,
    names::key,
    state::Session,
    store::{Condition, Loaded, Put, Store, StoreError, to_json},
};

/// How often a write is tried against another cleanup's.
const TRIES: usize = 3;

impl Store {
    /// The newest stored run of a job's series. One that cannot be read counts as none: the next run replaces it.
    pub async fn baseline(
        &self,
        job: &JobRef,
        series: Option<&SeriesName>,
    ) -> Result<Option<Baseline>, StoreError> {
        Ok(self.kept(&key::baseline(job, series)).await?.0)
    }

    /// The baseline at `key`, and the ETag that the next one must replace.
    async fn kept(&self, key: &str) -> Result<(Option<Baseline>, Option<String>), StoreError> {
        let Some(object) = self.0.get(key, MAX_BASELINE).await? else { return Ok((None, None)) };
        match json::parse::<Baseline>("baseline", &object.bytes, MAX_BASELINE) {
            Ok(baseline) => Ok((Some(baseline), Some(object.etag))),
            Err(why) => {
                warn!(key, %why, "a baseline that cannot be read");
                Ok((None, Some(object.etag)))
            }
        }
    }

    /// Puts `run` where it is newer than what is there.
    async fn keep_baseline(&self, key: &str, run: &Baseline) -> Result<bool, StoreError> {
        for _ in 0..TRIES {
            let (kept, etag) = self.kept(key).await?;
            let Some(next) = Baseline::after(kept.as_ref(), run.clone()) else { return Ok(false) };
            let condition = etag.as_deref().map_or(Condition::Absent, Condition::Matches);
            if let Put::Written(_) = self.0.put(key, to_json(key, &next)?, condition).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Destroyer {
    /// Keeps what the receipt says of the job's sources, if it is this session's. Called again it changes nothing.
    pub(crate) async fn remember(&self, session: &SessionId, receipt: &Envelope) {
        match self.try_to_remember(session, receipt).await {
            Ok(Some(sources)) => info!(%session, sources, "the baseline of the series is kept"),
            Ok(None) => {}
            Err(error) => warn!(%session, %error, "the baseline of the series is not kept"),
        }
    }

    async fn try_to_remember(&self, session: &SessionId, receipt: &Envelope) -> Result<Option<usize>, Error> {
        let Loaded::Session(saved) = self.store.load(session).await? else { return Ok(None) };
        let Some(report) = self.store.report(session).await? else { return Ok(None) };
        let receipt = match verified(&saved.session, &report, receipt) {
            Ok(receipt) => receipt,
            Err(why) => {
                warn!(%session, why, "the receipt is not this session's: no baseline is taken from it");
                return Ok(None);
            }
        };
        let Receipt { sealed_at, sources, .. } = receipt;
        if sources.is_empty() {
            return Ok(None);
        }
        let (count, key) = (sources.len(), key::baseline(&saved.session.job, saved.session.series.as_ref()));
        let run = Baseline { version: Version, session: session.clone(), sealed_at, sources };
        Ok(self.store.keep_baseline(&key, &run).await?.then_some(count))
    }
}

/// The receipt, if the session's own box signed it over this session; in words, if not. The box's key is the one that it
/// put to the state bucket itself, write-once, so it holds with a certificate and without.
fn verified(session: &Session, report: &ReadyReport, envelope: &Envelope) -> Result<Receipt, String> {
    if report.session != session.session {
        return Err(format!("the box's report is of session {}", report.session));
    }
    if session.phase.remains().instance.is_some_and(|instance| instance.as_str() != report.instance) {
        return Err(format!("the box's report is of instance {}", report.instance));
    }
    let receipt = Receipt::verify(envelope, &report.session_key).map_err(|error| error.to_string())?;
    let agrees = [
        ("session", receipt.session == session.session),
        ("job", receipt.job == session.job),
        ("client key", receipt.client_key == session.client_key.fingerprint()),
        // A receipt from the future would keep every later run from being kept.
        ("time", receipt.sealed_at <= session.deadline),
    ];
    if let Some((what, _)) = agrees.iter().find(|(_, agrees)| !agrees) {
        return Err(format!("the receipt's {what} is not the session's"));
    }
    check_sources(&receipt.sources).map_err(|error| error.to_string())?;
    Ok(receipt)
}
