//! The traits over the world in memory, with EC2's and S3's own rules.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use async_trait::async_trait;
use drawbridge_protocol::SessionId;

use super::world::{FakeGroup, FakeInstance, FakeInterface, Inner, World, ec2_error};
use crate::{
    config::Cidr,
    machines::{
        Attachment, Ec2Error, Ec2ErrorKind, Group, Instance, InstanceState, Interface, Launch, Machines, Of,
        Owner,
    },
    names::{GroupId, InstanceId, InterfaceId, key},
    store::{Condition, Object, Objects, Put, StoreError},
    uploads::{Upload, Uploads},
};

type Result<T> = std::result::Result<T, Ec2Error>;

pub(crate) struct FakeS3(pub(crate) Arc<World>);
pub(crate) struct FakeUploads(pub(crate) Arc<World>);
pub(crate) struct FakeEc2(pub(crate) Arc<World>);

#[async_trait]
impl Objects for FakeS3 {
    async fn get(&self, key: &str, max: usize) -> std::result::Result<Option<Object>, StoreError> {
        if self.0.inner().failing.contains(key) {
            let (object, why) = (key.to_owned(), "InternalError".to_owned());
            return Err(StoreError::S3 { action: "GetObject", object, why });
        }
        let found = self.0.call("GetObject", |world| world.objects.get(key).cloned()).await?;
        match found {
            Some((bytes, _)) if bytes.len() > max => {
                Err(StoreError::Unreadable { key: key.to_owned(), why: "too large".to_owned() })
            }
            found => Ok(found.map(|(bytes, etag)| Object { bytes, etag: etag.to_string() })),
        }
    }

    async fn exists(&self, key: &str) -> std::result::Result<bool, StoreError> {
        Ok(self.0.call("HeadObject", |world| world.objects.contains_key(key)).await?)
    }

    async fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        condition: Condition<'_>,
    ) -> std::result::Result<Put, StoreError> {
        let put = |world: &mut Inner| {
            let there = world.objects.get(key).map(|(_, etag)| etag.to_string());
            let holds = match condition {
                Condition::Absent => there.is_none(),
                Condition::Matches(etag) => there.as_deref() == Some(etag),
            };
            if !holds {
                return Put::Refused;
            }
            let etag = world.next();
            world.objects.insert(key.to_owned(), (bytes, etag));
            Put::Written(etag.to_string())
        };
        Ok(self.0.call("PutObject", put).await?)
    }

    async fn delete(&self, key: &str, etag: Option<&str>) -> std::result::Result<(), StoreError> {
        let delete = |world: &mut Inner| {
            let there = world.objects.get(key).map(|(_, etag)| etag.to_string());
            if etag.is_none() || there.as_deref() == etag {
                world.objects.remove(key);
            }
        };
        Ok(self.0.call("DeleteObject", delete).await?)
    }

    async fn list(&self, prefix: &str) -> std::result::Result<Vec<String>, StoreError> {
        let of_tombstones = prefix.starts_with(key::CLOSED) || key::CLOSED.starts_with(prefix);
        assert!(!of_tombstones, "'{prefix}' lists tombstones, one for every session that was ever closed");
        let list = |world: &mut Inner| {
            world.objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect::<Vec<_>>()
        };
        Ok(self.0.call("ListObjectsV2", list).await?)
    }

    async fn presign_get(&self, key: &str, expires: Duration) -> std::result::Result<String, StoreError> {
        Ok(format!("https://state/{key}?expires={}", expires.as_secs()))
    }

    async fn presign_put_once(
        &self,
        key: &str,
        expires: Duration,
    ) -> std::result::Result<String, StoreError> {
        // Differs from call to call, as the real one does.
        let nonce = self.0.inner().next();
        Ok(format!("https://state/{key}?expires={}&nonce={nonce}", expires.as_secs()))
    }
}

#[async_trait]
impl Uploads for FakeUploads {
    async fn list(&self, prefix: &str, most: usize) -> std::result::Result<Vec<Upload>, StoreError> {
        let list = |world: &mut Inner| {
            let under = world.uploads.iter().filter(|upload| upload.key.starts_with(prefix));
            under.take(most).cloned().collect()
        };
        Ok(self.0.call("ListMultipartUploads", list).await?)
    }

    async fn abort(&self, upload: &Upload) -> std::result::Result<(), StoreError> {
        Ok(self.0.call("AbortMultipartUpload", |world| world.uploads.retain(|other| other != upload)).await?)
    }
}

/// What deleting a resource that there is not comes to: it has no tags, by which the policies allow.
fn refused<T>() -> Result<T> {
    Err(ec2_error("UnauthorizedOperation", Ec2ErrorKind::Refused))
}

fn missing<T>(code: &str) -> Result<T> {
    Err(ec2_error(code, Ec2ErrorKind::NotFound))
}

fn describe(world: &Inner, id: &InstanceId, instance: &FakeInstance) -> Instance {
    let running = instance.state == InstanceState::Running;
    Instance {
        id: id.clone(),
        state: instance.state,
        public_address: running.then_some(Ipv4Addr::new(198, 51, 100, 20)),
        reason: None,
        session: tagged(world, id.as_str(), &instance.launch.owner.session),
        deadline: Some(instance.launch.owner.deadline),
    }
}

fn describe_interface(world: &Inner, id: &InterfaceId, interface: &FakeInterface) -> Interface {
    let attachment = interface.attached.as_ref().map(|(instance, goes)| Attachment {
        id: format!("eni-attach-{id}"),
        instance: Some(instance.clone()),
        delete_on_termination: *goes,
    });
    Interface {
        id: id.clone(),
        subnet: interface.subnet.clone(),
        attachment,
        session: tagged(world, id.as_str(), &interface.session),
    }
}

/// The session that the resource's tag names.
fn tagged(world: &Inner, id: &str, session: &SessionId) -> Option<SessionId> {
    (!world.untagged.contains(id)).then(|| session.clone())
}

fn of(world: &Inner, which: Of<'_>, id: &str, session: &SessionId) -> bool {
    match which {
        Of::Session(wanted) => tagged(world, id, session).as_ref() == Some(wanted),
        Of::Stack => true,
    }
}

#[async_trait]
impl Machines for FakeEc2 {
    async fn create_group(&self, _vpc: &str, owner: &Owner) -> Result<GroupId> {
        let create = |world: &mut Inner| {
            if world.groups.values().any(|group| group.session == owner.session) {
                return Err(ec2_error("InvalidGroup.Duplicate", Ec2ErrorKind::Duplicate));
            }
            let id = GroupId::new(format!("sg-{}", world.next()));
            let session = owner.session.clone();
            world.groups.insert(id.clone(), FakeGroup { session, open_egress: true, ssh_from: [].into() });
            Ok(id)
        };
        self.0.call("CreateSecurityGroup", create).await?
    }

    async fn groups(&self, which: Of<'_>) -> Result<Vec<Group>> {
        let list = |world: &mut Inner| {
            let ours =
                world.groups.iter().filter(|(id, group)| of(world, which, id.as_str(), &group.session));
            let group = |(id, group): (&GroupId, &FakeGroup)| Group {
                id: id.clone(),
                session: tagged(world, id.as_str(), &group.session),
            };
            ours.map(group).collect()
        };
        Ok(self.0.call("DescribeSecurityGroups", list).await?)
    }

    async fn revoke_default_egress(&self, group: &GroupId) -> Result<()> {
        let revoke = |world: &mut Inner| match world.groups.get_mut(group) {
            Some(group) if group.open_egress => {
                group.open_egress = false;
                Ok(())
            }
            Some(_) => missing("InvalidPermission.NotFound"),
            None => missing("InvalidGroup.NotFound"),
        };
        self.0.call("RevokeSecurityGroupEgress", revoke).await?
    }

    async fn authorize_ssh(&self, group: &GroupId, from: Cidr) -> Result<()> {
        let authorize = |world: &mut Inner| {
            let Some(group) = world.groups.get_mut(group) else { return missing("InvalidGroup.NotFound") };
            let new = group.ssh_from.insert(from.to_string());
            if new { Ok(()) } else { Err(ec2_error("InvalidPermission.Duplicate", Ec2ErrorKind::Duplicate)) }
        };
        self.0.call("AuthorizeSecurityGroupIngress", authorize).await?
    }

    async fn delete_group(&self, group: &GroupId) -> Result<()> {
        let delete = |world: &mut Inner| {
            let alive = |instance: &FakeInstance| instance.state != InstanceState::Terminated;
            if world.instances.values().any(|instance| instance.launch.group == *group && alive(instance)) {
                return Err(ec2_error("DependencyViolation", Ec2ErrorKind::InUse));
            }
            world.groups.remove(group).map(|_| ()).map_or_else(refused, Ok)
        };
        self.0.call("DeleteSecurityGroup", delete).await?
    }

    async fn run(&self, launch: &Launch) -> Result<InstanceId> {
        let run = |world: &mut Inner| {
            if world.sold_out.contains(&launch.instance_type) {
                return Err(ec2_error("InsufficientInstanceCapacity", Ec2ErrorKind::Capacity));
            }
            let same =
                world.instances.iter().find(|(_, other)| other.launch.client_token == launch.client_token);
            if let Some((id, other)) = same {
                let differs = other.launch != *launch || world.mismatch;
                let mismatch = Err(ec2_error("IdempotentParameterMismatch", Ec2ErrorKind::TokenMismatch));
                return if differs { mismatch } else { Ok(id.clone()) };
            }
            if !world.groups.contains_key(&launch.group) {
                return missing("InvalidGroup.NotFound");
            }
            let id = InstanceId::new(format!("i-{}", world.next()));
            world
                .instances
                .insert(id.clone(), FakeInstance { launch: launch.clone(), state: InstanceState::Pending });
            Ok(id)
        };
        self.0.call("RunInstances", run).await?
    }

    async fn instance(&self, id: &InstanceId) -> Result<Instance> {
        let find = |world: &mut Inner| {
            let found = world.instances.get(id).filter(|_| !world.hidden);
            let described = found.map(|instance| describe(world, id, instance));
            described.map_or_else(|| missing("InvalidInstanceID.NotFound"), Ok)
        };
        self.0.call("DescribeInstances", find).await?
    }

    async fn instances(&self, which: Of<'_>) -> Result<Vec<Instance>> {
        let list = |world: &mut Inner| {
            let ours = world
                .instances
                .iter()
                .filter(|(id, instance)| of(world, which, id.as_str(), &instance.launch.owner.session));
            ours.filter(|_| !world.hidden).map(|(id, instance)| describe(world, id, instance)).collect()
        };
        Ok(self.0.call("DescribeInstances", list).await?)
    }

    async fn instances_by_token(&self, client_token: &str) -> Result<Vec<Instance>> {
        let list = |world: &mut Inner| {
            let ours =
                world.instances.iter().filter(|(_, instance)| instance.launch.client_token == client_token);
            ours.map(|(id, instance)| describe(world, id, instance)).collect()
        };
        Ok(self.0.call("DescribeInstances", list).await?)
    }

    async fn terminate(&self, id: &InstanceId) -> Result<()> {
        let end = |world: &mut Inner| match world.instances.get_mut(id) {
            Some(instance) => {
                if instance.state != InstanceState::Terminated {
                    instance.state = InstanceState::ShuttingDown;
                }
                Ok(())
            }
            None => refused(),
        };
        self.0.call("TerminateInstances", end).await?
    }

    async fn create_interface(&self, subnet: &str, _group: &str, owner: &Owner) -> Result<InterfaceId> {
        let create = |world: &mut Inner| {
            let same = world.interfaces.iter().find(|(_, interface)| interface.session == owner.session);
            if let Some((id, _)) = same {
                return id.clone();
            }
            let id = InterfaceId::new(format!("eni-{}", world.next()));
            let interface =
                FakeInterface { session: owner.session.clone(), subnet: subnet.to_owned(), attached: None };
            world.interfaces.insert(id.clone(), interface);
            id
        };
        Ok(self.0.call("CreateNetworkInterface", create).await?)
    }

    async fn interface(&self, id: &InterfaceId) -> Result<Interface> {
        let find = |world: &mut Inner| {
            let found = world.interfaces.get(id).map(|interface| describe_interface(world, id, interface));
            found.map_or_else(|| missing("InvalidNetworkInterfaceID.NotFound"), Ok)
        };
        self.0.call("DescribeNetworkInterfaces", find).await?
    }

    async fn interfaces(&self, which: Of<'_>) -> Result<Vec<Interface>> {
        let list = |world: &mut Inner| {
            let ours = world
                .interfaces
                .iter()
                .filter(|(id, interface)| of(world, which, id.as_str(), &interface.session));
            ours.map(|(id, interface)| describe_interface(world, id, interface)).collect()
        };
        Ok(self.0.call("DescribeNetworkInterfaces", list).await?)
    }

    async fn attach(&self, interface: &InterfaceId, instance: &InstanceId) -> Result<String> {
        let attach = |world: &mut Inner| {
            if world.instances.get(instance).map(|instance| instance.state) != Some(InstanceState::Running) {
                return Err(ec2_error("IncorrectState", Ec2ErrorKind::State));
            }
            match world.interfaces.get_mut(interface) {
                Some(free) if free.attached.is_none() => {
                    free.attached = Some((instance.clone(), false));
                    Ok(format!("eni-attach-{interface}"))
                }
                Some(_) => Err(ec2_error("InvalidNetworkInterface.InUse", Ec2ErrorKind::InUse)),
                None => missing("InvalidNetworkInterfaceID.NotFound"),
            }
        };
        self.0.call("AttachNetworkInterface", attach).await?
    }

    async fn delete_on_termination(&self, interface: &InterfaceId, _attachment: &str) -> Result<()> {
        let modify = |world: &mut Inner| match world.interfaces.get_mut(interface) {
            Some(FakeInterface { attached: Some((_, goes)), .. }) => {
                *goes = true;
                Ok(())
            }
            _ => missing("InvalidNetworkInterfaceID.NotFound"),
        };
        self.0.call("ModifyNetworkInterfaceAttribute", modify).await?
    }

    async fn delete_interface(&self, id: &InterfaceId) -> Result<()> {
        let delete = |world: &mut Inner| match world
            .interfaces
            .get(id)
            .map(|interface| interface.attached.is_some())
        {
            Some(true) => Err(ec2_error("InvalidParameterValue", Ec2ErrorKind::InUse)),
            Some(false) => {
                world.interfaces.remove(id);
                Ok(())
            }
            None => refused(),
        };
        self.0.call("DeleteNetworkInterface", delete).await?
    }
}
