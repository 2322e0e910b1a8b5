//! How the controller is set up: flags, each of which can be given by the environment.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use crate::controller::{PostureLimits, backoff::Backoff};

/// The flags of `drawbridge-controller run`.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// The namespace that the controller runs in; its lease lies there.
    #[arg(long, env = "DRAWBRIDGE_NAMESPACE", default_value = "drawbridge-system")]
    pub namespace: String,
    /// This process's name in the lease and in events: the pod's, so that a restarted container goes on at once.
    #[arg(long, env = "DRAWBRIDGE_POD_NAME")]
    pub pod_name: Option<String>,
    /// The lease that decides who acts.
    #[arg(long, env = "DRAWBRIDGE_LEASE_NAME", default_value = "drawbridge-controller")]
    pub lease_name: String,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "DRAWBRIDGE_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Reconciles of one kind at once.
    #[arg(long, env = "DRAWBRIDGE_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// Artifacts of one job that cross at once, each over a connection of its own.
    #[arg(long, env = "DRAWBRIDGE_PARALLEL_UPLOADS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=8))]
    pub parallel_uploads: u16,
    /// Seconds before the second attempt of a job; doubled for each further one.
    #[arg(long, env = "DRAWBRIDGE_BACKOFF_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub backoff_seconds: u64,
    /// Seconds between two looks at a stack's posture while no job waits.
    #[arg(long, env = "DRAWBRIDGE_POSTURE_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub posture_seconds: u64,
    /// A job opens a session only on a posture that was looked at within so many seconds.
    #[arg(long, env = "DRAWBRIDGE_POSTURE_MAX_AGE_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..=3_600))]
    pub posture_max_age_seconds: u64,
    /// Seconds for which a guarantee that cannot be looked at still counts as held.
    #[arg(long, env = "DRAWBRIDGE_POSTURE_GRACE_SECONDS", default_value_t = 1_800, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub posture_grace_seconds: u64,
    /// A file of CA certificates, trusted to vouch for AWS besides the system's: for private endpoints and tests.
    #[arg(long, env = "DRAWBRIDGE_AWS_CA_FILE")]
    pub aws_ca_file: Option<PathBuf>,
    /// Seconds that a stopping process gives to what is under way.
    #[arg(long, env = "DRAWBRIDGE_SHUTDOWN_SECONDS", default_value_t = 20)]
    pub shutdown_seconds: u64,
}

/// What the controllers need of the flags.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This process's name.
    pub identity: String,
    pub concurrency: u16,
    pub parallel_uploads: usize,
    pub backoff: Backoff,
    pub posture: PostureLimits,
    pub shutdown: Duration,
}

impl Flags {
    /// The longest wait between two attempts.
    const LONGEST_BACKOFF: Duration = Duration::from_mins(10);

    pub fn settings(&self) -> Settings {
        Settings {
            identity: self.identity(),
            concurrency: self.concurrency,
            parallel_uploads: usize::from(self.parallel_uploads),
            backoff: Backoff {
                first: Duration::from_secs(self.backoff_seconds),
                longest: Self::LONGEST_BACKOFF.max(Duration::from_secs(self.backoff_seconds)),
            },
            posture: PostureLimits {
                every: Duration::from_secs(self.posture_seconds),
                max_age: Duration::from_secs(self.posture_max_age_seconds),
                grace: Duration::from_secs(self.posture_grace_seconds),
            },
            shutdown: Duration::from_secs(self.shutdown_seconds),
        }
    }

    /// The pod's name, or, outside a cluster, the host's and the process's.
    pub fn identity(&self) -> String {
        self.pod_name.clone().unwrap_or_else(|| {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            format!("{}-{}", host.trim(), std::process::id())
        })
    }
}
