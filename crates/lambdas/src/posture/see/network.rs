//! The network and the machines in it, as EC2 shows them.

use std::collections::BTreeSet;

use aws_sdk_ec2::{
    Client,
    types::{Filter, Instance, IpPermission, NetworkAclEntry, Route, RouteTable, SecurityGroup},
};
use serde_json::{Value, json};

use super::{Seen, Unseen, answered, document, failed};
use crate::names::tag;

/// The number of the denial that ends every ACL.
const LAST_ENTRY: i32 = 32_767;

pub(super) async fn endpoints(client: &Client, vpc: &str) -> Seen {
    let action = "ec2:DescribeVpcEndpoints";
    let answer = client.describe_vpc_endpoints().filters(filter("vpc-id", vpc)).send().await;
    let answer = answer.map_err(|error| failed(action, &error))?;
    let gone = ["deleting", "deleted"];
    let standing = answer.vpc_endpoints().iter().filter(|endpoint| {
        !gone.contains(
            &endpoint.state.as_ref().map(|state| state.as_str().to_lowercase()).unwrap_or_default().as_str(),
        )
    });
    let mut all = Vec::new();
    for endpoint in standing {
        let tables: BTreeSet<&String> = endpoint.route_table_ids().iter().collect();
        let policy = endpoint.policy_document.as_deref().map(|text| document(action, text)).transpose()?;
        all.push(json!({"Id": endpoint.vpc_endpoint_id, "Service": endpoint.service_name, "Tables": tables,
            "Type": endpoint.vpc_endpoint_type.as_ref().map(aws_sdk_ec2::types::VpcEndpointType::as_str), "Policy": policy,
            "State": endpoint.state.as_ref().map(|state| state.as_str().to_lowercase())}));
    }
    Ok(Some(all.into()))
}

/// The table that a subnet is associated with, or the VPC's main one.
pub(super) async fn route_table(client: &Client, subnet: &str) -> Seen {
    let action = "ec2:DescribeRouteTables";
    let answer = client.describe_route_tables().filters(filter("association.subnet-id", subnet)).send().await;
    let answer = answer.map_err(|error| failed(action, &error))?;
    Ok(answer.route_tables().first().map(table))
}

fn table(table: &RouteTable) -> Value {
    let routes: Vec<Value> = table.routes().iter().map(route).collect();
    json!({"Id": table.route_table_id, "Routes": routes})
}

fn route(route: &Route) -> Value {
    let to = route.destination_cidr_block.as_ref().or(route.destination_ipv6_cidr_block.as_ref());
    let to = to.or(route.destination_prefix_list_id.as_ref());
    let ways = [
        &route.gateway_id,
        &route.nat_gateway_id,
        &route.network_interface_id,
        &route.instance_id,
        &route.vpc_peering_connection_id,
        &route.transit_gateway_id,
        &route.egress_only_internet_gateway_id,
        &route.local_gateway_id,
        &route.carrier_gateway_id,
        &route.core_network_arn,
    ];
    let via = ways.into_iter().flatten().next().map_or("something else", String::as_str);
    json!({"To": to, "Via": via})
}

pub(super) async fn acl(client: &Client, subnet: &str) -> Seen {
    let action = "ec2:DescribeNetworkAcls";
    let answer = client.describe_network_acls().filters(filter("association.subnet-id", subnet)).send().await;
    let answer = answer.map_err(|error| failed(action, &error))?;
    let entries = |acl: &aws_sdk_ec2::types::NetworkAcl| {
        acl.entries().iter().filter(|entry| entry.rule_number != Some(LAST_ENTRY)).map(entry).collect()
    };
    Ok(answer.network_acls().first().map(entries))
}

fn entry(entry: &NetworkAclEntry) -> Value {
    let with = entry.cidr_block.as_ref().or(entry.ipv6_cidr_block.as_ref());
    let ports = entry.port_range.as_ref();
    json!({"Egress": entry.egress, "Number": entry.rule_number, "Protocol": entry.protocol, "With": with,
        "Action": entry.rule_action.as_ref().map(aws_sdk_ec2::types::RuleAction::as_str),
        "From": ports.and_then(|ports| ports.from), "To": ports.and_then(|ports| ports.to)})
}

pub(super) async fn group(client: &Client, group: &str) -> Seen {
    let answer = client.describe_security_groups().group_ids(group).send().await;
    let found = answered("ec2:DescribeSecurityGroups", answer, &["InvalidGroup.NotFound"])?;
    Ok(found.and_then(|found| found.security_groups().first().map(rules)))
}

fn rules(group: &SecurityGroup) -> Value {
    let all = |rules: &[IpPermission]| rules.iter().map(rule).collect::<Vec<_>>();
    json!({"In": all(group.ip_permissions()), "Out": all(group.ip_permissions_egress())})
}

fn rule(rule: &IpPermission) -> Value {
    let v4 = rule.ip_ranges().iter().filter_map(|range| range.cidr_ip.clone());
    let v6 = rule.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6.clone());
    let lists = rule.prefix_list_ids().iter().filter_map(|list| list.prefix_list_id.clone());
    let groups = rule.user_id_group_pairs().iter().filter_map(|pair| pair.group_id.clone());
    let with: BTreeSet<String> = v4.chain(v6).chain(lists).chain(groups).collect();
    json!({"Protocol": rule.ip_protocol, "From": rule.from_port, "To": rule.to_port, "With": with})
}

/// The boxes of a stack that run, each with the rules of its groups.
pub(super) async fn boxes(client: &Client, stack: &str) -> Seen {
    let action = "ec2:DescribeInstances";
    let mut pages = client
        .describe_instances()
        .filters(filter(&format!("tag:{}", tag::STACK), stack))
        .filters(filter("instance-state-name", "running"))
        .into_paginator()
        .send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| failed(action, &error))?;
        for machine in page.reservations().iter().flat_map(aws_sdk_ec2::types::Reservation::instances) {
            all.push(shape(client, machine).await?);
        }
    }
    Ok(Some(all.into()))
}

async fn shape(client: &Client, machine: &Instance) -> Result<Value, Unseen> {
    let metadata = machine.metadata_options.as_ref();
    let profile = machine.iam_instance_profile.as_ref().and_then(|profile| profile.arn.as_ref());
    let of_interfaces =
        machine.network_interfaces().iter().flat_map(aws_sdk_ec2::types::InstanceNetworkInterface::groups);
    let ids: BTreeSet<String> =
        of_interfaces.chain(machine.security_groups()).filter_map(|group| group.group_id.clone()).collect();
    let mut groups = Vec::new();
    for id in ids {
        // A group that is gone by now belonged to a box that is going too.
        if let Some(mut rules) = group(client, &id).await? {
            rules["Id"] = Value::String(id);
            groups.push(rules);
        }
    }
    Ok(json!({"Id": machine.instance_id, "KeyPair": machine.key_name, "Profile": profile, "Groups": groups,
        "Tokens": metadata.and_then(|it| it.http_tokens.as_ref()).map(aws_sdk_ec2::types::HttpTokensState::as_str),
        "Hops": metadata.and_then(|it| it.http_put_response_hop_limit)}))
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}
