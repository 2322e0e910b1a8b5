//! The judges of the network: routes, the endpoint, the ACL, groups, and the boxes that run in it.

use serde_json::{Value, json};

use super::{
    Checker, Judged, NotHeld, Thing, expect, expect_set, number,
    shipped::{Template, Untold},
    short,
};

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
            "put it on the private route table alone; find in CloudTrail who called ModifyVpcEndpoint"
                .to_owned()
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
        let template = &self.shipped.template;
        let mut expected = Vec::new();
        for entry in template.of_type("AWS::EC2::NetworkAclEntry")? {
            let entry = without_acl(template, entry)?;
            expected.push(json!({"Egress": entry["Egress"], "Number": number(&entry["RuleNumber"]),
                "Action": entry["RuleAction"], "Protocol": number(&entry["Protocol"]).to_string(),
                "With": entry["CidrBlock"], "From": number(&entry["PortRange"]["From"]),
                "To": number(&entry["PortRange"]["To"])}));
        }
        let entries = expected.len();
        let found = self.see(Thing::Acl(subnet.clone())).await?;
        expect_set(&format!("the ACL of subnet {subnet} to have"), expected, &found, || {
            "put its entries back; find in CloudTrail who called CreateNetworkAclEntry or ReplaceNetworkAclEntry"
                .to_owned()
        })?;
        Ok(format!("as shipped, {entries} entries"))
    }

    pub(super) async fn private_group(&self) -> Judged {
        let group = &self.shipped.names.private_group;
        let rules = self.shipped.template.property("PrivateSecurityGroup", &["SecurityGroupEgress"])?;
        let out: Vec<Value> = rules
            .as_array()
            .into_iter()
            .flatten()
            .map(|rule| {
                json!({"Protocol": rule["IpProtocol"], "From": number(&rule["FromPort"]),
                    "To": number(&rule["ToPort"]), "With": [rule["CidrIp"]]})
            })
            .collect();
        let found = self.see(Thing::Group(group.clone())).await?;
        expect(&format!("security group {group} to be"), &json!({"In": [], "Out": out}), &found, || {
            "put its rules back and find in CloudTrail who called AuthorizeSecurityGroupIngress or -Egress"
                .to_owned()
        })?;
        Ok("as shipped, nothing in".to_owned())
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
        // A box that nobody may reach yet is no worse than shipped.
        let shut = group["In"].as_array().is_some_and(Vec::is_empty);
        let within = if shut { json!([]) } else { json!([ssh]) };
        let expected = json!({"Id": group["Id"], "In": within, "Out": []});
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

/// An entry's properties but the ACL that it is of, whose id nobody tells us: the stack has one ACL.
fn without_acl(template: &Template, entry: &str) -> Result<Value, Untold> {
    let mut found = serde_json::Map::new();
    for part in ["Egress", "RuleNumber", "RuleAction", "Protocol", "CidrBlock", "PortRange"] {
        found.insert(part.to_owned(), template.property(entry, &[part])?);
    }
    Ok(found.into())
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
