//! `drawbridge-jumpbox`: reads its orders, runs one session, exits. User data shuts the machine down after it.

use std::{
    io::{self, Write as _},
    net::Ipv4Addr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;
use drawbridge_jumpbox::{COMPILE, Ending, Jumpbox, Machine, Place, compile, load_orders};
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
    if std::env::args_os().skip(1).eq([COMPILE]) {
        return compile_rules();
    }
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

/// What another process of this program asks for; why not goes to the other stream, for its log.
fn compile_rules() -> ExitCode {
    match compile(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
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
        // As the kernel holds it, whatever lies at its path by now.
        program: PathBuf::from("/proc/self/exe"),
    };
    Ok(Jumpbox::start(orders, &place, machine).await?.serve().await?)
}
