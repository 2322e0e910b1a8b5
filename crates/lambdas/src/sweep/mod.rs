//! The sweep: what is on one side only, and which sessions should have ended and have not.
//!
//! It looks from both sides. From what exists: instances, interfaces, groups, boot objects and slots of sessions without
//! state, or of none. From the state: sessions past their deadline and grace, those that somebody began to close, and
//! those whose machine, interface, group or slot is not there. When those are ended it looks at unfinished uploads.

mod finding;
mod sightings;
mod strays;
mod uploads;

use std::collections::BTreeSet;

use drawbridge_protocol::SessionId;
use jiff::Timestamp;
use tracing::{error, info, warn};

pub use self::finding::{Finding, Tally};
use self::sightings::Seen;
use crate::{
    cleanup::Cleaner,
    destroy::VISIBLE_AFTER,
    error::Error,
    machines::{Ec2ErrorKind, InstanceState, Of},
    names::InstanceId,
    state::{Phase, Session},
    store::Loaded,
};

/// What the sweep found: sessions to end, and how often what was wrong.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) due: BTreeSet<SessionId>,
    pub(crate) tally: Tally,
}

impl Survey {
    fn found(&mut self, finding: Finding) {
        *self.tally.entry(finding).or_default() += 1;
    }

    fn is_due(&mut self, session: &SessionId, finding: Finding) {
        info!(%session, why = finding.name(), "due");
        self.found(finding);
        self.due.insert(session.clone());
    }
}

impl Cleaner {
    /// Looks at everything but uploads, removes what no session owns, and says which sessions should have ended. What is wrong
    /// with one session does not keep the others; that it could not be judged is a finding.
    pub(crate) async fn survey(&self, now: Timestamp) -> Result<Survey, Error> {
        let mut survey = Survey::default();
        let seen = self.look().await?;
        self.remove_strays(seen.strays, &mut survey).await;
        for (session, seen) in seen.sessions {
            if let Err(error) = self.judge(&session, &seen, now, &mut survey).await {
                error!(%session, %error, "the sweep could not judge a session");
                survey.found(Finding::Unjudged);
            }
        }
        Ok(survey)
    }

    async fn judge(
        &self,
        session: &SessionId,
        seen: &Seen,
        now: Timestamp,
        survey: &mut Survey,
    ) -> Result<(), Error> {
        let past = |deadline: Timestamp| now >= deadline + self.stack.grace;
        let loaded = self.destroyer.store.load(session).await?;
        let deadline = match &loaded {
            Loaded::Session(saved) => Some(saved.session.deadline),
            Loaded::Nothing if seen.made => None,
            Loaded::Nothing | Loaded::Unreadable(_) => seen.deadline,
        };
        if deadline.is_some_and(past) {
            survey.is_due(session, Finding::Expired);
        } else if matches!(&loaded, Loaded::Session(saved) if matches!(saved.session.phase, Phase::Closing(_)))
        {
            survey.is_due(session, Finding::Closing);
        } else if self.destroyer.store.is_closed(session).await? {
            self.leftover(session, Finding::Closed, survey).await?;
        } else {
            match loaded {
                Loaded::Session(saved) => self.compare(&saved.session, seen, now, survey).await?,
                Loaded::Nothing if seen.made => self.leftover(session, Finding::NoState, survey).await?,
                // A slot alone: its session may be about to be saved.
                Loaded::Nothing => {}
                Loaded::Unreadable(_) if seen.deadline.is_none() && seen.instances.is_empty() => {
                    survey.is_due(session, Finding::Unreadable);
                }
                Loaded::Unreadable(why) => {
                    warn!(%session, why, "a saved state cannot be read");
                    survey.found(Finding::UnreadableInTime);
                }
            }
        }
        Ok(())
    }

    /// Something without state, unless it went while we looked.
    async fn leftover(&self, session: &SessionId, why: Finding, survey: &mut Survey) -> Result<(), Error> {
        if self.still_there(session).await? {
            survey.is_due(session, why);
        }
        Ok(())
    }

    /// A session whose time is not over, against what EC2 and the slots have of it.
    async fn compare(
        &self,
        state: &Session,
        seen: &Seen,
        now: Timestamp,
        survey: &mut Survey,
    ) -> Result<(), Error> {
        let store = &self.destroyer.store;
        self.remove_seconds(state, seen, survey).await;
        let slotless = !store.holds_slot(&state.session, state.slot).await?;
        let settled = now >= state.saved_at + VISIBLE_AFTER;
        let missing = if settled { self.missing(state, seen).await? } else { None };
        // Whoever closed it meanwhile took these away in good order.
        if (slotless || missing.is_some()) && store.is_closed(&state.session).await? {
            return Ok(());
        }
        if slotless {
            warn!(session = %state.session, slot = state.slot, "a session without the slot that it names");
            survey.found(Finding::NoSlot);
        }
        if let Some(missing) = missing {
            survey.is_due(&state.session, missing);
        }
        Ok(())
    }

    /// What the state names and EC2 has not: such a session comes to nothing.
    async fn missing(&self, state: &Session, seen: &Seen) -> Result<Option<Finding>, Error> {
        let (machines, remains) = (&self.destroyer.machines, state.phase.remains());
        if let Some(id) = remains.instance
            && !self.runs(&id, seen).await?
        {
            return Ok(Some(Finding::NoInstance));
        }
        if let Some(id) = remains.interface
            && seen.interfaces.iter().all(|interface| interface.id != id)
            && matches!(machines.interface(&id).await, Err(error) if error.kind == Ec2ErrorKind::NotFound)
        {
            return Ok(Some(Finding::NoInterface));
        }
        if let Some(id) = remains.group
            && !seen.groups.contains(&id)
            && machines.groups(Of::Session(&state.session)).await?.iter().all(|group| group.id != id)
        {
            return Ok(Some(Finding::NoGroup));
        }
        Ok(None)
    }

    /// Whether the machine is on its way up or runs.
    async fn runs(&self, id: &InstanceId, seen: &Seen) -> Result<bool, Error> {
        let up = |state: InstanceState| matches!(state, InstanceState::Pending | InstanceState::Running);
        if seen.instances.get(id).copied().is_some_and(up) {
            return Ok(true);
        }
        match self.destroyer.machines.instance(id).await {
            Ok(instance) => Ok(up(instance.state)),
            Err(error) if error.kind == Ec2ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
