//! Ways to break the network's guarantees, and the boxes'.

use drawbridge_protocol::posture::Name;
use serde_json::{Value, json};

use crate::{Flip, bed::Bed, call};

/// What marks the box of somebody else, so that it is found again.
const MARK: &str = "drawbridge:posture-test";

pub(crate) fn flips(bed: &Bed) -> Vec<Flip> {
    let endpoint = bed.output("S3EndpointId");
    let group = bed.output("PrivateSecurityGroupId");
    let (public, private) = (table(bed, "PublicSubnetId"), table(bed, "PrivateSubnetId"));
    let gateway = gateway(bed);
    let acl = acl(bed);
    let modify = |what: &str, value: &str| {
        call(&["ec2", "modify-vpc-endpoint", "--vpc-endpoint-id", &endpoint, what, value])
    };
    let route = |what: &str, table: &str, to: &str| {
        let mut words = vec!["ec2", what, "--route-table-id", table, "--destination-cidr-block", to];
        if what == "create-route" {
            words.extend(["--gateway-id", gateway.as_str()]);
        }
        call(&words)
    };
    let entry = |what: &str| {
        let mut words =
            vec!["ec2", what, "--network-acl-id", acl.as_str(), "--rule-number", "50", "--ingress"];
        if what.starts_with("create") {
            words.extend(["--protocol", "-1", "--rule-action", "allow", "--cidr-block", "0.0.0.0/0"]);
        }
        call(&words)
    };
    let rule = |what: &str| {
        let words = ["--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0"];
        call(&[&["ec2", what, "--group-id", &group][..], &words[..]].concat())
    };
    let anything = json!({"Version": "2012-10-17", "Statement": [{"Sid": "Anything", "Effect": "Allow", "Principal": "*",
        "Action": "s3:*", "Resource": "*"}]});
    vec![
        Flip::of(
            Name::EndpointPolicy,
            "the endpoint lets everything through",
            vec![modify("--policy-document", &anything.to_string())],
            vec![modify("--policy-document", &endpoint_policy(bed, &endpoint))],
        ),
        Flip::of(
            Name::EndpointRoutes,
            "the endpoint on the public route table too",
            vec![modify("--add-route-table-ids", &public)],
            vec![modify("--remove-route-table-ids", &public)],
        ),
        Flip::of(
            Name::PrivateRoutes,
            "the private route table leads to the internet gateway",
            vec![route("create-route", &private, "0.0.0.0/0")],
            vec![route("delete-route", &private, "0.0.0.0/0")],
        ),
        Flip::of(
            Name::PublicRoutes,
            "another route in the public route table",
            vec![route("create-route", &public, "192.0.2.0/24")],
            vec![route("delete-route", &public, "192.0.2.0/24")],
        ),
        Flip::of(
            Name::PrivateAcl,
            "an ACL entry that lets everything in",
            vec![entry("create-network-acl-entry")],
            vec![entry("delete-network-acl-entry")],
        ),
        Flip::of(
            Name::PrivateGroup,
            "SSH let into the private group",
            vec![rule("authorize-security-group-ingress")],
            vec![rule("revoke-security-group-ingress")],
        ),
        boxes(bed),
    ]
}

/// A machine with the stack's tag that takes the first metadata protocol.
fn boxes(bed: &Bed) -> Flip {
    let tags = format!(
        "ResourceType=instance,Tags=[{{Key=drawbridge:stack,Value=drawbridge}},{{Key={MARK},Value=yes}}]"
    );
    let subnet = bed.output("PublicSubnetId");
    let image = image(bed);
    let run = [
        "ec2",
        "run-instances",
        "--image-id",
        &image,
        "--instance-type",
        "t3.small",
        "--subnet-id",
        &subnet,
        "--metadata-options",
        "HttpTokens=optional,HttpPutResponseHopLimit=2",
        "--tag-specifications",
        &tags,
        "--client-token",
        "drawbridge-posture-test",
    ];
    let found: Value = serde_json::from_str(&bed.aws(&run)).unwrap();
    let id = found["Instances"][0]["InstanceId"].as_str().unwrap().to_owned();
    let options = |tokens: &str, hops: &str| {
        call(&[
            "ec2",
            "modify-instance-metadata-options",
            "--instance-id",
            &id,
            "--http-tokens",
            tokens,
            "--http-put-response-hop-limit",
            hops,
        ])
    };
    // Until its row the machine carries no tag of the stack's, so it is none of its boxes.
    let tag = |what: &str| {
        call(&["ec2", what, "--resources", &id, "--tags", "Key=drawbridge:stack,Value=drawbridge"])
    };
    bed.aws(&["ec2", "delete-tags", "--resources", &id, "--tags", "Key=drawbridge:stack"]);
    Flip::of(
        Name::Boxes,
        "a machine with the stack's tag that takes IMDSv1",
        vec![options("optional", "2"), tag("create-tags")],
        vec![tag("delete-tags"), call(&["ec2", "terminate-instances", "--instance-ids", &id])],
    )
}

fn read(bed: &Bed, words: &[&str]) -> Value {
    serde_json::from_str(&bed.aws(words)).unwrap()
}

fn table(bed: &Bed, subnet: &str) -> String {
    let filter = format!("Name=association.subnet-id,Values={}", bed.output(subnet));
    let found = read(bed, &["ec2", "describe-route-tables", "--filters", &filter]);
    found["RouteTables"][0]["RouteTableId"].as_str().unwrap().to_owned()
}

fn gateway(bed: &Bed) -> String {
    let filter = format!("Name=attachment.vpc-id,Values={}", bed.output("VpcId"));
    let found = read(bed, &["ec2", "describe-internet-gateways", "--filters", &filter]);
    found["InternetGateways"][0]["InternetGatewayId"].as_str().unwrap().to_owned()
}

fn acl(bed: &Bed) -> String {
    let filter = format!("Name=association.subnet-id,Values={}", bed.output("PrivateSubnetId"));
    let found = read(bed, &["ec2", "describe-network-acls", "--filters", &filter]);
    found["NetworkAcls"][0]["NetworkAclId"].as_str().unwrap().to_owned()
}

fn endpoint_policy(bed: &Bed, endpoint: &str) -> String {
    let found = read(bed, &["ec2", "describe-vpc-endpoints", "--vpc-endpoint-ids", endpoint]);
    found["VpcEndpoints"][0]["PolicyDocument"].as_str().unwrap().to_owned()
}

fn image(bed: &Bed) -> String {
    let function = bed.output("CreateFunctionArn");
    let found = read(bed, &["lambda", "get-function-configuration", "--function-name", &function]);
    found["Environment"]["Variables"]["DRAWBRIDGE_IMAGE_ID"].as_str().unwrap().to_owned()
}
