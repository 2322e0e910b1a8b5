//! `create`: brings a session one or more steps further and says how far it is. It never waits.
//!
//! Each step does one thing and saves that it did. Two calls may run at once, one may die anywhere, and `cleanup`
//! may come between any two lines: a save that is refused shows it, and whoever was overtaken by a closing ends
//! what it has made itself.

use std::{net::Ipv4Addr, sync::Arc};

use drawbridge_protocol::{
    CreateRequest, ObjectPrefix, Revisions, SessionId, Sha256,
    session::{CreateOutcome, Refusal, Waiting},
};
use tracing::{info, warn};

use crate::{
    certify::Signer,
    claim::Claim,
    config::CreateConfig,
    destroy::Destroyer,
    error::Error,
    machines::{Ec2Error, Ec2ErrorKind, Instance, InstanceState, Machines, Owner},
    names::InterfaceId,
    state::{Machine, Moment, Phase, Remains, Session},
    store::{Loaded, Saved, Store},
};

/// How soon to ask again while something of the box is on its way.
const SOON_SECONDS: u32 = 1;
/// How soon to ask again for a slot: somebody else's session must end first.
const SLOT_SECONDS: u32 = 5;

/// The box's program: its bytes and their digest, read once a Lambda process.
#[derive(Clone, Debug)]
pub struct Program {
    pub bytes: Vec<u8>,
    pub digest: Sha256,
}

/// Makes boxes.
#[derive(Debug)]
pub struct Creator {
    pub config: CreateConfig,
    pub program: Program,
    pub destroyer: Destroyer,
    /// The receipt key; a stack need not have one.
    pub signer: Option<Arc<dyn Signer>>,
}

/// Why a step did not end with a saved state.
#[derive(Debug)]
pub(crate) enum Interrupt {
    /// Somebody else saved first. What this call has made and could not save.
    Overtaken(Remains),
    /// This is the answer.
    Answer(CreateOutcome),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Interrupt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

pub(crate) type Step<T> = Result<T, Interrupt>;

impl Creator {
    /// Answers one request.
    pub async fn answer(&self, request: &CreateRequest, moment: Moment) -> Result<CreateOutcome, Error> {
        let session = &request.session;
        match self.advance(request, moment).await {
            Ok(outcome) | Err(Interrupt::Answer(outcome)) => {
                let outcome = outcome.in_words_of(request.revisions().newest());
                if let CreateOutcome::Refused { .. } = outcome {
                    self.stand_down(session, moment).await;
                }
                Ok(outcome)
            }
            Err(Interrupt::Failed(error)) => {
                // Without an answer nobody knows whether EC2 does what it was asked.
                if !matches!(&error, Error::Ec2(error) if error.kind == Ec2ErrorKind::NoAnswer) {
                    self.stand_down(session, moment).await;
                }
                Err(error)
            }
            Err(Interrupt::Overtaken(made)) => {
                let closed = self.store().is_closed(session).await?;
                if !closed {
                    info!(%session, "another call of create was faster");
                    return Ok(pending(Waiting::Instance));
                }
                warn!(%session, ?made, "closed under way: ending what this call has made");
                self.destroyer.destroy(session, made, None, moment.now).await?;
                self.stand_down(session, moment).await;
                Ok(ended("the session was closed while its box was being made"))
            }
        }
    }

    /// Says in the state that this call is not at work any more, so that cleanup need not wait for its time limit.
    /// It may fail: then cleanup waits.
    async fn stand_down(&self, session: &SessionId, moment: Moment) {
        let Ok(Loaded::Session(saved)) = self.store().load(session).await else { return };
        // Another limit is another call's, and what an earlier one asked of EC2 may still be under way.
        if saved.session.in_flight_until == Some(moment.until) && !saved.session.unanswered {
            let idle = Session { in_flight_until: None, ..saved.session };
            if let Err(error) = self.store().save(idle, Some(&saved.etag)).await {
                warn!(%session, %error, "the state still says that this call is at work");
            }
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.destroyer.store
    }

    pub(crate) fn machines(&self) -> &Arc<dyn Machines> {
        &self.destroyer.machines
    }

    async fn advance(&self, request: &CreateRequest, moment: Moment) -> Step<CreateOutcome> {
        let session = &request.session;
        // Before anything is claimed: a session whose objects can lie nowhere could be neither launched nor closed.
        if let Err(error) = ObjectPrefix::of_session(&self.config.stack.cluster, &request.job, session) {
            return Ok(refused(Refusal::BadRequest, error.to_string()));
        }
        let chosen = match Revisions::OURS.choose(request.revisions()) {
            Ok(chosen) => chosen,
            Err(skew) => return Ok(refused(Refusal::VersionSkew, skew.to_string())),
        };
        // In this order: a state that was loaded before the tombstone was looked for is one that cleanup, which puts
        // the tombstone first, finds and marks; a state saved after that by another call must not be gone on from.
        let loaded = self.store().load(session).await?;
        if self.store().is_closed(session).await? {
            return Ok(match self.store().closed_by(session).await? {
                Some(instance) => {
                    refused(Refusal::BoxEnded, format!("instance {instance} went down by itself"))
                }
                None => ended("the session was closed"),
            });
        }
        let launched = matches!(&loaded, Loaded::Session(saved) if saved.session.phase.is_launched());
        if !launched && let Some(why) = self.why_stopped().await? {
            return Ok(refused(Refusal::Stopped, why));
        }
        let mut saved = match loaded {
            Loaded::Session(saved) => *saved,
            Loaded::Nothing => match self.claim(request, chosen, moment).await? {
                Claim::Held(saved) => *saved,
                Claim::NoSlot => {
                    return Ok(CreateOutcome::Pending {
                        retry_after_seconds: SLOT_SECONDS,
                        waiting_for: Waiting::Slot,
                    });
                }
            },
            Loaded::Unreadable(why) => return Err(Error::State { session: session.clone(), why }.into()),
        };
        let Session { client_key, job, series, revision, .. } = &saved.session;
        // The first revision has no series: a session that a stack of the release before claimed was opened without it.
        let same_series = revision.is_first() || *series == request.series;
        if (client_key, job, same_series) != (&request.client_key, &request.job, true) {
            let message =
                "the session id is in use with another client key or for another job: open a new session";
            return Ok(refused(Refusal::SessionReused, message));
        }
        if moment.now >= saved.session.deadline {
            let message = format!("the session's deadline {} has passed", saved.session.deadline);
            return Ok(refused(Refusal::DeadlinePassed, message));
        }
        let mut found = true;
        loop {
            let phase = saved.session.phase.clone();
            saved = match phase {
                Phase::Claimed => self.prepare(saved, moment).await?,
                Phase::Launching(launch) => self.launch(saved, *launch, found, moment).await?,
                Phase::Launched(machine) => {
                    self.running(&machine).await?;
                    self.make_interface(saved, machine, moment).await?
                }
                Phase::Interfaced { machine, interface } => {
                    self.running(&machine).await?;
                    self.attach(saved, machine, interface, moment).await?
                }
                Phase::Booting { machine, .. } => {
                    let address = self.running(&machine).await?;
                    return self.reported(saved, &machine, address, moment).await;
                }
                Phase::Closing(_) => return Ok(ended("the session is being closed")),
            };
            found = false;
            info!(session = %saved.session.session, phase = saved.session.phase.name(), "saved");
        }
    }

    /// Saves a phase. `makes`: the next call makes something, so until the end of this invocation something may
    /// come into being that nobody has saved.
    pub(crate) async fn save(&self, saved: Saved, phase: Phase, makes: bool, moment: Moment) -> Step<Saved> {
        let covered = saved.session.in_flight_until.is_some_and(|until| until >= moment.until);
        // That a request is unanswered may be news.
        if makes && covered && saved.session.phase == phase && !saved.session.unanswered {
            return Ok(saved);
        }
        let Saved { session, etag } = saved;
        let made = phase.remains();
        // A call that was cut off may still be under way at EC2; its limit stays until this one's is later.
        let in_flight_until =
            makes.then(|| session.in_flight_until.map_or(moment.until, |other| other.max(moment.until)));
        let session = Session { phase, in_flight_until, saved_at: moment.now, ..session };
        self.store().save(session, Some(&etag)).await?.ok_or(Interrupt::Overtaken(made))
    }

    /// The machine's public address once it runs. Answers at once when it does not run yet, or not any more.
    async fn running(&self, machine: &Machine) -> Step<Ipv4Addr> {
        let Instance { id, state, public_address, reason, .. } =
            match self.machines().instance(&machine.instance).await {
                Ok(instance) => instance,
                // Right after RunInstances, EC2 may not show it yet.
                Err(error) if error.kind == Ec2ErrorKind::NotFound => return Err(wait(Waiting::Instance)),
                Err(error) => return Err(error.into()),
            };
        match state {
            InstanceState::Pending => Err(wait(Waiting::Instance)),
            InstanceState::Running => {
                public_address.ok_or_else(|| Error::NoPublicAddress { instance: id }.into())
            }
            InstanceState::Stopped | InstanceState::ShuttingDown | InstanceState::Terminated => {
                let reason = reason.unwrap_or_else(|| "EC2 gives no reason".to_owned());
                let message = format!("instance {id} is {}: {reason}", state.name());
                Err(Interrupt::Answer(refused(Refusal::BoxEnded, message)))
            }
        }
    }

    async fn make_interface(&self, saved: Saved, machine: Machine, moment: Moment) -> Step<Saved> {
        let saved = self.save(saved, Phase::Launched(machine.clone()), true, moment).await?;
        let of_session = crate::machines::Of::Session(&saved.session.session);
        let found = self.machines().interfaces(of_session).await?;
        let ours = found.into_iter().find(|interface| interface.subnet == self.config.private_subnet);
        let interface = if let Some(interface) = ours {
            interface.id
        } else {
            let owner = owner(&saved.session);
            let (subnet, group) = (&self.config.private_subnet, &self.config.private_group);
            self.machines().create_interface(subnet, group, &owner).await.map_err(quota_or_error)?
        };
        self.save(saved, Phase::Interfaced { machine, interface }, false, moment).await
    }

    async fn attach(
        &self,
        saved: Saved,
        machine: Machine,
        interface: InterfaceId,
        moment: Moment,
    ) -> Step<Saved> {
        let described = match self.machines().interface(&interface).await {
            Ok(described) => described,
            Err(error) if error.kind == Ec2ErrorKind::NotFound => return Err(wait(Waiting::Interface)),
            Err(error) => return Err(error.into()),
        };
        let (attachment, goes_with_it) = match described.attachment {
            Some(attachment) => (attachment.id, attachment.delete_on_termination),
            None => match self.machines().attach(&interface, &machine.instance).await {
                Ok(attachment) => (attachment, false),
                // The machine is just starting or just ending, or another call of create is attaching.
                Err(error)
                    if matches!(
                        error.kind,
                        Ec2ErrorKind::State | Ec2ErrorKind::InUse | Ec2ErrorKind::NotFound
                    ) =>
                {
                    return Err(wait(Waiting::Interface));
                }
                Err(error) => return Err(error.into()),
            },
        };
        if !goes_with_it {
            self.machines().delete_on_termination(&interface, &attachment).await?;
        }
        self.save(saved, Phase::Booting { machine, interface }, false, moment).await
    }
}

pub(crate) fn owner(session: &Session) -> Owner {
    Owner { session: session.session.clone(), deadline: session.deadline }
}

/// A used-up quota is an answer, anything else an error.
pub(crate) fn quota_or_error(error: Ec2Error) -> Interrupt {
    match error.kind {
        Ec2ErrorKind::Quota => Interrupt::Answer(refused(Refusal::Quota, error.to_string())),
        _ => error.into(),
    }
}

pub(crate) fn pending(waiting_for: Waiting) -> CreateOutcome {
    CreateOutcome::Pending { retry_after_seconds: SOON_SECONDS, waiting_for }
}

pub(crate) fn wait(waiting_for: Waiting) -> Interrupt {
    Interrupt::Answer(pending(waiting_for))
}

pub(crate) fn refused(reason: Refusal, message: impl Into<String>) -> CreateOutcome {
    CreateOutcome::Refused { reason, message: message.into() }
}

pub(crate) fn ended(message: impl Into<String>) -> CreateOutcome {
    refused(Refusal::SessionEnded, message)
}
