//! EC2 itself behind [`Machines`]: the only EC2 calls there are.

use std::{fmt, net::Ipv4Addr};

use async_trait::async_trait;
use aws_sdk_ec2::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types as ec2,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use drawbridge_protocol::SessionId;

use crate::{
    config::Cidr,
    machines::{
        Attachment, Ec2Error, Ec2ErrorKind, Group, Instance, InstanceState, Interface, Launch, Machines, Of,
        Owner,
    },
    names::{GroupId, InstanceId, InterfaceId, resource_name, tag},
};

type Result<T> = std::result::Result<T, Ec2Error>;

/// What Amazon Linux calls its root volume.
const ROOT_DEVICE: &str = "/dev/xvda";

/// One stack's part of EC2.
#[derive(Clone, Debug)]
pub struct Ec2 {
    client: Client,
    stack: String,
}

impl Ec2 {
    pub fn new(client: Client, stack: String) -> Self {
        Self { client, stack }
    }

    /// The tags of everything that a session has, for a resource of this type.
    fn tags(&self, owner: &Owner, resource: ec2::ResourceType) -> ec2::TagSpecification {
        let tags = [
            (tag::STACK, self.stack.clone()),
            (tag::SESSION, owner.session.to_string()),
            (tag::DEADLINE, owner.deadline.to_string()),
            (tag::NAME, resource_name(&owner.session)),
        ];
        let tags = tags.map(|(key, value)| ec2::Tag::builder().key(key).value(value).build());
        ec2::TagSpecification::builder().resource_type(resource).set_tags(Some(tags.into())).build()
    }

    /// The filters that find a session's resources, or all of the stack's.
    fn filters(&self, of: Of<'_>) -> Vec<ec2::Filter> {
        let mut filters = vec![filter(&format!("tag:{}", tag::STACK), &self.stack)];
        if let Of::Session(session) = of {
            filters.push(filter(&format!("tag:{}", tag::SESSION), session.as_str()));
        }
        filters
    }

    async fn describe_instances(&self, filters: Vec<ec2::Filter>) -> Result<Vec<Instance>> {
        let mut pages = self.client.describe_instances().set_filters(Some(filters)).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("DescribeInstances", &error))?;
            let instances = page.reservations().iter().flat_map(ec2::Reservation::instances);
            found.extend(instances.filter_map(|instance| self.instance_of(instance)));
        }
        Ok(found)
    }

    fn instance_of(&self, instance: &ec2::Instance) -> Option<Instance> {
        use ec2::InstanceStateName as Name;
        let state = match instance.state().and_then(ec2::InstanceState::name) {
            Some(Name::Pending) | None => InstanceState::Pending,
            Some(Name::Running) => InstanceState::Running,
            Some(Name::ShuttingDown) => InstanceState::ShuttingDown,
            Some(Name::Terminated) => InstanceState::Terminated,
            Some(_) => InstanceState::Stopped,
        };
        Some(Instance {
            id: InstanceId::new(instance.instance_id()?),
            state,
            public_address: instance.public_ip_address().and_then(|address| address.parse::<Ipv4Addr>().ok()),
            reason: instance.state_reason().and_then(ec2::StateReason::message).map(str::to_owned),
            session: self.session_in(instance.tags()),
            deadline: value_of(instance.tags(), tag::DEADLINE).and_then(|deadline| deadline.parse().ok()),
        })
    }

    fn interface_of(&self, interface: &ec2::NetworkInterface) -> Option<Interface> {
        let attachment = interface.attachment().and_then(|attachment| {
            Some(Attachment {
                id: attachment.attachment_id()?.to_owned(),
                instance: attachment.instance_id().map(InstanceId::new),
                delete_on_termination: attachment.delete_on_termination().unwrap_or(false),
            })
        });
        Some(Interface {
            id: InterfaceId::new(interface.network_interface_id()?),
            subnet: interface.subnet_id().unwrap_or_default().to_owned(),
            attachment,
            session: self.session_in(interface.tag_set()),
        })
    }

    /// The session in tags that carry our stack's name; what another stack tagged has none.
    fn session_in(&self, tags: &[ec2::Tag]) -> Option<SessionId> {
        value_of(tags, tag::STACK).filter(|stack| *stack == self.stack)?;
        value_of(tags, tag::SESSION)?.parse().ok()
    }
}

#[async_trait]
impl Machines for Ec2 {
    async fn create_group(&self, vpc: &str, owner: &Owner) -> Result<GroupId> {
        let create =
            self.client.create_security_group().group_name(resource_name(&owner.session)).vpc_id(vpc);
        let create = create.description("Drawbridge: SSH to the box of one session");
        let answer =
            create.tag_specifications(self.tags(owner, ec2::ResourceType::SecurityGroup)).send().await;
        let answer = answer.map_err(|error| failed("CreateSecurityGroup", &error))?;
        answer.group_id().map(GroupId::new).ok_or_else(|| no_id("CreateSecurityGroup"))
    }

    async fn groups(&self, of: Of<'_>) -> Result<Vec<Group>> {
        let mut pages = self
            .client
            .describe_security_groups()
            .set_filters(Some(self.filters(of)))
            .into_paginator()
            .send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("DescribeSecurityGroups", &error))?;
            found.extend(page.security_groups().iter().filter_map(|group| {
                Some(Group { id: GroupId::new(group.group_id()?), session: self.session_in(group.tags()) })
            }));
        }
        Ok(found)
    }

    async fn revoke_default_egress(&self, group: &GroupId) -> Result<()> {
        let everything = ec2::IpPermission::builder()
            .ip_protocol("-1")
            .ip_ranges(ec2::IpRange::builder().cidr_ip("0.0.0.0/0").build())
            .build();
        let revoke =
            self.client.revoke_security_group_egress().group_id(group.as_str()).ip_permissions(everything);
        revoke.send().await.map(|_| ()).map_err(|error| failed("RevokeSecurityGroupEgress", &error))
    }

    async fn authorize_ssh(&self, group: &GroupId, from: Cidr) -> Result<()> {
        let ssh = ec2::IpPermission::builder()
            .ip_protocol("tcp")
            .from_port(22)
            .to_port(22)
            .ip_ranges(ec2::IpRange::builder().cidr_ip(from.to_string()).build())
            .build();
        let authorize =
            self.client.authorize_security_group_ingress().group_id(group.as_str()).ip_permissions(ssh);
        authorize.send().await.map(|_| ()).map_err(|error| failed("AuthorizeSecurityGroupIngress", &error))
    }

    async fn delete_group(&self, group: &GroupId) -> Result<()> {
        let delete = self.client.delete_security_group().group_id(group.as_str());
        delete.send().await.map(|_| ()).map_err(|error| failed("DeleteSecurityGroup", &error))
    }

    async fn run(&self, launch: &Launch) -> Result<InstanceId> {
        let public = ec2::InstanceNetworkInterfaceSpecification::builder()
            .device_index(0)
            .associate_public_ip_address(true)
            .subnet_id(&launch.subnet)
            .groups(launch.group.as_str())
            .delete_on_termination(true)
            .build();
        // One hop: the credentials of the box stay on the box. Tokens only: no server-side request forgery.
        let metadata = ec2::InstanceMetadataOptionsRequest::builder()
            .http_endpoint(ec2::InstanceMetadataEndpointState::Enabled)
            .http_tokens(ec2::HttpTokensState::Required)
            .http_put_response_hop_limit(1)
            .build();
        // With the key that every account has for its volumes. Under another name than the image's root volume has, this
        // would be a second volume, and `create`'s policy would refuse the first.
        let disk = ec2::EbsBlockDevice::builder().encrypted(true).delete_on_termination(true).build();
        let disk = ec2::BlockDeviceMapping::builder().device_name(ROOT_DEVICE).ebs(disk).build();
        let profile = ec2::IamInstanceProfileSpecification::builder().arn(&launch.instance_profile).build();
        let mut run = self
            .client
            .run_instances()
            .client_token(&launch.client_token)
            .image_id(&launch.image)
            .instance_type(ec2::InstanceType::from(launch.instance_type.as_str()))
            .min_count(1)
            .max_count(1)
            .network_interfaces(public)
            .block_device_mappings(disk)
            .metadata_options(metadata)
            .iam_instance_profile(profile)
            .instance_initiated_shutdown_behavior(ec2::ShutdownBehavior::Terminate)
            .user_data(BASE64.encode(&launch.user_data));
        for resource in
            [ec2::ResourceType::Instance, ec2::ResourceType::Volume, ec2::ResourceType::NetworkInterface]
        {
            run = run.tag_specifications(self.tags(&launch.owner, resource));
        }
        let answer = run.send().await.map_err(|error| failed("RunInstances", &error))?;
        let id = answer.instances().first().and_then(ec2::Instance::instance_id);
        id.map(InstanceId::new).ok_or_else(|| no_id("RunInstances"))
    }

    async fn instance(&self, id: &InstanceId) -> Result<Instance> {
        let answer = self.client.describe_instances().instance_ids(id.as_str()).send().await;
        let answer = answer.map_err(|error| failed("DescribeInstances", &error))?;
        let instance = answer.reservations().iter().flat_map(ec2::Reservation::instances).next();
        instance
            .and_then(|instance| self.instance_of(instance))
            .ok_or_else(|| not_found("DescribeInstances", id))
    }

    async fn instances(&self, of: Of<'_>) -> Result<Vec<Instance>> {
        self.describe_instances(self.filters(of)).await
    }

    async fn instances_by_token(&self, client_token: &str) -> Result<Vec<Instance>> {
        self.describe_instances(vec![filter("client-token", client_token)]).await
    }

    async fn terminate(&self, id: &InstanceId) -> Result<()> {
        let terminate = self.client.terminate_instances().instance_ids(id.as_str());
        terminate.send().await.map(|_| ()).map_err(|error| failed("TerminateInstances", &error))
    }

    async fn create_interface(&self, subnet: &str, group: &str, owner: &Owner) -> Result<InterfaceId> {
        let create = self.client.create_network_interface().subnet_id(subnet).groups(group);
        let create = create.description("Drawbridge: the private side of one session's box");
        let tags = self.tags(owner, ec2::ResourceType::NetworkInterface);
        let answer = create.client_token(owner.session.as_str()).tag_specifications(tags).send().await;
        let answer = answer.map_err(|error| failed("CreateNetworkInterface", &error))?;
        let id = answer.network_interface().and_then(ec2::NetworkInterface::network_interface_id);
        id.map(InterfaceId::new).ok_or_else(|| no_id("CreateNetworkInterface"))
    }

    async fn interface(&self, id: &InterfaceId) -> Result<Interface> {
        let answer =
            self.client.describe_network_interfaces().network_interface_ids(id.as_str()).send().await;
        let answer = answer.map_err(|error| failed("DescribeNetworkInterfaces", &error))?;
        let interface =
            answer.network_interfaces().first().and_then(|interface| self.interface_of(interface));
        interface.ok_or_else(|| not_found("DescribeNetworkInterfaces", id))
    }

    async fn interfaces(&self, of: Of<'_>) -> Result<Vec<Interface>> {
        let mut pages = self
            .client
            .describe_network_interfaces()
            .set_filters(Some(self.filters(of)))
            .into_paginator()
            .send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("DescribeNetworkInterfaces", &error))?;
            found.extend(
                page.network_interfaces().iter().filter_map(|interface| self.interface_of(interface)),
            );
        }
        Ok(found)
    }

    async fn attach(&self, interface: &InterfaceId, instance: &InstanceId) -> Result<String> {
        let attach = self.client.attach_network_interface().device_index(1);
        let attach = attach.network_interface_id(interface.as_str()).instance_id(instance.as_str());
        let answer = attach.send().await.map_err(|error| failed("AttachNetworkInterface", &error))?;
        answer.attachment_id().map(str::to_owned).ok_or_else(|| no_id("AttachNetworkInterface"))
    }

    async fn delete_on_termination(&self, interface: &InterfaceId, attachment: &str) -> Result<()> {
        let changes = ec2::NetworkInterfaceAttachmentChanges::builder()
            .attachment_id(attachment)
            .delete_on_termination(true)
            .build();
        let modify =
            self.client.modify_network_interface_attribute().network_interface_id(interface.as_str());
        let answer = modify.attachment(changes).send().await;
        answer.map(|_| ()).map_err(|error| failed("ModifyNetworkInterfaceAttribute", &error))
    }

    async fn delete_interface(&self, id: &InterfaceId) -> Result<()> {
        let delete = self.client.delete_network_interface().network_interface_id(id.as_str());
        delete.send().await.map(|_| ()).map_err(|error| failed("DeleteNetworkInterface", &error))
    }
}

fn value_of<'a>(tags: &'a [ec2::Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(ec2::Tag::value)
}

fn filter(name: &str, value: &str) -> ec2::Filter {
    ec2::Filter::builder().name(name).values(value).build()
}

fn failed<E, R>(action: &'static str, error: &SdkError<E, R>) -> Ec2Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: fmt::Debug,
{
    let Some(code) = error.code().map(str::to_owned) else {
        let message = DisplayErrorContext(error).to_string();
        return Ec2Error { action, kind: Ec2ErrorKind::NoAnswer, code: "no answer".to_owned(), message };
    };
    let message = error.message().unwrap_or("EC2 says no more").to_owned();
    // EC2 says with this general code, and only in words, that an interface is attached.
    let in_use = code == "InvalidParameterValue" && message.contains("currently in use");
    let kind = if in_use { Ec2ErrorKind::InUse } else { Ec2ErrorKind::of(&code) };
    Ec2Error { action, kind, code, message }
}

fn no_id(action: &'static str) -> Ec2Error {
    let message = "the answer names no resource".to_owned();
    Ec2Error { action, kind: Ec2ErrorKind::Other, code: "no id".to_owned(), message }
}

fn not_found(action: &'static str, id: &dyn fmt::Display) -> Ec2Error {
    let message = format!("{id} is not in the answer");
    Ec2Error { action, kind: Ec2ErrorKind::NotFound, code: "not found".to_owned(), message }
}
