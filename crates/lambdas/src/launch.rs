//! The steps of `create` from a slot to a machine: security group, orders, user data, RunInstances.

use std::time::Duration;

use drawbridge_protocol::{
    ObjectKey, ObjectPrefix, Orders, Version,
    orders::Limits,
    session::{Refusal, Waiting},
};
use tracing::{info, warn};

use crate::{
    create::{Creator, Interrupt, Step, ended, owner, quota_or_error, refused, wait},
    error::Error,
    machines::{Ec2Error, Ec2ErrorKind, Launch, Of},
    names::{GroupId, InstanceId},
    state::{Machine, Moment, Phase, Session},
    store::Saved,
    user_data::{self, Boot},
};

impl Creator {
    /// Makes the security group, puts program and orders, and saves the exact launch request.
    pub(crate) async fn prepare(&self, saved: Saved, moment: Moment) -> Step<Saved> {
        let saved = self.save(saved, Phase::Claimed, true, moment).await?;
        let group = self.ensure_group(&saved.session).await?;
        let launch = self.first_launch(&saved.session, group, moment).await?;
        self.save(saved, Phase::Launching(Box::new(launch)), true, moment).await
    }

    /// Sends the saved request; when EC2 has no capacity, saves and sends the one of the next instance type. Not while
    /// an earlier request may still be under way: it has another token, and would make a second machine. `found`: the
    /// request was saved by an earlier call.
    pub(crate) async fn launch(
        &self,
        mut saved: Saved,
        mut launch: Launch,
        found: bool,
        moment: Moment,
    ) -> Step<Saved> {
        // A call that got an answer, or never asked, has taken its limit back.
        saved.session.unanswered |= found && saved.session.in_flight_until.is_some();
        // A call that goes on with what another one saved is under way itself now.
        let mut saved = self.save(saved, Phase::Launching(Box::new(launch.clone())), true, moment).await?;
        let instance = loop {
            match self.run(&launch).await {
                Ok(instance) => break instance,
                Err(error) if error.kind == Ec2ErrorKind::Capacity && saved.session.unanswered => {
                    let message = format!(
                        "{error}; an earlier request got no answer and may still be under way, so no other instance \
                         type is asked for in this session"
                    );
                    return Err(Interrupt::Answer(refused(Refusal::Capacity, message)));
                }
                Err(error) if error.kind == Ec2ErrorKind::Capacity => {
                    warn!(session = %launch.owner.session, instance_type = launch.instance_type, %error, "no capacity");
                    let Some(next) = self.next_launch(&launch) else {
                        return Err(Interrupt::Answer(refused(Refusal::Capacity, error.to_string())));
                    };
                    launch = next;
                    saved =
                        self.save(saved, Phase::Launching(Box::new(launch.clone())), true, moment).await?;
                }
                Err(error) if error.kind == Ec2ErrorKind::TokenEnded => {
                    return Err(Interrupt::Answer(ended(error.to_string())));
                }
                Err(error) => return Err(quota_or_error(error)),
            }
        };
        info!(session = %launch.owner.session, %instance, instance_type = launch.instance_type, "launched");
        let machine = Machine { instance, group: launch.group, program: launch.program };
        self.save(saved, Phase::Launched(machine), false, moment).await
    }

    /// RunInstances; on a mismatch of the client token, the instance that was made under it.
    async fn run(&self, launch: &Launch) -> Result<InstanceId, Ec2Error> {
        let error = match self.machines().run(launch).await {
            Err(error) if error.kind == Ec2ErrorKind::TokenMismatch => error,
            result => return result,
        };
        let found = self.machines().instances_by_token(&launch.client_token).await?;
        let ours =
            found.into_iter().find(|instance| instance.session.as_ref() == Some(&launch.owner.session));
        ours.map(|instance| instance.id).ok_or(error)
    }

    /// The session's group: nothing in yet, nothing out ever. Goes on where an earlier call stopped.
    async fn ensure_group(&self, session: &Session) -> Step<GroupId> {
        let group = match self.machines().create_group(&self.config.vpc, &owner(session)).await {
            Ok(group) => group,
            Err(error) if error.kind == Ec2ErrorKind::Duplicate => {
                let found = self.machines().groups(Of::Session(&session.session)).await?;
                let found = found.into_iter().next().map(|group| group.id);
                found.ok_or_else(|| Error::Group { session: session.session.clone() })?
            }
            Err(error) => return Err(quota_or_error(error)),
        };
        settled(self.machines().revoke_default_egress(&group).await, Ec2ErrorKind::NotFound)?;
        Ok(group)
    }

    /// Lets SSH in from the stack's networks. Not before the box has reported: until then whatever the image has
    /// on port 22 might answer there.
    pub(crate) async fn open_to_clients(&self, group: &GroupId) -> Step<()> {
        for network in &self.config.clients {
            settled(self.machines().authorize_ssh(group, *network).await, Ec2ErrorKind::Duplicate)?;
        }
        Ok(())
    }

    async fn first_launch(&self, session: &Session, group: GroupId, moment: Moment) -> Step<Launch> {
        let id = &session.session;
        let lifetime = Duration::try_from(session.deadline.duration_since(moment.now)).unwrap_or_default();
        let lifetime = lifetime.max(Duration::from_secs(1));
        self.store().ensure_program(&self.program.digest, &self.program.bytes).await?;
        let orders = self.orders(session, lifetime).await?;
        let orders_digest = self.store().put_orders(&orders).await?;
        let program_url = self.store().program_url(&self.program.digest, lifetime).await?;
        let orders_url = self.store().orders_url(id, lifetime).await?;
        let user_data = user_data::render(&Boot {
            lifetime,
            program: (&program_url, &self.program.digest),
            orders: (&orders_url, &orders_digest),
            extra_ca: self.config.extra_ca.as_ref(),
        })?;
        Ok(Launch {
            client_token: id.to_string(),
            attempt: 0,
            instance_type: self.config.instance_types.first().cloned().unwrap_or_default(),
            image: self.config.image.clone(),
            subnet: self.config.public_subnet.clone(),
            group,
            instance_profile: self.config.instance_profile.clone(),
            user_data,
            program: self.program.digest.clone(),
            owner: owner(session),
        })
    }

    /// The same machine of the stack's next type. A client token belongs to one request, so this has another.
    fn next_launch(&self, launch: &Launch) -> Option<Launch> {
        let attempt = launch.attempt + 1;
        let instance_type = self.config.instance_types.get(attempt)?.clone();
        let client_token = format!("{}-{attempt}", launch.owner.session);
        Some(Launch { client_token, attempt, instance_type, ..launch.clone() })
    }

    async fn orders(&self, session: &Session, lifetime: Duration) -> Step<Orders> {
        let stack = &self.config.stack;
        Ok(Orders {
            version: Version,
            session: session.session.clone(),
            job: session.job.clone(),
            cluster: stack.cluster.clone(),
            client_key: session.client_key.clone(),
            bucket: stack.backup_bucket.clone(),
            region: self.config.region.clone(),
            s3_endpoint: self.config.s3_endpoint.clone(),
            extra_ca: self.config.extra_ca.clone(),
            prefix: ObjectPrefix::of_session(&stack.cluster, &session.job, &session.session)?,
            ended_key: ObjectKey::ended(&stack.cluster, &session.session),
            ready_url: self.store().ready_url(&session.session, lifetime).await?,
            deadline: session.deadline,
            limits: Limits {
                session_bytes: self.config.max_session_bytes,
                lock_days: self.config.lock_days,
                ..Limits::default()
            },
            checks: self.config.checks.clone(),
            rules: self.config.rules.clone(),
            revision: session.revision,
            baseline: self.store().baseline(&session.job, session.series.as_ref()).await?.map(Box::new),
        })
    }
}

/// A rule that was settled by an earlier call is settled; a group that EC2 does not show yet is waited for.
fn settled(result: Result<(), Ec2Error>, already: Ec2ErrorKind) -> Step<()> {
    match result {
        Err(error) if error.code == "InvalidGroup.NotFound" => Err(wait(Waiting::Instance)),
        Err(error) if error.kind != already => Err(error.into()),
        _ => Ok(()),
    }
}
