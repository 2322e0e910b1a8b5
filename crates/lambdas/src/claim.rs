//! Takes one of the stack's slots for a session and saves the session's first state.

use drawbridge_protocol::{CreateRequest, Revision, Version, session::Refusal};
use jiff::Timestamp;
use tracing::{error, info, warn};

use crate::{
    create::{Creator, Interrupt, Step, refused},
    error::Error,
    names::key,
    quota::Today,
    state::{Moment, Phase, Remains, Session, Slot},
    store::{Loaded, Saved, TakenSlot},
};

/// Whether a session has a slot.
pub(crate) enum Claim {
    Held(Box<Saved>),
    /// All are taken.
    NoSlot,
}

impl Creator {
    /// Why no box is made for anybody: no slots, or an administrator's stop.
    pub(crate) async fn why_stopped(&self) -> Result<Option<String>, Error> {
        if self.config.max_boxes == 0 {
            return Ok(Some("the stack makes no boxes: its parameter MaxBoxes is 0".to_owned()));
        }
        let stopped = self.store().stopped().await?;
        Ok(stopped.map(|why| {
            let why = if why.is_empty() { "no reason is given".to_owned() } else { why };
            format!("the stack makes no boxes while '{}' is in its state bucket: {why}", key::STOP)
        }))
    }

    /// Takes a slot and saves the session with it.
    pub(crate) async fn claim(
        &self,
        request: &CreateRequest,
        revision: Revision,
        moment: Moment,
    ) -> Step<Claim> {
        let Some((number, deadline)) = self.take_slot(request, moment).await? else {
            return Ok(Claim::NoSlot);
        };
        // With a slot in hand: who waits for one is not counted again and again.
        let max = self.config.max_sessions_per_day;
        if let Today::Full { again_at } = self.store().count(&request.session, max, moment.now).await? {
            self.store().free_slots_of(&request.session, None).await?;
            warn!(session = %request.session, max, "the day's sessions are used up");
            let message = format!(
                "the stack's {max} sessions of this UTC day are used up; it opens again at {again_at}"
            );
            return Err(Interrupt::Answer(refused(Refusal::DailyQuota, message)));
        }
        let session = Session {
            version: Version,
            session: request.session.clone(),
            job: request.job.clone(),
            client_key: request.client_key.clone(),
            series: request.series.clone(),
            slot: number,
            deadline,
            saved_at: moment.now,
            in_flight_until: None,
            unanswered: false,
            phase: Phase::Claimed,
            certificate: None,
            revision,
        };
        let saved = match self.store().save(session, None).await? {
            Some(saved) => saved,
            // Another call of create saved it first, maybe with another slot.
            None => match self.store().load(&request.session).await? {
                Loaded::Session(saved) => {
                    self.store().free_slots_of(&request.session, Some(saved.session.slot)).await?;
                    *saved
                }
                _ => return Err(Interrupt::Overtaken(Remains::default())),
            },
        };
        // Cleanup puts the tombstone and then looks for the state; we save the state and then look for the
        // tombstone. So one of the two sees the other, and a closed session never gets a box.
        if self.store().is_closed(&request.session).await? {
            return Err(Interrupt::Overtaken(Remains::default()));
        }
        info!(session = %request.session, namespace = request.job.namespace, job = request.job.name, slot = saved.session.slot, "claimed");
        Ok(Claim::Held(Box::new(saved)))
    }

    /// The slot's number and the deadline that stands in it: a call that died after taking it has set both.
    async fn take_slot(&self, request: &CreateRequest, moment: Moment) -> Step<Option<(u32, Timestamp)>> {
        let mut taken = Vec::new();
        for slot in self.store().slots().await? {
            match &slot.slot {
                Some(held) if held.session == request.session => {
                    return Ok(Some((slot.number, held.deadline)));
                }
                _ if self.reclaim(&slot, moment).await => {}
                _ => taken.push(slot.number),
            }
        }
        let deadline = moment.now + self.config.session;
        let slot = Slot { version: Version, session: request.session.clone(), deadline };
        for number in (0..self.config.max_boxes).filter(|number| !taken.contains(number)) {
            if self.store().take_slot(number, &slot).await? {
                return Ok(Some((number, deadline)));
            }
        }
        Ok(None)
    }

    /// Makes one pass at the session of a slot whose deadline and grace are past. Whether the slot may be free now: who
    /// asks for one is not to suffer for what another's box left.
    async fn reclaim(&self, taken: &TakenSlot, moment: Moment) -> bool {
        let ended = match &taken.slot {
            None => self.store().free_slot(taken).await.map_err(Error::from),
            Some(held) if moment.now < held.deadline + self.config.stack.grace => return false,
            Some(held) => {
                info!(session = %held.session, slot = taken.number, "ending a session that is past its deadline and grace");
                self.destroyer.destroy(&held.session, Remains::default(), None, moment.now).await.map(|_| ())
            }
        };
        if let Err(error) = ended {
            error!(slot = taken.number, %error, "a slot could not be reclaimed");
        }
        true
    }
}
