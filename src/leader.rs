//! One process acts: the one that holds the lease.
//!
//! Every change of the lease carries the resource version that it was decided on, so two processes cannot both take
//! it. A holder that could not renew in time stops at once: the process ends, and whatever it had begun is closed by
//! its successor.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::{metrics::Metrics, serve::Health};

/// How long a lease is good without renewal.
const TERM: Duration = Duration::from_secs(15);
/// How long a holder tries to renew before it gives itself up; less than the term, so that it stops before another begins.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often the lease is looked at.
const EVERY: Duration = Duration::from_secs(2);

/// The lease and who we are.
#[derive(Clone)]
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Election {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Election({} as {})", self.name, self.identity)
    }
}

/// The lease is lost, or was never ours.
#[derive(Debug, thiserror::Error)]
#[error("the lease {name} could not be renewed for {} s: another process may act now, so this one ends", RENEW_DEADLINE.as_secs())]
pub struct Lost {
    name: String,
}

impl Election {
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let leases = Api::namespaced(client, namespace);
        Self { leases, name: name.to_owned(), identity: identity.to_owned(), health, metrics }
    }

    /// Waits until the lease is ours.
    pub async fn win(&self) {
        let mut told = false;
        loop {
            match timeout(RENEW_DEADLINE, self.hold()).await {
                Ok(Ok(true)) => break,
                Ok(Ok(false)) if !told => {
                    info!(lease = self.name, "another process acts; this one stands by");
                    told = true;
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => warn!(lease = self.name, %error, "the lease could not be looked at"),
                Err(_) => warn!(lease = self.name, "the API server does not answer"),
            }
            sleep(EVERY).await;
        }
        info!(lease = self.name, identity = self.identity, "this process acts");
        self.metrics.leads(true);
    }

    /// Keeps the lease; returns when it is lost.
    pub async fn keep(&self) -> Lost {
        let mut held = Instant::now();
        loop {
            sleep(EVERY).await;
            let begun = Instant::now();
            let left = RENEW_DEADLINE.saturating_sub(held.elapsed());
            match timeout(left, self.hold()).await {
                Ok(Ok(true)) => held = begun,
                Ok(Ok(false)) => break,
                Ok(Err(error)) => warn!(lease = self.name, %error, "the lease could not be renewed"),
                Err(_) => warn!(lease = self.name, "the API server does not answer"),
            }
            if held.elapsed() >= RENEW_DEADLINE {
                break;
            }
        }
        self.metrics.leads(false);
        Lost { name: self.name.clone() }
    }

    /// Gives the lease up, so that the next process need not wait for its end.
    pub async fn release(&self) {
        let Ok(Some(mut lease)) = self.leases.get_opt(&self.name).await else { return };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return;
        }
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        if let Err(error) = self.leases.replace(&self.name, &PostParams::default(), &lease).await {
            warn!(lease = self.name, %error, "the lease could not be given up; it ends by itself");
        }
    }

    /// Takes or renews the lease; `false` if someone else holds it.
    async fn hold(&self) -> Result<bool, kube::Error> {
        let found = self.leases.get_opt(&self.name).await?;
        self.health.answered();
        let Some(ours) = claim(found.as_ref(), &self.name, &self.identity, Timestamp::now()) else {
            return Ok(false);
        };
        let written = match found {
            Some(_) => self.leases.replace(&self.name, &PostParams::default(), &ours).await,
            None => self.leases.create(&PostParams::default(), &ours).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The lease as it would be ours; `None` while another's is good.
fn claim(found: Option<&Lease>, name: &str, identity: &str, now: Timestamp) -> Option<Lease> {
    let old = found.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let mine = old.holder_identity.as_deref() == Some(identity);
    let held = old.holder_identity.as_deref().is_some_and(|holder| !holder.is_empty());
    if held && !mine && !is_over(&old, now) {
        return None;
    }
    let spec = LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(TERM.as_secs()).ok(),
        acquire_time: if mine { old.acquire_time } else { Some(MicroTime(now)) },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(old.lease_transitions.unwrap_or(0) + i32::from(!mine)),
        ..old
    };
    let metadata = found.map_or_else(
        || ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        |lease| lease.metadata.clone(),
    );
    Some(Lease { metadata, spec: Some(spec) })
}

fn is_over(lease: &LeaseSpec, now: Timestamp) -> bool {
    let term = SignedDuration::from_secs(i64::from(lease.lease_duration_seconds.unwrap_or(0)));
    let end = lease.renew_time.as_ref().and_then(|renewed| renewed.0.checked_add(term).ok());
    end.is_none_or(|end| end < now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_free_lease_is_taken_and_anothers_only_when_it_is_over() {
        let first = claim(None, "l", "a", at(0)).unwrap();
        assert!(claim(Some(&first), "l", "b", at(15)).is_none());
        let second = claim(Some(&first), "l", "b", at(16)).unwrap().spec.unwrap();
        assert_eq!((second.holder_identity.as_deref(), second.lease_transitions), (Some("b"), Some(2)));
    }

    #[test]
    fn ones_own_lease_is_renewed_at_once_and_keeps_its_history() {
        let first = claim(None, "l", "a", at(0)).unwrap();
        let again = claim(Some(&first), "l", "a", at(100)).unwrap().spec.unwrap();
        assert_eq!((again.acquire_time.unwrap().0, again.renew_time.unwrap().0), (at(0), at(100)));
        assert_eq!(again.lease_transitions, Some(1));
    }

    #[test]
    fn a_lease_that_was_given_up_is_free() {
        let mut given_up = claim(None, "l", "a", at(0)).unwrap();
        given_up.spec.as_mut().unwrap().holder_identity = None;
        assert!(claim(Some(&given_up), "l", "b", at(1)).is_some());
    }
}
