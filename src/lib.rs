//! Drawbridge's operator: carries backups out of a cluster over a bridge that exists only while something crosses it.
//!
//! # What it may do, and calls
//!
//! In Kubernetes, as its own service account; the Helm chart grants this and nothing else.
//!
//! | group, resource | verbs | where it is called |
//! |---|---|---|
//! | `drawbridge.dev` backupjobs | get, list, watch, patch, delete | watch; finalizer and cancel annotation; TTL |
//! | `drawbridge.dev` backupjobs/status | update | every step's intent and result |
//! | `drawbridge.dev` backupvaults | get, list, watch | watch |
//! | `drawbridge.dev` backupvaults/status | update | readiness, open and abandoned sessions |
//! | core namespaces | get | labels, for `allowedNamespaces.selector` |
//! | core serviceaccounts/token, resourceNames `drawbridge-gatherer` | create | 600-second tokens to gather with |
//! | `events.k8s.io` events | create, patch | what happened, for people |
//! | `coordination.k8s.io` leases (its own namespace) | get, create, update | leader election |
//!
//! `drawbridge-controller drain` needs `backupjobs` list and patch alone.
//!
//! As the minted token of a namespace's `drawbridge-gatherer`, which that namespace's admin binds: pods list;
//! pods/exec create and get.
//!
//! In AWS: `lambda:InvokeFunction` on the vault's functions (create, cleanup, posture). Of AWS's SDKs only Lambda's is
//! linked.

pub mod api;
pub mod broker;
pub mod controller;
pub mod cost;
pub mod drain;
pub mod fault;
pub mod gather;
pub mod leader;
pub mod metrics;
pub mod serve;
pub mod settings;
pub mod transfer;
