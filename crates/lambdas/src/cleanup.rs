//! `cleanup`: ends sessions, for whoever asks.
//!
//! The cluster asks again until nothing is left, so it gets an answer at once. Nobody asks again after an event, so
//! then this goes on, with short waits, while its time lasts; the sweep does what is left after that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use drawbridge_protocol::{CleanupAnswer, CleanupRequest, SessionId, Version, session::CleanupOutcome};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tracing::{error, info, warn};

use crate::{
    config::Stack,
    destroy::Destroyer,
    error::Error,
    events::{BadRequest, CleanupEvent},
    machines::{Ec2ErrorKind, Of},
    names::InstanceId,
    state::{Moment, Remains},
    store::Loaded,
    sweep::Tally,
};

/// What of an invocation's time is kept for the last pass.
const MARGIN: SignedDuration = SignedDuration::from_secs(8);
/// What of a sweep's time is kept for unfinished uploads.
const FOR_UPLOADS: SignedDuration = SignedDuration::from_secs(20);
/// How long before its deadline a session's marker counts: a box puts it by its own clock, which NTP keeps to much
/// less, and whoever puts it for another's session gains no more than this.
pub(crate) const MARKER_TOLERANCE: SignedDuration = SignedDuration::from_mins(1);

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Ends sessions, for whoever asks.
pub struct Cleaner {
    pub stack: Stack,
    pub destroyer: Destroyer,
    /// Between two passes over what is still there.
    pub pause: Duration,
    pub clock: Clock,
}

/// The sessions that an event is about, each with its machine where that went down by itself.
type Due = BTreeMap<SessionId, Option<InstanceId>>;

/// The answer: to a request as the protocol has it, to an event for the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    Request(CleanupAnswer),
    Event(Swept),
}

/// What became of the sessions that an event or the sweep was about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    pub destroyed: BTreeSet<SessionId>,
    /// Not within this invocation's time, or not without an error.
    pub left: BTreeSet<SessionId>,
    /// What a sweep found, how often each. Nothing when it was no sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Tally>,
}

impl Cleaner {
    /// Does what the event asks for.
    pub async fn handle(&self, event: CleanupEvent, moment: Moment) -> Result<Answer, Error> {
        let alone =
            |sessions: BTreeSet<SessionId>| sessions.into_iter().map(|session| (session, None)).collect();
        let due: Due = match event {
            CleanupEvent::Request(request) => {
                return self.answer(*request, moment).await.map(Answer::Request);
            }
            CleanupEvent::BadRequest(BadRequest { session, message }) => {
                return Ok(Answer::Request(answer(session, CleanupOutcome::Refused { message })));
            }
            CleanupEvent::Ended(sessions) => self.over(sessions, moment.now).await?,
            CleanupEvent::Gone(instance) => {
                let session = self.session_of(&instance).await?;
                session.map(|session| (session, Some(instance))).into_iter().collect()
            }
            CleanupEvent::Nothing => Due::new(),
            CleanupEvent::Sweep => {
                let mut survey = self.survey(moment.now).await?;
                let due = alone(std::mem::take(&mut survey.due));
                let ending = Moment { until: moment.until - FOR_UPLOADS, ..moment };
                let swept = self.end_all(due, ending).await;
                // Here, since boxes decide how long the rest takes.
                self.destroyer.store.mark_sweep((self.clock)()).await?;
                self.abort_uploads_of_nobody(&mut survey, moment).await;
                return Ok(Answer::Event(Swept { found: Some(survey.tally), ..swept }));
            }
        };
        Ok(Answer::Event(self.end_all(due, moment).await))
    }

    async fn answer(&self, request: CleanupRequest, moment: Moment) -> Result<CleanupAnswer, Error> {
        // First of all: what it is read from goes with the session.
        if let Some(receipt) = &request.receipt {
            self.destroyer.remember(&request.session, receipt).await;
        }
        let outcome = self.destroyer.destroy(&request.session, Remains::default(), None, moment.now).await?;
        Ok(answer(request.session, outcome))
    }

    /// Those of the sessions whose time is up. A marker alone ends nothing: every box of the cluster may put every
    /// session's. S3 tells of one once, so one that came early is spent, and its session is left to the cluster, to
    /// EC2's event and to the sweep; the sweep also judges what shows no deadline.
    async fn over(&self, sessions: Vec<SessionId>, now: Timestamp) -> Result<Due, Error> {
        let mut due = Due::new();
        for session in sessions {
            match self.deadline_of(&session).await? {
                Some(deadline) if now + MARKER_TOLERANCE >= deadline => {
                    let instance = self.instance_of(&session).await;
                    due.insert(session, instance);
                }
                Some(deadline) => warn!(%session, %deadline, "ignored a marker that came too early"),
                None => warn!(%session, "ignored a marker of a session that shows no deadline"),
            }
        }
        Ok(due)
    }

    /// As the saved state says; where there is none that can be read, as the slot says. EC2 is not asked: markers can be
    /// put without end, and its limits are the whole account's.
    async fn deadline_of(&self, session: &SessionId) -> Result<Option<Timestamp>, Error> {
        if let Loaded::Session(saved) = self.destroyer.store.load(session).await? {
            return Ok(Some(saved.session.deadline));
        }
        let slots = self.destroyer.store.slots().await?;
        let slot = slots.into_iter().filter_map(|taken| taken.slot).find(|slot| slot.session == *session);
        Ok(slot.map(|slot| slot.deadline))
    }

    /// The session of an instance of this stack.
    async fn session_of(&self, instance: &InstanceId) -> Result<Option<SessionId>, Error> {
        match self.destroyer.machines.instance(instance).await {
            Ok(instance) => Ok(instance.session),
            Err(error) if error.kind == Ec2ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The machine of a session, while EC2 shows it. It is only told to people: that it is not found ends nothing.
    async fn instance_of(&self, session: &SessionId) -> Option<InstanceId> {
        let instances = self.destroyer.machines.instances(Of::Session(session)).await;
        instances.ok()?.into_iter().next().map(|instance| instance.id)
    }

    /// How long something new may be begun.
    pub(crate) fn time_left(&self, moment: Moment) -> SignedDuration {
        moment.until.duration_since((self.clock)() + MARGIN)
    }

    /// Passes over the sessions until nothing is left of any, or the time is up. One session's error does not
    /// keep the others.
    pub(crate) async fn end_all(&self, mut left: Due, moment: Moment) -> Swept {
        let mut destroyed = BTreeSet::new();
        loop {
            for (session, gone) in left.clone() {
                let now = (self.clock)();
                match self.destroyer.destroy(&session, Remains::default(), gone.as_ref(), now).await {
                    Ok(CleanupOutcome::Destroyed) => {
                        left.remove(&session);
                        destroyed.insert(session);
                    }
                    Ok(_) => {}
                    Err(error) => error!(%session, %error, "a session could not be destroyed"),
                }
                if (self.clock)() + MARGIN >= moment.until {
                    break;
                }
            }
            let pause = SignedDuration::try_from(self.pause).unwrap_or_default();
            if left.is_empty() || (self.clock)() + pause + MARGIN >= moment.until {
                let left: BTreeSet<_> = left.into_keys().collect();
                info!(?destroyed, ?left, "ended");
                return Swept { destroyed, left, found: None };
            }
            tokio::time::sleep(self.pause).await;
        }
    }
}

impl fmt::Debug for Cleaner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleaner").field("stack", &self.stack).finish_non_exhaustive()
    }
}

fn answer(session: SessionId, outcome: CleanupOutcome) -> CleanupAnswer {
    CleanupAnswer { version: Version, session, outcome }
}
