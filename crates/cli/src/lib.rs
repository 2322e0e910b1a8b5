//! `drawbridge`, also `kubectl drawbridge`: what people run. It needs no cluster, no AWS and no network.
//!
//! Exit codes: 0, it is what it says it is; 1, it is not; 2, the question could not be asked.

mod read;
pub mod verify;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use drawbridge_protocol::{ObjectPrefix, ReceiptKey, SessionId, SessionPublicKey, receipt_key::MAX_PEM};

use crate::verify::{Report, Trust, Wanted};

const NOT_VERIFIED: u8 = 1;
const NOT_ASKED: u8 = 2;

#[derive(Parser)]
#[command(name = "drawbridge", version, about = "Checks what Drawbridge has stored")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks a session's objects that lie in a local directory, offline.
    ///
    /// The directory holds what `aws s3 cp --recursive s3://BUCKET/PREFIX DIR` gave, and nothing else.
    Verify(Verify),
}

#[derive(Args)]
struct Verify {
    /// Where the session's objects lie.
    directory: PathBuf,
    /// The stack's receipt key in PEM or DER, as `aws kms get-public-key` gives it.
    #[arg(long, value_name = "FILE", required_unless_present = "session_key")]
    receipt_key: Option<PathBuf>,
    /// The session key itself in base64, from the job's status.receipt.sessionKey, or from the create function's log where
    /// nothing was sealed: for a stack without a receipt key, and for the records of a session that was not sealed. It is
    /// worth as much as the place that you have it from.
    #[arg(long, value_name = "KEY", conflicts_with = "receipt_key")]
    session_key: Option<SessionPublicKey>,
    /// It must be this session's.
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// It must be this job's, by the object's uid.
    #[arg(long, value_name = "UID")]
    job_uid: Option<String>,
    /// It must lie under this prefix of the bucket.
    #[arg(long)]
    prefix: Option<ObjectPrefix>,
}

/// What could not even be looked at.
#[derive(Debug, thiserror::Error)]
enum Unasked {
    #[error(transparent)]
    Read(#[from] read::ReadError),
    #[error("{path} is no receipt key: {why}")]
    Key { path: String, why: String },
    #[error("give --receipt-key, or --session-key for a stack without a receipt key")]
    NoKey,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let Command::Verify(asked) = Cli::parse().command;
    let report = match verify(&asked) {
        Ok(report) => report,
        Err(error) => {
            let _ = writeln!(io::stderr(), "drawbridge: {error}");
            return ExitCode::from(NOT_ASKED);
        }
    };
    // Whoever closed the pipe has read enough; the exit code says the rest.
    let _ = io::stdout().write_all(report.to_string().as_bytes());
    if report.is_verified() { ExitCode::SUCCESS } else { ExitCode::from(NOT_VERIFIED) }
}

fn verify(asked: &Verify) -> Result<Report, Unasked> {
    let trust = match (&asked.receipt_key, &asked.session_key) {
        (Some(path), _) => Trust::Pinned(receipt_key(path)?),
        (None, Some(key)) => Trust::Session(key.clone()),
        (None, None) => return Err(Unasked::NoKey),
    };
    let wanted = Wanted {
        session: asked.session.clone(),
        job_uid: asked.job_uid.clone(),
        prefix: asked.prefix.clone(),
    };
    Ok(verify::directory(&asked.directory, &trust, &wanted)?)
}

fn receipt_key(path: &Path) -> Result<ReceiptKey, Unasked> {
    let bytes = read::whole(path, MAX_PEM)?;
    ReceiptKey::from_file(&bytes)
        .map_err(|error| Unasked::Key { path: path.display().to_string(), why: error.to_string() })
}
