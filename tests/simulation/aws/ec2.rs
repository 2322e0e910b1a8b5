//! EC2 as the Lambdas see it, with its tokens, its tags, and its way of not showing yet what it has made.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use async_trait::async_trait;
use drawbridge_lambdas::{
    config::Cidr,
    machines::{
        Attachment, Ec2Error, Ec2ErrorKind as Kind, Group, Instance, InstanceState, Interface, Launch,
        Machines, Of, Owner,
    },
    names::{GroupId, InstanceId, InterfaceId},
};
use drawbridge_protocol::SessionId;

use super::{
    Inner, Machine,
    invocation::{Invocation, ec2_error},
    machine,
};
use crate::{guards::Guard, world::World};

type Result<T> = std::result::Result<T, Ec2Error>;

pub(crate) struct Ec2(pub(crate) Arc<Invocation>);

/// From when on describe calls show what is made now.
fn seen_from(world: &World) -> Duration {
    let slow = !world.faults.are_over(&world.time) && world.dice.per_mille(50);
    let lag = if slow { world.dice.seconds(1, 60) } else { world.dice.millis(0, 300) };
    world.time.elapsed() + lag
}

fn of(which: Option<&SessionId>, session: &SessionId) -> bool {
    which.is_none_or(|wanted| wanted == session)
}

fn only(which: Of<'_>) -> Option<SessionId> {
    match which {
        Of::Session(session) => Some(session.clone()),
        Of::Stack => None,
    }
}

fn missing<T>(code: &str) -> Result<T> {
    Err(ec2_error(code, Kind::NotFound))
}

fn describe(id: &InstanceId, machine: &Machine) -> Instance {
    Instance {
        id: id.clone(),
        state: machine.state,
        public_address: (machine.state == InstanceState::Running).then_some(Ipv4Addr::new(198, 51, 100, 20)),
        reason: None,
        session: Some(machine.launch.owner.session.clone()),
        deadline: Some(machine.launch.owner.deadline),
    }
}

fn describe_interface(id: &InterfaceId, interface: &super::Interface) -> Interface {
    let attachment = interface.attached.as_ref().map(|(instance, goes)| Attachment {
        id: format!("attach-{id}"),
        instance: Some(instance.clone()),
        delete_on_termination: *goes,
    });
    Interface {
        id: id.clone(),
        subnet: interface.subnet.clone(),
        attachment,
        session: Some(interface.session.clone()),
    }
}

fn run(world: &Arc<World>, launch: &Launch) -> Result<InstanceId> {
    let mut guard = world.aws.inner();
    let inner: &mut Inner = &mut guard;
    let same = inner.machines.iter().find(|(_, other)| other.launch.client_token == launch.client_token);
    if let Some((id, other)) = same
        && !world.without(Guard::ClientToken)
    {
        if other.launch != *launch {
            return Err(ec2_error("IdempotentParameterMismatch", Kind::TokenMismatch));
        }
        if other.state == InstanceState::Terminated {
            return Err(ec2_error("IdempotentInstanceTerminated", Kind::TokenEnded));
        }
        return Ok(id.clone());
    }
    if !inner.groups.contains_key(&launch.group) {
        return missing("InvalidGroup.NotFound");
    }
    if !world.faults.are_over(&world.time) && world.dice.per_mille(30) {
        return Err(ec2_error("InsufficientInstanceCapacity", Kind::Capacity));
    }
    let id = InstanceId::new(format!("i-{:04}", inner.next()));
    let machine = Machine {
        launch: launch.clone(),
        state: InstanceState::Pending,
        seen_from: seen_from(world),
        hostile: world.dice.per_mille(world.scenario.hostile),
        node: super::BoxState::default(),
    };
    inner.machines.insert(id.clone(), machine);
    drop(guard);
    world.note(&format!("  ec2: {id} for {}", &launch.owner.session.as_str()[..6]));
    world.ledger.launched(launch.owner.session.as_str());
    world.aws.check(world);
    machine::begin(world, &id);
    Ok(id)
}

#[async_trait]
impl Machines for Ec2 {
    async fn create_group(&self, _vpc: &str, owner: &Owner) -> Result<GroupId> {
        let owner = owner.clone();
        let create = move |world: &Arc<World>| {
            let mut inner = world.aws.inner();
            if inner.groups.values().any(|group| group.session == owner.session) {
                return Err(ec2_error("InvalidGroup.Duplicate", Kind::Duplicate));
            }
            let id = GroupId::new(format!("sg-{:04}", inner.next()));
            let group = super::Group { session: owner.session.clone(), seen_from: seen_from(world) };
            inner.groups.insert(id.clone(), group);
            Ok(id)
        };
        self.0.change("ec2 create group", create).await?
    }

    async fn groups(&self, which: Of<'_>) -> Result<Vec<Group>> {
        let which = only(which);
        let list = |world: &Arc<World>| {
            let (inner, now) = (world.aws.inner(), world.time.elapsed());
            let ours = inner.groups.iter().filter(|(_, group)| of(which.as_ref(), &group.session));
            ours.filter(|(_, group)| group.seen_from <= now)
                .map(|(id, group)| Group { id: id.clone(), session: Some(group.session.clone()) })
                .collect()
        };
        Ok(self.0.read("ec2 describe groups", list).await?)
    }

    async fn revoke_default_egress(&self, group: &GroupId) -> Result<()> {
        rule(&self.0, group).await
    }

    async fn authorize_ssh(&self, group: &GroupId, _from: Cidr) -> Result<()> {
        rule(&self.0, group).await
    }

    async fn delete_group(&self, group: &GroupId) -> Result<()> {
        let group = group.clone();
        let delete = move |world: &Arc<World>| {
            let mut inner = world.aws.inner();
            let used = |machine: &Machine| {
                machine.launch.group == group && machine.state != InstanceState::Terminated
            };
            if inner.machines.values().any(used) {
                return Err(ec2_error("DependencyViolation", Kind::InUse));
            }
            let gone = inner.groups.remove(&group).is_none();
            if gone { Err(ec2_error("UnauthorizedOperation", Kind::Refused)) } else { Ok(()) }
        };
        self.0.change("ec2 delete group", delete).await?
    }

    async fn run(&self, launch: &Launch) -> Result<InstanceId> {
        let launch = launch.clone();
        self.0.change("ec2 run instances", move |world| run(world, &launch)).await?
    }

    async fn instance(&self, id: &InstanceId) -> Result<Instance> {
        let find = |world: &Arc<World>| {
            let (inner, now) = (world.aws.inner(), world.time.elapsed());
            let found = inner.machines.get(id).filter(|machine| machine.seen_from <= now);
            found.map_or_else(|| missing("InvalidInstanceID.NotFound"), |machine| Ok(describe(id, machine)))
        };
        self.0.read("ec2 describe instance", find).await?
    }

    async fn instances(&self, which: Of<'_>) -> Result<Vec<Instance>> {
        let which = only(which);
        let list = |world: &Arc<World>| {
            let (inner, now) = (world.aws.inner(), world.time.elapsed());
            let of = |machine: &Machine| of(which.as_ref(), &machine.launch.owner.session);
            let ours = inner.machines.iter().filter(|(_, machine)| of(machine) && machine.seen_from <= now);
            ours.map(|(id, machine)| describe(id, machine)).collect()
        };
        Ok(self.0.read("ec2 describe instances", list).await?)
    }

    async fn instances_by_token(&self, token: &str) -> Result<Vec<Instance>> {
        let list = |world: &Arc<World>| {
            let inner = world.aws.inner();
            let ours = inner.machines.iter().filter(|(_, machine)| machine.launch.client_token == token);
            ours.map(|(id, machine)| describe(id, machine)).collect()
        };
        Ok(self.0.read("ec2 describe by token", list).await?)
    }

    async fn terminate(&self, id: &InstanceId) -> Result<()> {
        let id = id.clone();
        let end = move |world: &Arc<World>| {
            let known = world.aws.inner().machines.contains_key(&id);
            if known {
                machine::end(world, &id, "terminated");
                Ok(())
            } else {
                Err(ec2_error("UnauthorizedOperation", Kind::Refused))
            }
        };
        self.0.change("ec2 terminate", end).await?
    }

    async fn create_interface(&self, subnet: &str, _group: &str, owner: &Owner) -> Result<InterfaceId> {
        let (subnet, session) = (subnet.to_owned(), owner.session.clone());
        let create = move |world: &Arc<World>| {
            let mut inner = world.aws.inner();
            if let Some((id, _)) = inner.interfaces.iter().find(|(_, other)| other.session == session) {
                return id.clone();
            }
            let id = InterfaceId::new(format!("eni-{:04}", inner.next()));
            let (subnet, session) = (subnet.clone(), session.clone());
            let interface = super::Interface { session, subnet, attached: None, seen_from: seen_from(world) };
            inner.interfaces.insert(id.clone(), interface);
            id
        };
        Ok(self.0.change("ec2 create interface", create).await?)
    }

    async fn interface(&self, id: &InterfaceId) -> Result<Interface> {
        let find = |world: &Arc<World>| {
            let (inner, now) = (world.aws.inner(), world.time.elapsed());
            let found = inner.interfaces.get(id).filter(|interface| interface.seen_from <= now);
            found.map_or_else(
                || missing("InvalidNetworkInterfaceID.NotFound"),
                |interface| Ok(describe_interface(id, interface)),
            )
        };
        self.0.read("ec2 describe interface", find).await?
    }

    async fn interfaces(&self, which: Of<'_>) -> Result<Vec<Interface>> {
        let which = only(which);
        let list = |world: &Arc<World>| {
            let (inner, now) = (world.aws.inner(), world.time.elapsed());
            let ours = inner.interfaces.iter().filter(|(_, one)| of(which.as_ref(), &one.session));
            ours.filter(|(_, one)| one.seen_from <= now)
                .map(|(id, one)| describe_interface(id, one))
                .collect()
        };
        Ok(self.0.read("ec2 describe interfaces", list).await?)
    }

    async fn attach(&self, interface: &InterfaceId, instance: &InstanceId) -> Result<String> {
        let (interface, instance) = (interface.clone(), instance.clone());
        let attach = move |world: &Arc<World>| {
            let mut inner = world.aws.inner();
            if inner.machines.get(&instance).map(|machine| machine.state) != Some(InstanceState::Running) {
                return Err(ec2_error("IncorrectState", Kind::State));
            }
            match inner.interfaces.get_mut(&interface) {
                Some(free) if free.attached.is_none() => {
                    free.attached = Some((instance.clone(), false));
                    Ok(format!("attach-{interface}"))
                }
                Some(_) => Err(ec2_error("InvalidNetworkInterface.InUse", Kind::InUse)),
                None => missing("InvalidNetworkInterfaceID.NotFound"),
            }
        };
        self.0.change("ec2 attach interface", attach).await?
    }

    async fn delete_on_termination(&self, interface: &InterfaceId, _attachment: &str) -> Result<()> {
        let interface = interface.clone();
        let modify = move |world: &Arc<World>| match world.aws.inner().interfaces.get_mut(&interface) {
            Some(super::Interface { attached: Some((_, goes)), .. }) => {
                *goes = true;
                Ok(())
            }
            _ => missing("InvalidNetworkInterfaceID.NotFound"),
        };
        self.0.change("ec2 modify interface", modify).await?
    }

    async fn delete_interface(&self, id: &InterfaceId) -> Result<()> {
        let id = id.clone();
        let delete = move |world: &Arc<World>| {
            let mut inner = world.aws.inner();
            match inner.interfaces.get(&id).map(|interface| interface.attached.is_some()) {
                Some(true) => Err(ec2_error("InvalidParameterValue", Kind::InUse)),
                Some(false) => {
                    inner.interfaces.remove(&id);
                    Ok(())
                }
                None => Err(ec2_error("UnauthorizedOperation", Kind::Refused)),
            }
        };
        self.0.change("ec2 delete interface", delete).await?
    }
}

async fn rule(invocation: &Invocation, group: &GroupId) -> Result<()> {
    let group = group.clone();
    let set = move |world: &Arc<World>| {
        let known = world.aws.inner().groups.contains_key(&group);
        if known { Ok(()) } else { missing("InvalidGroup.NotFound") }
    };
    invocation.change("ec2 change group", set).await?
}
