//! Destroys one session: all that EC2 has of it, its unfinished uploads, its slot, its state.
//!
//! The order matters. The tombstone comes first, so that no `create` begins; the state is marked as closing next,
//! so that none goes on; what EC2 has follows from the inside out; the state goes last, so that whoever comes after
//! a crash finds what is left. One call makes one pass and never waits, however much boxes left behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use drawbridge_protocol::{ClusterName, ObjectPrefix, SessionId, session::CleanupOutcome};
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::{
    error::Error,
    machines::{Ec2Error, Ec2ErrorKind, Instance, InstanceState, Interface, Machines, Of},
    names::{GroupId, InstanceId, InterfaceId},
    state::{Phase, Remains, Session},
    store::{Loaded, Saved, Store, StoreError},
    uploads::{self, Uploads, cluster_prefix},
};

/// How long EC2 may not show what it has just made.
pub(crate) const VISIBLE_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// How many unfinished uploads are aborted at a session's end.
const ABORTED: usize = 100;
/// How many are looked through for a session's where nobody knows its job.
const LOOKED_THROUGH: usize = 2000;
/// How often a save is tried against a `create` that is at work.
const SAVES: usize = 8;
const RETRY_AFTER_SECONDS: u32 = 1;

/// Ends sessions.
#[derive(Clone)]
pub struct Destroyer {
    pub cluster: ClusterName,
    pub store: Store,
    pub machines: Arc<dyn Machines>,
    pub uploads: Arc<dyn Uploads>,
}

/// What one pass found still there.
#[derive(Default)]
struct Left(Vec<String>);

impl Left {
    fn add(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    fn outcome(self) -> CleanupOutcome {
        CleanupOutcome::Destroying { retry_after_seconds: RETRY_AFTER_SECONDS, remaining: self.0 }
    }
}

impl Destroyer {
    /// One pass over the session. `made` is what the caller made and nobody has saved; `gone` is its machine, when that
    /// went down by itself.
    pub async fn destroy(
        &self,
        session: &SessionId,
        made: Remains,
        gone: Option<&InstanceId>,
        now: Timestamp,
    ) -> Result<CleanupOutcome, Error> {
        self.store.close(session, gone).await?;
        let state = self.mark_closing(session, &made).await?;
        let just_made = made.instance.is_some();
        let young = just_made || state.as_ref().is_some_and(|state| now < state.saved_at + VISIBLE_AFTER);
        let known = made.or(state.as_ref().map(|state| state.phase.remains()).unwrap_or_default());

        let mut left = Left::default();
        self.end_instances(session, known.instance, young, &mut left).await?;
        if left.0.is_empty() {
            self.delete_interfaces(session, known.interface, &mut left).await?;
        }
        if left.0.is_empty() {
            self.delete_groups(session, known.group, &mut left).await?;
        }
        if let Some(until) =
            state.as_ref().and_then(|state| state.in_flight_until).filter(|until| now < *until)
        {
            left.add(format!("a call of create that may be at work until {until}"));
        }
        if !left.0.is_empty() {
            info!(%session, left = ?left.0, "destroying");
            return Ok(left.outcome());
        }
        self.store.free_slots_of(session, None).await?;
        self.leave_no_uploads(session, state.as_ref()).await?;
        self.store.delete_boot(session).await?;
        self.store.delete_session(session).await?;
        info!(%session, "destroyed");
        Ok(CleanupOutcome::Destroyed)
    }

    /// Saves the phase `Closing`, after which no `create` can save anything. Nothing when there is no state.
    async fn mark_closing(&self, session: &SessionId, made: &Remains) -> Result<Option<Session>, Error> {
        for _ in 0..SAVES {
            let Saved { session: state, etag } = match self.store.load(session).await? {
                Loaded::Nothing => return Ok(None),
                Loaded::Unreadable(why) => {
                    warn!(%session, why, "the saved state cannot be read; going by tags alone");
                    return Ok(None);
                }
                Loaded::Session(saved) => *saved,
            };
            let remains = state.phase.remains();
            if matches!(state.phase, Phase::Closing(_)) && remains.clone().or(made.clone()) == remains {
                return Ok(Some(state));
            }
            let phase = Phase::Closing(remains.or(made.clone()));
            // saved_at stays: closing makes nothing that EC2 could take its time to show.
            let closing = Session { phase, ..state };
            if let Some(saved) = self.store.save(closing, Some(&etag)).await? {
                return Ok(Some(saved.session));
            }
        }
        Err(Error::State { session: session.clone(), why: "other calls kept changing it".to_owned() })
    }

    /// Terminates every instance of the session: those with its tags, and the one that the state names.
    async fn end_instances(
        &self,
        session: &SessionId,
        known: Option<InstanceId>,
        young: bool,
        left: &mut Left,
    ) -> Result<(), Error> {
        let mut found = self.machines.instances(Of::Session(session)).await?;
        if let Some(id) = known.filter(|id| found.iter().all(|instance| instance.id != *id)) {
            match self.machines.instance(&id).await {
                Ok(instance) => found.push(instance),
                Err(error) if error.kind == Ec2ErrorKind::NotFound && young => {
                    // EC2 knows it and does not show it yet; it can be terminated all the same, or soon.
                    let gone = [Ec2ErrorKind::NotFound, Ec2ErrorKind::Refused];
                    tolerate(self.machines.terminate(&id).await, &gone)?;
                    left.add(format!("instance {id} (not visible yet)"));
                }
                Err(error) => tolerate(Err(error), &[Ec2ErrorKind::NotFound])?,
            }
        }
        for Instance { id, state, .. } in found {
            match state {
                InstanceState::Terminated => {}
                InstanceState::ShuttingDown => left.add(format!("instance {id} (shutting-down)")),
                _ => {
                    info!(%session, instance = %id, state = state.name(), "terminating");
                    tolerate(self.machines.terminate(&id).await, &[Ec2ErrorKind::NotFound])?;
                    left.add(format!("instance {id} ({})", state.name()));
                }
            }
        }
        Ok(())
    }

    async fn delete_interfaces(
        &self,
        session: &SessionId,
        known: Option<InterfaceId>,
        left: &mut Left,
    ) -> Result<(), Error> {
        let found = self.machines.interfaces(Of::Session(session)).await?;
        let mut interfaces: BTreeMap<InterfaceId, bool> =
            found.into_iter().map(|Interface { id, attachment, .. }| (id, attachment.is_some())).collect();
        if let Some(id) = known {
            interfaces.entry(id).or_insert(false);
        }
        for (id, attached) in interfaces {
            // The machine is gone, so EC2 is about to detach it, or to delete it with the machine.
            let gone = !attached
                && match deleted(self.machines.delete_interface(&id).await)? {
                    Deleted::Gone => true,
                    Deleted::InUse => false,
                    Deleted::Refused(refusal) => match self.machines.interface(&id).await {
                        Err(error) if error.kind == Ec2ErrorKind::NotFound => true,
                        _ => return Err(refusal.into()),
                    },
                };
            if !gone {
                left.add(format!("network interface {id} (in use)"));
            }
        }
        Ok(())
    }

    async fn delete_groups(
        &self,
        session: &SessionId,
        known: Option<GroupId>,
        left: &mut Left,
    ) -> Result<(), Error> {
        let mut groups: BTreeSet<GroupId> = self.groups(session).await?;
        groups.extend(known);
        for id in groups {
            let gone = match deleted(self.machines.delete_group(&id).await)? {
                Deleted::InUse => false,
                Deleted::Refused(refusal) if self.groups(session).await?.contains(&id) => {
                    return Err(refusal.into());
                }
                Deleted::Gone | Deleted::Refused(_) => true,
            };
            if !gone {
                left.add(format!("security group {id} (in use)"));
            }
        }
        Ok(())
    }

    async fn groups(&self, session: &SessionId) -> Result<BTreeSet<GroupId>, Error> {
        let found = self.machines.groups(Of::Session(session)).await?;
        Ok(found.into_iter().map(|group| group.id).collect())
    }

    /// Aborts what the box began and did not complete, as far as that is done soon. The sweep does the rest, as it does with
    /// all that has no session: any box of the cluster may begin more in here, and is not to keep this session from its end.
    async fn leave_no_uploads(&self, session: &SessionId, state: Option<&Session>) -> Result<(), Error> {
        let (prefix, most) = match state {
            Some(state) => {
                (ObjectPrefix::of_session(&self.cluster, &state.job, session)?.as_str().to_owned(), ABORTED)
            }
            // Without state nobody knows the job: the session stands in the keys.
            None => (cluster_prefix(&self.cluster), LOOKED_THROUGH),
        };
        if let Err(error) = self.abort_uploads(session, &prefix, most).await {
            warn!(%session, %error, "its unfinished uploads are left to the sweep");
        }
        Ok(())
    }

    async fn abort_uploads(&self, session: &SessionId, prefix: &str, most: usize) -> Result<(), StoreError> {
        let mut ours = self.uploads.list(prefix, most).await?;
        ours.retain(|upload| upload.session(&self.cluster).as_ref() == Some(session));
        ours.truncate(ABORTED);
        let Some(first) = ours.first() else { return Ok(()) };
        info!(%session, uploads = ours.len(), first = first.key, "aborting unfinished uploads");
        uploads::abort_all(&self.uploads, ours).await
    }
}

impl std::fmt::Debug for Destroyer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Destroyer").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// Takes an error of these kinds for success.
fn tolerate(result: Result<(), Ec2Error>, kinds: &[Ec2ErrorKind]) -> Result<(), Error> {
    match result {
        Err(error) if !kinds.contains(&error.kind) => Err(error.into()),
        _ => Ok(()),
    }
}

/// What became of a deletion.
enum Deleted {
    Gone,
    /// Something still uses it.
    InUse,
    /// We may delete what bears the stack's tag, and what is gone bears none: then EC2 refuses instead of saying that
    /// it is not there, as when another cleanup was faster.
    Refused(Ec2Error),
}

fn deleted(result: Result<(), Ec2Error>) -> Result<Deleted, Error> {
    let Err(error) = result else { return Ok(Deleted::Gone) };
    match error.kind {
        Ec2ErrorKind::NotFound => Ok(Deleted::Gone),
        Ec2ErrorKind::InUse | Ec2ErrorKind::State => Ok(Deleted::InUse),
        Ec2ErrorKind::Refused => Ok(Deleted::Refused(error)),
        _ => Err(error.into()),
    }
}
