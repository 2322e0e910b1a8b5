//! `drawbridge-controller`: runs the operator, prints its custom resources, drains it before it is uninstalled.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use drawbridge::{
    broker::{LambdaBroker, trust},
    controller::{
        self, Parts,
        backupjob::Ssh,
        ports::{SystemClock, SystemEntropy},
    },
    drain,
    gather::TokenClients,
    leader::Election,
    metrics::Metrics,
    serve::{self, Health},
    settings::Flags,
};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// What is logged, as tracing-subscriber reads it.
    #[arg(long, env = "DRAWBRIDGE_LOG", default_value = "info", global = true)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator.
    Run(Flags),
    /// Cancel every job and wait until no session is open.
    Drain {
        /// Seconds to wait.
        #[arg(long, env = "DRAWBRIDGE_DRAIN_SECONDS", default_value_t = 600)]
        timeout_seconds: u64,
    },
    /// Print the custom resource definitions as YAML.
    Crds {
        /// Write one file a definition into this directory instead.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Command::Crds { out } = arguments.command {
        return write_definitions(out.as_deref());
    }
    let filter = EnvFilter::try_new(&arguments.log).context("DRAWBRIDGE_LOG cannot be read")?;
    tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false).with_env_filter(filter).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let (cluster, client) = connect().await?;
        match arguments.command {
            Command::Run(flags) => run(flags, cluster, client).await,
            Command::Drain { timeout_seconds } => {
                drain::drain(client, Duration::from_secs(timeout_seconds)).await
            }
            Command::Crds { .. } => Ok(()),
        }
    })
}

async fn connect() -> anyhow::Result<(Config, Client)> {
    let cluster = Config::infer().await.context("neither a kubeconfig nor a pod's account was found")?;
    let client = Client::try_from(cluster.clone()).context("the cluster's configuration cannot be used")?;
    Ok((cluster, client))
}

/// Waits for the lease, then acts until it is told to stop. Losing the lease ends the process at once.
async fn run(flags: Flags, cluster: Config, client: Client) -> anyhow::Result<()> {
    let extra_ca = flags.aws_ca_file.as_deref().map(trust::load).transpose()?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
    let (health, metrics) = (Arc::new(Health::default()), Arc::new(Metrics::default()));
    let serving = serve::serve(flags.listen, Arc::clone(&health), Arc::clone(&metrics));
    let identity = flags.identity();
    let election = Election::new(
        client.clone(),
        &flags.namespace,
        &flags.lease_name,
        &identity,
        Arc::clone(&health),
        Arc::clone(&metrics),
    );
    let (settings, accounts): (_, Arc<dyn TokenClients>) = (flags.settings(), Arc::new(cluster));
    let carrier = Ssh {
        client: client.clone(),
        accounts: Arc::clone(&accounts),
        parallel_uploads: settings.parallel_uploads,
    };
    let parts = Parts {
        client,
        accounts,
        broker: Arc::new(LambdaBroker::from_environment(extra_ca.as_ref()).await),
        carrier: Arc::new(carrier),
        clock: Arc::new(SystemClock::default()),
        entropy: Arc::new(SystemEntropy),
        metrics,
        settings,
    };
    info!(version = env!("CARGO_PKG_VERSION"), identity, "drawbridge-controller begins");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        health.stops();
    };
    tokio::pin!(stop);
    tokio::select! {
        served = serving => served.with_context(|| format!("{} cannot be served", flags.listen)),
        acted = act(&election, parts, stop) => acted,
    }
}

async fn act(
    election: &Election,
    parts: Parts,
    mut stop: impl Future<Output = ()> + Send + Unpin,
) -> anyhow::Result<()> {
    tokio::select! {
        () = election.win() => {}
        () = &mut stop => return Ok(()),
    }
    tokio::select! {
        () = controller::run(parts, stop) => {
            election.release().await;
            info!("drawbridge-controller ends");
            Ok(())
        }
        lost = election.keep() => {
            error!(%lost, "drawbridge-controller ends");
            Err(lost.into())
        }
    }
}

/// The files of `crds/`, or all of them on standard output.
fn write_definitions(directory: Option<&Path>) -> anyhow::Result<()> {
    for (name, definition) in drawbridge::api::definitions() {
        let yaml = drawbridge::api::to_yaml(&definition)
            .with_context(|| format!("{name} cannot be written as YAML"))?;
        match directory {
            Some(directory) => {
                let path = directory.join(name);
                std::fs::write(&path, yaml)
                    .with_context(|| format!("{} cannot be written", path.display()))?;
            }
            None => write!(std::io::stdout(), "---\n{yaml}").context("standard output cannot be written")?,
        }
    }
    Ok(())
}
