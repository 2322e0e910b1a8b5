//! An account in a table: what stands there, and what cannot be read.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::posture::{Account, Shipped, Thing, Unseen};

#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    pub(super) things: HashMap<Thing, Value>,
    pub(super) unseen: HashMap<Thing, Unseen>,
}

#[async_trait]
impl Account for Standing {
    async fn see(&self, thing: &Thing) -> Result<Option<Value>, Unseen> {
        self.unseen.get(thing).map_or_else(|| Ok(self.things.get(thing).cloned()), |why| Err(why.clone()))
    }
}

pub(super) fn now() -> Timestamp {
    "2026-11-21T10:10:00Z".parse().unwrap()
}

/// Names whose values matter to nothing here.
const OTHERS: &[&str] = &[
    "BackupKeyArn",
    "BackupKeyOrNone",
    "BreakGlass",
    "Deployer",
    "EksCluster",
    "Encryption",
    "Image",
    "LockDays",
    "OidcIssuer",
    "OperatorAccount",
    "OperatorNamespace",
    "PrivateGroup",
    "PrivateSubnet",
    "PublicSubnet",
    "ReceiptKey",
    "Vpc",
];

/// What the template hands over.
pub(super) fn environment(name: &str) -> Option<String> {
    let value = match name {
        "DRAWBRIDGE_CREATE_CODE_SHA256" => "create-digest",
        "DRAWBRIDGE_CLEANUP_CODE_SHA256" => "cleanup-digest",
        "DRAWBRIDGE_CLIENT_CIDRS" => "203.0.113.10/32",
        "DRAWBRIDGE_PARAM_Checks"
        | "DRAWBRIDGE_EXTRA_CA"
        | "DRAWBRIDGE_PARAM_EksCluster"
        | "DRAWBRIDGE_PARAM_OidcIssuer" => "",
        "DRAWBRIDGE_PARAM_ClusterName" => "demo",
        "DRAWBRIDGE_PARAM_BreakGlassArn" | "DRAWBRIDGE_PARAM_DeployerArn" => "none",
        "DRAWBRIDGE_PARAM_EncryptionKey" | "DRAWBRIDGE_PARAM_ReceiptKey" => "no",
        "DRAWBRIDGE_PARAM_ExpireDays" | "DRAWBRIDGE_PARAM_ObjectLockDays" => "0",
        "DRAWBRIDGE_PARAM_OperatorAccount" => "drawbridge",
        "DRAWBRIDGE_PARAM_OperatorNamespace" => "drawbridge-system",
        "DRAWBRIDGE_PARAM_VpcCidr" => "10.0.0.0/16",
        "DRAWBRIDGE_PARAM_SweepSchedule" => "rate(5 minutes)",
        "DRAWBRIDGE_OMITTED" => "create/CertifySessions,jumpbox/EncryptBackups",
        other => match other.strip_prefix("DRAWBRIDGE_NAME_")? {
            "Partition" => "aws",
            "Region" => "us-east-1",
            "Account" => "000000000000",
            "Cluster" => "demo",
            "Stack" => "drawbridge",
            "BackupBucket" => "drawbridge-demo-backup-000000000000",
            "StateBucket" => "drawbridge-demo-state-000000000000",
            "CreateFunction" | "CreateRole" => "drawbridge-demo-create",
            "CleanupFunction" | "CleanupRole" => "drawbridge-demo-cleanup",
            "PostureFunction" | "PostureRole" => "drawbridge-demo-posture",
            "BoxRole" | "InstanceProfile" => "drawbridge-demo-jumpbox",
            "InstanceTypes" => "t3.small,t3a.small",
            "SweepFunction" | "SweepRule" => "drawbridge-demo-sweep",
            "MarkerFunction" => "drawbridge-demo-marker",
            "S3Endpoint" => "vpce-1",
            "Operator" => "drawbridge-demo-operator",
            "EndedRule" => "drawbridge-demo-instance-ended",
            name if OTHERS.contains(&name) => return Some(format!("the-{}", name.to_lowercase())),
            _ => return None,
        },
    };
    Some(value.to_owned())
}

fn function_arn(function: &str) -> String {
    format!("arn:aws:lambda:us-east-1:000000000000:function:{function}")
}

fn role_arn(role: &str) -> String {
    format!("arn:aws:iam::000000000000:role/{role}")
}

/// An account as the template leaves it, with one box running.
pub(super) fn as_shipped(shipped: &Shipped) -> Standing {
    let names = &shipped.names;
    let mut things = HashMap::new();
    for (bucket, file) in [(&names.backup_bucket, "backup-bucket"), (&names.state_bucket, "state-bucket")] {
        let block = json!({"BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true,
            "RestrictPublicBuckets": true});
        things.insert(Thing::BucketPolicy(bucket.clone()), shipped.policy(file).clone());
        things.insert(Thing::PublicAccess(bucket.clone()), block);
        things.insert(Thing::Encryption(bucket.clone()), json!({"Algorithm": "AES256", "Key": null}));
    }
    let bucket = &names.backup_bucket;
    things.insert(Thing::Ownership(bucket.clone()), json!("BucketOwnerEnforced"));
    things.insert(Thing::Lock(bucket.clone()), json!({"Versioning": null, "Mode": null, "Days": null}));
    let unfinished = json!({"Id": "unfinished-uploads", "Enabled": true, "Prefix": "", "Expires": null,
        "NoncurrentExpires": null, "Markers": false, "AbortsAfter": 1});
    let ended = json!({"Id": "ended", "Enabled": true, "Prefix": "clusters/demo/ended/", "Expires": 7,
        "NoncurrentExpires": null, "Markers": false, "AbortsAfter": null});
    things.insert(Thing::Lifecycle(bucket.clone()), json!([unfinished, ended]));
    let marker = json!({"Target": function_arn(&names.marker_function), "Events": ["s3:ObjectCreated:*"],
        "Prefix": "clusters/demo/ended/"});
    things.insert(Thing::Notifications(bucket.clone()), json!([marker]));
    things.insert(Thing::LastSweep(names.state_bucket.clone()), json!("2026-11-21T10:07:00Z"));
    network(shipped, &mut things);
    identities(shipped, &mut things);
    functions(shipped, &mut things);
    Standing { things, unseen: HashMap::new() }
}

fn network(shipped: &Shipped, things: &mut HashMap<Thing, Value>) {
    let names = &shipped.names;
    let endpoint = json!({"Id": names.s3_endpoint, "Type": "Gateway", "Service": "com.amazonaws.us-east-1.s3",
        "State": "available", "Tables": ["rtb-private"], "Policy": shipped.policy("endpoint")});
    things.insert(Thing::Endpoints(names.vpc.clone()), json!([endpoint]));
    let local = json!({"To": "10.0.0.0/16", "Via": "local"});
    let private = json!({"Id": "rtb-private", "Routes": [local, {"To": "pl-s3", "Via": names.s3_endpoint}]});
    things.insert(Thing::RouteTable(names.private_subnet.clone()), private);
    let public = json!({"Id": "rtb-public", "Routes": [local, {"To": "0.0.0.0/0", "Via": "igw-1"}]});
    things.insert(Thing::RouteTable(names.public_subnet.clone()), public);
    let entry = |egress: bool, from: i64, to: i64| {
        json!({"Egress": egress, "Number": 100, "Action": "allow", "Protocol": "6", "With": "0.0.0.0/0",
            "From": from, "To": to})
    };
    let not_to_vpc = |egress: bool| {
        json!({"Egress": egress, "Number": 90, "Action": "deny", "Protocol": "-1", "With": "10.0.0.0/16",
            "From": null, "To": null})
    };
    let acl =
        json!([entry(false, 32_768, 60_999), entry(true, 443, 443), not_to_vpc(true), not_to_vpc(false)]);
    things.insert(Thing::Acl(names.private_subnet.clone()), acl);
    let out = json!({"Protocol": "tcp", "From": 443, "To": 443, "With": ["0.0.0.0/0"]});
    things.insert(Thing::Group(names.private_group.clone()), json!({"In": [], "Out": [out]}));
    let ssh = json!({"Protocol": "tcp", "From": 22, "To": 22, "With": ["203.0.113.10/32"]});
    let machine = json!({"Id": "i-1", "Tokens": "required", "Hops": 1, "KeyPair": null,
        "Profile": names.profile_arn(), "Groups": [{"Id": "sg-session", "In": [ssh], "Out": []},
            {"Id": names.private_group, "In": [], "Out": [out]}]});
    things.insert(Thing::Boxes(names.stack.clone()), json!([machine]));
}

fn identities(shipped: &Shipped, things: &mut HashMap<Thing, Value>) {
    let names = &shipped.names;
    for (role, file, service) in [
        (&names.create_role, "create", "lambda.amazonaws.com"),
        (&names.cleanup_role, "cleanup", "lambda.amazonaws.com"),
        (&names.posture_role, "posture", "lambda.amazonaws.com"),
        (&names.box_role, "jumpbox", "ec2.amazonaws.com"),
    ] {
        let trust = json!({"Version": "2012-10-17", "Statement": [{"Sid": "Any", "Effect": "Allow",
            "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]});
        let document = shipped.policy(file);
        things.insert(
            Thing::Role(role.clone()),
            json!({"Trust": trust, "Inline": {file: document}, "Attached": []}),
        );
    }
    things.insert(Thing::Profile(names.instance_profile.clone()), json!([names.box_role]));
    let arn = names.operator_policy_arn();
    let user = json!({"Inline": [], "Attached": [arn], "Groups": []});
    things.insert(Thing::User(names.operator.clone()), user);
    things.insert(Thing::ManagedPolicy(arn), shipped.policy("operator").clone());
}

fn functions(shipped: &Shipped, things: &mut HashMap<Thing, Value>) {
    let names = &shipped.names;
    let sweep_arn = function_arn(&names.sweep_function);
    let common = json!({"DRAWBRIDGE_CLUSTER": names.cluster, "DRAWBRIDGE_STACK": names.stack,
        "DRAWBRIDGE_BACKUP_BUCKET": names.backup_bucket, "DRAWBRIDGE_STATE_BUCKET": names.state_bucket,
        "DRAWBRIDGE_GRACE_SECONDS": "600", "DRAWBRIDGE_EXTRA_CA": ""});
    let serving = |what: &str| {
        let mut variables = common.clone();
        variables["DRAWBRIDGE_SERVES"] = json!(what);
        variables
    };
    let shape = json!({"DRAWBRIDGE_VPC_ID": names.vpc, "DRAWBRIDGE_PUBLIC_SUBNET_ID": names.public_subnet,
        "DRAWBRIDGE_PRIVATE_SUBNET_ID": names.private_subnet,
        "DRAWBRIDGE_PRIVATE_SECURITY_GROUP_ID": names.private_group,
        "DRAWBRIDGE_INSTANCE_PROFILE_ARN": names.profile_arn(), "DRAWBRIDGE_IMAGE_ID": "the-image",
        "DRAWBRIDGE_INSTANCE_TYPES": "t3.small,t3a.small", "DRAWBRIDGE_CLIENT_CIDRS": "203.0.113.10/32",
        "DRAWBRIDGE_MAX_BOXES": "4", "DRAWBRIDGE_MAX_SESSIONS_PER_DAY": "1000",
        "DRAWBRIDGE_SESSION_SECONDS": "3600", "DRAWBRIDGE_MAX_SESSION_BYTES": "53687091200",
        "DRAWBRIDGE_CHECKS": "", "DRAWBRIDGE_OBJECT_LOCK_DAYS": "0"});
    let mut of_create = common.clone();
    of_create.as_object_mut().unwrap().extend(shape.as_object().unwrap().clone());
    for (function, role, code, variables) in [
        (&names.create_function, &names.create_role, "create-digest", of_create),
        (&names.cleanup_function, &names.cleanup_role, "cleanup-digest", serving("requests")),
        (&names.marker_function, &names.cleanup_role, "cleanup-digest", serving("markers")),
        (&names.sweep_function, &names.cleanup_role, "cleanup-digest", serving("events")),
    ] {
        let found = json!({"Code": code, "Role": role_arn(role), "Handler": "bootstrap", "Layers": [],
            "Runtime": "provided.al2023", "Variables": variables, "Modified": "2026-11-20T10:00:00.000Z"});
        things.insert(Thing::Function(function.clone()), found);
    }
    let event = |sid: &str, service: &str, function: &str, condition: Value| {
        json!({"Sid": sid, "Effect": "Allow", "Principal": {"Service": service}, "Action": "lambda:InvokeFunction",
            "Resource": function_arn(function), "Condition": condition})
    };
    let from = |rule: &str| json!({"ArnLike": {"AWS:SourceArn": format!("arn:aws:events:us-east-1:000000000000:rule/{rule}")}});
    let marker = json!({"StringEquals": {"AWS:SourceAccount": names.account},
        "ArnLike": {"AWS:SourceArn": format!("arn:aws:s3:::{}", names.backup_bucket)}});
    let (on_rules, on_markers) = (&names.sweep_function, &names.marker_function);
    let rules = [&names.sweep_rule, &names.ended_rule];
    let by_rules = rules.map(|rule| event(rule, "events.amazonaws.com", on_rules, from(rule)));
    let by_bucket = vec![event("marker", "s3.amazonaws.com", on_markers, marker)];
    for (function, invokers) in [(on_rules, by_rules.to_vec()), (on_markers, by_bucket)] {
        let policy = json!({"Version": "2012-10-17", "Statement": invokers});
        things.insert(Thing::Invokers(function.clone()), policy);
    }
    let sweep = json!({"State": "ENABLED", "Schedule": "rate(5 minutes)", "Pattern": null,
        "Targets": [{"Arn": sweep_arn, "Input": "{\"sweep\":true}"}]});
    things.insert(Thing::Rule(names.sweep_rule.clone()), sweep);
    let ended = json!({"State": "ENABLED", "Schedule": null, "Targets": [{"Arn": sweep_arn, "Input": null}],
        "Pattern": {"source": ["aws.ec2"], "detail-type": ["EC2 Instance State-change Notification"],
            "detail": {"state": ["stopped", "terminated"]}}});
    things.insert(Thing::Rule(names.ended_rule.clone()), ended);
}
