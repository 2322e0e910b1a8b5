//! What can be looked at, and how it is written down: as a small JSON document, the same whoever reads it.

use std::fmt;

/// One thing of the account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Thing {
    /// The document.
    BucketPolicy(String),
    /// `{"BlockPublicAcls": true, ...}`, the four.
    PublicAccess(String),
    /// `"BucketOwnerEnforced"`.
    Ownership(String),
    /// `{"Algorithm": "AES256", "Key": null}`.
    Encryption(String),
    /// `{"Versioning": "Enabled", "Mode": "COMPLIANCE", "Days": 30}`; nulls where there is none.
    Lock(String),
    /// `[{"Id", "Enabled", "Prefix", "Expires", "NoncurrentExpires", "Markers", "AbortsAfter"}]`: days or null; whether it
    /// removes delete markers.
    Lifecycle(String),
    /// `[{"Target", "Events", "Prefix"}]`.
    Notifications(String),
    /// When the sweeper last put its mark, RFC 3339.
    LastSweep(String),
    /// The object by which an administrator stops the stack: its key.
    Stop(String),
    /// Of a VPC: `[{"Id", "Type", "Service", "State", "Tables", "Policy"}]`.
    Endpoints(String),
    /// Of a subnet: `{"Id", "Routes": [{"To", "Via"}]}`.
    RouteTable(String),
    /// Of a subnet: `[{"Egress", "Number", "Action", "Protocol", "With", "From", "To"}]`, the final denial left out.
    Acl(String),
    /// `{"In": [rule], "Out": [rule]}`, a rule being `{"Protocol", "From", "To", "With": [..]}`.
    Group(String),
    /// Of a stack, those that run: `[{"Id", "Tokens", "Hops", "KeyPair", "Profile", "Groups": [..]}]`.
    Boxes(String),
    /// `{"Trust", "Inline": {name: document}, "Attached": [arn]}`.
    Role(String),
    /// The names of its roles.
    Profile(String),
    /// `{"Inline": [name], "Attached": [arn], "Groups": [name]}`.
    User(String),
    /// The default version's document, by ARN.
    ManagedPolicy(String),
    /// `{"Code", "Role", "Handler", "Runtime", "Layers": [arn], "Variables": {..}, "Modified"}`.
    Function(String),
    /// A function's resource policy.
    Invokers(String),
    /// The URLs of a function.
    Urls(String),
    /// What is reserved for a function.
    Concurrency(String),
    /// `{"State", "Schedule", "Pattern", "Targets": [{"Arn", "Input"}]}`.
    Rule(String),
    /// `{"State", "Usage", "Policy"}`, by ARN.
    Key(String),
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, whose) = match self {
            Self::BucketPolicy(name) => ("a policy on bucket", name),
            Self::PublicAccess(name) => ("a public access block on bucket", name),
            Self::Ownership(name) => ("ownership controls on bucket", name),
            Self::Encryption(name) => ("default encryption on bucket", name),
            Self::Lock(name) => ("versioning of bucket", name),
            Self::Lifecycle(name) => ("a lifecycle of bucket", name),
            Self::Notifications(name) => ("notifications of bucket", name),
            Self::LastSweep(name) => ("the sweeper's mark in bucket", name),
            Self::Stop(name) => ("the stop in bucket", name),
            Self::Endpoints(name) => ("endpoints in", name),
            Self::RouteTable(name) => ("a route table of subnet", name),
            Self::Acl(name) => ("a network ACL of subnet", name),
            Self::Group(name) => ("security group", name),
            Self::Boxes(name) => ("boxes of stack", name),
            Self::Role(name) => ("role", name),
            Self::Profile(name) => ("instance profile", name),
            Self::User(name) => ("user", name),
            Self::ManagedPolicy(name) => ("policy", name),
            Self::Function(name) => ("function", name),
            Self::Invokers(name) => ("a resource policy on function", name),
            Self::Urls(name) => ("URLs of function", name),
            Self::Concurrency(name) => ("the concurrency of function", name),
            Self::Rule(name) => ("rule", name),
            Self::Key(name) => ("key", name),
        };
        write!(f, "{what} {whose}")
    }
}
