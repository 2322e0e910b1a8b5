//! The steps that ask AWS for a box or for its end, and the one that begins to use it.

use drawbridge_protocol::{
    CleanupRequest, CreateRequest, Revisions, SeriesName, Version,
    session::{CleanupOutcome, CreateOutcome, ReadyBox, Refusal, Waiting},
};
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use super::{Next, Work};
use crate::{
    api::{ReceiptStatus, SessionStatus},
    broker::{BrokerError, Function, skew},
    controller::{
        ReconcileError, Spoken,
        backoff::Backoff,
        backupjob::{
            local::{Closing, Opening, Ours},
            plan::later,
            series,
            transfer::{self, Crossing},
        },
    },
    fault::Fault,
    transfer::Target,
};

/// Waits between questions to AWS that failed.
const BROKER_BACKOFF: Backoff =
    Backoff { first: std::time::Duration::from_secs(1), longest: std::time::Duration::from_secs(30) };
/// In a session's first minute, when most boxes come up, AWS is asked at least this often, in seconds.
const EAGER: i64 = 1;
/// Later, and whatever the answer says, at least this often.
const PATIENT: i64 = 10;

impl Work<'_> {
    pub(super) async fn ask_for_box(&self) -> Result<Next, ReconcileError> {
        let (uid, session) = (self.uid(), self.session()?);
        let Some(Ours { create: function, key, receipt_key }) = self.context.attempts.ours(&uid, &session.id)
        else {
            return Ok(Next::Now);
        };
        let request = CreateRequest {
            version: Version,
            session: self.session_id()?,
            client_key: key.public().clone(),
            job: self.reference()?,
            // The API server's schema admits nothing else.
            series: self.job.spec.series.clone().and_then(|series| SeriesName::try_from(series).ok()),
            speaks: Some(Revisions::OURS),
        };
        let answer = skew::create(self.context.broker.as_ref(), &function, &request).await;
        self.context.metrics.asked("create", answer.as_ref().err().map(BrokerError::kind));
        let opening = match answer {
            Ok(CreateOutcome::Ready(ready)) => {
                self.context.hear(&self.job.spec.vault, function, Spoken::Revision(ready.revision));
                let target = Target::new(&ready, request.session, request.job).pinned(receipt_key);
                match target.believes(ready.certificate.as_ref(), key.public()) {
                    Ok(()) => Opening::Ready(ready),
                    Err(error) => {
                        warn!(session = session.id, %error, "the box is not vouched for");
                        Opening::Unverified { message: error.to_string() }
                    }
                }
            }
            Ok(CreateOutcome::Refused { reason, message }) => {
                self.context.metrics.refused(reason.name());
                if reason == Refusal::VersionSkew {
                    self.context.hear(&self.job.spec.vault, function, Spoken::Nothing(message.clone()));
                }
                Opening::Refused { reason, message }
            }
            Ok(CreateOutcome::Pending { retry_after_seconds, waiting_for }) => {
                let again_at = self.again_at(session, retry_after_seconds);
                let since = match &self.seen.local.opening {
                    Opening::Pending { waiting_for: before, since, .. } if *before != Waiting::Slot => *since,
                    _ => self.now,
                };
                Opening::Pending { waiting_for, since, again_at }
            }
            Err(error) => {
                warn!(session = session.id, kind = error.kind(), %error, "create could not be asked");
                let errors = match &self.seen.local.opening {
                    Opening::Failed { errors, .. } => errors + 1,
                    _ => 1,
                };
                let needs_a_person = error.needs_a_person();
                Opening::Failed {
                    fault: Fault::from(&error),
                    needs_a_person,
                    errors,
                    again_at: self.after(errors),
                }
            }
        };
        self.context.attempts.set_opening(&uid, &session.id, opening);
        Ok(Next::Now)
    }

    pub(super) async fn cross(&self, ready: &ReadyBox) -> Result<Next, ReconcileError> {
        let (uid, session) = (self.uid(), self.session()?);
        let Some(Ours { key, receipt_key, .. }) = self.context.attempts.ours(&uid, &session.id) else {
            return Ok(Next::Now);
        };
        let before = series::before(self.job, &self.context.jobs.state());
        let job = self.reference()?;
        let bases = series::bases(&self.context.client, &job.namespace, before).await?;
        self.write(self.draft().crosses(ready)).await?;
        let crossing = Crossing {
            uid,
            job,
            session: self.session_id()?,
            sources: self.job.spec.sources.clone(),
            bases,
            ready: ready.clone(),
            key,
            receipt_key,
            artifacts: self.job.status.as_ref().map_or(0, |status| status.artifacts.total.unsigned_abs()),
        };
        transfer::spawn(self.context, crossing);
        info!(session = session.id, address = %ready.address, instance = ready.instance, "the box is ready");
        self.normal("Cross", "BoxReady", &format!("box {} listens at {}", ready.instance, ready.address))
            .await;
        Ok(Next::At(later(self.now, SignedDuration::from_secs(2))))
    }

    pub(super) async fn ask_to_close(&self) -> Result<Next, ReconcileError> {
        let (uid, session) = (self.uid(), self.session()?);
        let function = Function { region: session.region.clone(), name: session.cleanup_function.clone() };
        let receipt = self.job.status.as_ref().and_then(|status| status.receipt.as_ref());
        let receipt = receipt.filter(|receipt| receipt.session == session.id).map(ReceiptStatus::signed);
        let request = CleanupRequest { version: Version, session: self.session_id()?, receipt };
        let answer = skew::cleanup(self.context.broker.as_ref(), &function, &request).await;
        self.context.metrics.asked("cleanup", answer.as_ref().err().map(BrokerError::kind));
        let failed = |message: String| {
            let errors = match &self.seen.local.closing {
                Closing::Failed { errors, .. } => errors + 1,
                _ => 1,
            };
            warn!(session = session.id, why = message, "the session could not be closed yet");
            Closing::Failed { message, errors, again_at: self.after(errors) }
        };
        let closing = match answer {
            Ok(CleanupOutcome::Destroyed) => Closing::Destroyed,
            Ok(CleanupOutcome::Destroying { retry_after_seconds, remaining }) => {
                let seconds = i64::from(retry_after_seconds).clamp(EAGER, PATIENT);
                Closing::Destroying {
                    remaining,
                    again_at: later(self.now, SignedDuration::from_secs(seconds)),
                }
            }
            Ok(CleanupOutcome::Refused { message }) => failed(format!("cleanup refused: {message}")),
            Err(error) => failed(error.to_string()),
        };
        self.context.attempts.set_closing(&uid, &session.id, closing);
        Ok(Next::Now)
    }

    fn again_at(&self, session: &SessionStatus, seconds: u32) -> Timestamp {
        let eager = self.now < later(session.opened_at, SignedDuration::from_mins(1));
        let longest = if eager { EAGER } else { PATIENT };
        later(self.now, SignedDuration::from_secs(i64::from(seconds).clamp(EAGER, longest)))
    }

    fn after(&self, errors: u32) -> Timestamp {
        let delay = BROKER_BACKOFF.delay(errors, &self.uid());
        later(self.now, SignedDuration::try_from(delay).unwrap_or(SignedDuration::from_secs(30)))
    }
}
