//! `drawbridge-jumpbox`: reads its orders, runs one session, exits. User data shuts the machine down after it.

use std::{net::Ipv4Addr, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use drawbridge_jumpbox::{Ending, Jumpbox, Machine, Place, load_orders};
use tracing_subscriber::EnvFilter;

/// The box of one Drawbridge session.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The session's orders, as `create` wrote them.
    #[arg(long)]
    orders: PathBuf,
    /// The private network device: everything to S3 leaves by it and by no other.
    #[arg(long)]
    interface: String,
    /// Where clients come in. The stack's security group opens 22 alone.
    #[arg(long, default_value_t = 22)]
    port: u16,
}

fn main() -> ExitCode {
    let filter =
        EnvFilter::try_from_env("DRAWBRIDGE_LOG").unwrap_or_else(|_| EnvFilter::new("info,russh=warn"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse()) {
        Ok(ending) => {
            tracing::info!(?ending, "the session is over");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the box cannot go on");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> anyhow::Result<Ending> {
    let orders = load_orders(&arguments.orders)?;
    let machine = Machine::from_instance_metadata().await.context("reading the instance metadata")?;
    let place = Place {
        listen: (Ipv4Addr::UNSPECIFIED, arguments.port).into(),
        interface: Some(arguments.interface),
    };
    Ok(Jumpbox::start(orders, &place, machine).await?.serve().await?)
}
