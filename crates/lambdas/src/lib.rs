//! The Lambdas: `create` makes a box, `cleanup` destroys it, and no other code may do either. `posture` ([`posture`])
//! looks at the stack and never writes; what follows is about the other two.
//!
//! Everything here is idempotent under the session id. What was done is saved in the state bucket after each
//! call that makes something, by conditional writes; what belongs to a session is found again by its tags.
//!
//! # What each Lambda calls
//! The policies in `infra/policies` allow this and nothing else. `create` ends what it should not have made (a
//! session closed under its hands, a slot whose session is long past), so it may do all that `cleanup` may.
//!
//! | action | resource | by | what for |
//! |---|---|---|---|
//! | `s3:ListBucket` | state bucket | both | a missing key must read as 404, not 403; lists `slots/`, `sessions/`, `boot/`, `ready/`, never `closed/` |
//! | `s3:GetObject` | `slots/*`, `sessions/*`, `closed/*` | both | |
//! | `s3:GetObject`, `s3:PutObject` | `baselines/*` | get: both; put: cleanup | what the run before came to; `If-None-Match: *` or `If-Match` |
//! | `s3:GetObject` | `ready/*` | cleanup | the key that a receipt must be signed with |
//! | `s3:GetObject`, `s3:PutObject` | `sweeps/*` | cleanup | the mark of the last sweep, which `posture` finds by its age |
//! | `s3:GetObject` | `boot/*`, `ready/*` | create | the presigned URLs of program and orders; orders that an earlier call put; the program's HeadObject; the box's report |
//! | `s3:GetObject`, `s3:PutObject` | `days/*` | create | the day's count, with `If-None-Match: *` or `If-Match` |
//! | `s3:GetObject` | `switch/*` | create | whether an administrator stopped the stack |
//! | `s3:PutObject` | `sessions/*`, `closed/*` | both | with `If-None-Match: *` or `If-Match` |
//! | `s3:PutObject` | `slots/*`, `boot/*`, `ready/*` | create | always with `If-None-Match: *`; `ready/*` only by the box, presigned |
//! | `s3:DeleteObject` | `slots/*`, `sessions/*`, `boot/<session>/*`, `ready/*` | both | never `boot/program/*`, never `closed/*` |
//! | `s3:ListBucketMultipartUploads` | backup bucket | both | |
//! | `s3:AbortMultipartUpload` | backup bucket, `clusters/<cluster>/*` | both | |
//! | `ec2:DescribeInstances`, `ec2:DescribeNetworkInterfaces`, `ec2:DescribeSecurityGroups` | `*` | both | |
//! | `ec2:TerminateInstances` | instances tagged `drawbridge:stack` | both | |
//! | `ec2:DeleteNetworkInterface` | interfaces tagged `drawbridge:stack` | both | |
//! | `ec2:DeleteSecurityGroup` | groups tagged `drawbridge:stack` | both | |
//! | `ec2:CreateSecurityGroup` | the VPC; a new group that carries the stack's tag in the request | create | |
//! | `ec2:RevokeSecurityGroupEgress`, `ec2:AuthorizeSecurityGroupIngress` | groups tagged `drawbridge:stack` | create | |
//! | `ec2:RunInstances` | the image, the public subnet, a group tagged `drawbridge:stack`; a new instance, volume and interface that carry the stack's tag in the request | create | |
//! | `ec2:CreateNetworkInterface` | the private subnet, the private group; a new interface that carries the stack's tag in the request | create | |
//! | `ec2:AttachNetworkInterface` | interface and instance tagged `drawbridge:stack` | create | |
//! | `ec2:ModifyNetworkInterfaceAttribute` | interface (and instance) tagged `drawbridge:stack` | create | delete on termination |
//! | `ec2:CreateTags` | new instance, volume, network-interface, security-group, `ec2:CreateAction` one of RunInstances, CreateNetworkInterface, CreateSecurityGroup | create | tag keys `Name`, `drawbridge:stack`, `drawbridge:session`, `drawbridge:deadline` |
//! | `iam:PassRole` | the jump box role, to `ec2.amazonaws.com` | create | |
//! | `kms:Sign` | the receipt key, with ECDSA_SHA_256 over a RAW message | create | |
//!
//! The box uses the presigned URLs through the S3 endpoint, signed by `create`'s role: the endpoint's policy needs
//! `s3:GetObject` on `boot/*` and `s3:PutObject` on `ready/*` of the state bucket for that principal.

pub mod aws;
pub mod baselines;
pub mod certify;
pub(crate) mod claim;
pub mod cleanup;
pub mod config;
pub mod create;
pub mod destroy;
pub mod ec2;
pub mod emf;
pub mod error;
pub mod events;
pub mod kms;
pub(crate) mod launch;
pub mod machines;
pub mod names;
pub mod posture;
pub(crate) mod quota;
pub(crate) mod report;
pub mod rules;
pub mod runtime;
pub mod s3;
pub mod state;
pub mod store;
pub mod sweep;
#[cfg(test)]
mod tests;
pub mod uploads;
pub mod user_data;
