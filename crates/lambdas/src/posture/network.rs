//! The judges of the network: routes, the endpoint, the ACL, groups, and the boxes that run in it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Checker, Judged, NotHeld, Thing, expect, short};

/// What Linux connects from; the template's ACL lets answers in to it.
const EPHEMERAL: (i64, i64) = (32_768, 60_999);
/// TCP, as ACLs write it.
const TCP: &str = "6";

impl Checker {
    pub(super) async fn endpoint_policy(&self) -> Judged {
        let endpoint = self.endpoint().await?;
        let of = format!("endpoint {}", self.shipped.names.s3_endpoint);
        self.as_shipped("endpoint", &of, &endpoint["Policy"], "ModifyVpcEndpoint")
    }

    /// The one endpoint of the VPC, available, on the private route table and on no other.
    pub(super) async fn endpoint_routes(&self) -> Judged {
        let names = &self.shipped.names;
        let endpoint = self.endpoint().await?;
        let all = self.see(Thing::Endpoints(names.vpc.clone())).await?;
        let beside = all.as_array().into_iter().flatten().find(|other| other["Id"] != endpoint["Id"]);
        if let Some(other) = beside {
            return Err(NotHeld::broken(
                format!("endpoint {} to be the only one of {}", names.s3_endpoint, names.vpc),
                format!("{} to {} besides", short(&other["Id"]), short(&other["Service"])),
                "remove it: each endpoint is a way out of the private subnet",
            ));
        }
        let table = self.see(Thing::RouteTable(names.private_subnet.clone())).await?;
        let expected = json!({"Type": "Gateway", "Service": format!("com.amazonaws.{}.s3", names.region),
            "State": "available", "Tables": [table["Id"]]});
        let mut found = endpoint;
        found.as_object_mut().into_iter().for_each(|fields| {
            fields.retain(|key, _| key != "Id" && key != "Policy");
        });
        expect(&format!("endpoint {} to be", names.s3_endpoint), &expected, &found, || {
            "put it on the private route table alone; find in CloudTrail who called ModifyVpcEndpoint".to_owned()
        })?;
        Ok("on the private route table alone".to_owned())
    }

    pub(super) async fn private_routes(&self) -> Judged {
        let names = &self.shipped.names;
        let table = self.see(Thing::RouteTable(names.private_subnet.clone())).await?;
        let (outward, endpoint) = routes(&table, &names.s3_endpoint);
        if let Some(route) = outward.first() {
            return Err(leads_elsewhere("private", &names.s3_endpoint, &table, route));
        }
        if !endpoint {
            return Err(NotHeld::broken(
                format!("a route to endpoint {} in table {}", names.s3_endpoint, short(&table["Id"])),
                "none",
                "put the endpoint back on the private route table: boxes reach S3 by it alone",
            ));
        }
        Ok("to the endpoint and nowhere else".to_owned())
    }

    pub(super) async fn public_routes(&self) -> Judged {
        let table = self.see(Thing::RouteTable(self.shipped.names.public_subnet.clone())).await?;
        let (outward, _) = routes(&table, "local");
        let is_gateway = |route: &Value| {
            route["To"] == "0.0.0.0/0" && route["Via"].as_str().is_some_and(|via| via.starts_with("igw-"))
        };
        if let Some(route) = outward.iter().find(|route| !is_gateway(route)) {
            return Err(leads_elsewhere("public", "the internet gateway", &table, route));
        }
        if outward.is_empty() {
            return Err(NotHeld::broken(
                format!("a route to the internet gateway in table {}", short(&table["Id"])),
                "none",
                "put it back: the cluster reaches boxes by it",
            ));
        }
        Ok("to the internet gateway and nowhere else".to_owned())
    }

    pub(super) async fn private_acl(&self) -> Judged {
        let subnet = &self.shipped.names.private_subnet;
        let found = self.see(Thing::Acl(subnet.clone())).await?;
        let entry = |egress: bool, from: i64, to: i64| {
            json!({"Egress": egress, "Number": 100, "Action": "allow", "Protocol": TCP, "With": "0.0.0.0/0",
                "From": from, "To": to})
        };
        let port = self.shipped.s3_port;
        let expected =
            [entry(true, port, port), entry(false, EPHEMERAL.0, EPHEMERAL.1)].map(|entry| entry.to_string());
        let found: BTreeSet<String> =
            found.as_array().into_iter().flatten().map(ToString::to_string).collect();
        let expected = BTreeSet::from(expected);
        if found == expected {
            return Ok("S3's port out, its answers in".to_owned());
        }
        let missing: Vec<_> = expected.difference(&found).cloned().collect();
        let beside: Vec<_> = found.difference(&expected).cloned().collect();
        Err(NotHeld::broken(
            format!("the ACL of subnet {subnet} to let S3's port out and its answers in"),
            short(&json!({"missing": missing, "besides": beside})),
            "put its entries back and find in CloudTrail who called CreateNetworkAclEntry or ReplaceNetworkAclEntry",
        ))
    }

    pub(super) async fn private_group(&self) -> Judged {
        let group = &self.shipped.names.private_group;
        let found = self.see(Thing::Group(group.clone())).await?;
        let port = self.shipped.s3_port;
        let out = json!({"Protocol": "tcp", "From": port, "To": port, "With": ["0.0.0.0/0"]});
        let expected = json!({"In": [], "Out": [out]});
        expect(&format!("security group {group} to be"), &expected, &found, || {
            "put its rules back and find in CloudTrail who called AuthorizeSecurityGroupIngress or -Egress"
                .to_owned()
        })?;
        Ok("S3's port out, nothing in".to_owned())
    }

    /// Each box that runs now. Nothing runs most of the time, and then there is nothing to be wrong.
    pub(super) async fn boxes(&self) -> Judged {
        let names = &self.shipped.names;
        let found = self.see(Thing::Boxes(names.stack.clone())).await?;
        let boxes = found.as_array().map(Vec::as_slice).unwrap_or_default();
        for machine in boxes {
            let id = short(&machine["Id"]);
            let end = || format!("end {id} and find in CloudTrail who launched or changed it");
            let shape = [
                ("Tokens", json!("required")),
                ("Hops", json!(1)),
                ("KeyPair", Value::Null),
                ("Profile", json!(names.profile_arn())),
            ];
            for (what, expected) in shape {
                expect(&format!("{what} of box {id} to be"), &expected, &machine[what], end)?;
            }
            for group in machine["Groups"].as_array().into_iter().flatten() {
                self.session_group(&id, group, end)?;
            }
        }
        Ok(match boxes.len() {
            0 => "none runs".to_owned(),
            number => format!("{number} of the stack's shape"),
        })
    }

    /// The private group is judged by itself; any other is a session's.
    fn session_group(&self, id: &str, group: &Value, end: impl FnOnce() -> String) -> Result<(), NotHeld> {
        if group["Id"] == self.shipped.names.private_group.as_str() {
            return Ok(());
        }
        let clients: Vec<&String> = self.shipped.clients.iter().collect();
        let ssh = json!({"Protocol": "tcp", "From": 22, "To": 22, "With": clients});
        let expected = json!({"Id": group["Id"], "In": [ssh], "Out": []});
        expect(&format!("the group of box {id} to be"), &expected, group, end)
    }

    async fn endpoint(&self) -> Result<Value, NotHeld> {
        let names = &self.shipped.names;
        let all = self.see(Thing::Endpoints(names.vpc.clone())).await?;
        let own = all.as_array().into_iter().flatten().find(|one| one["Id"] == names.s3_endpoint.as_str());
        own.cloned().ok_or_else(|| {
            NotHeld::broken(
                format!("endpoint {} in {}", names.s3_endpoint, names.vpc),
                "none",
                "deploy the stack again: boxes reach S3 by it alone",
            )
        })
    }
}

/// The routes that lead out of the VPC other than by `known`, and whether one leads there.
fn routes(table: &Value, known: &str) -> (Vec<Value>, bool) {
    let all = table["Routes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let outward: Vec<&Value> = all.iter().filter(|route| route["Via"] != "local").collect();
    let by_known = outward.iter().any(|route| route["Via"] == known);
    (outward.into_iter().filter(|route| route["Via"] != known).cloned().collect(), by_known)
}

fn leads_elsewhere(which: &str, only: &str, table: &Value, route: &Value) -> NotHeld {
    NotHeld::broken(
        format!("the {which} route table {} to lead to {only} alone", short(&table["Id"])),
        format!("a route to {} by {}", short(&route["To"]), short(&route["Via"])),
        "remove the route and find in CloudTrail who called CreateRoute",
    )
}
