//! Follows one BackupJob on the terminal, a line for each change.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::{
    bed::Bed,
    shell::{say, started},
};

/// What the demo's table needs to know of the job's way.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) job: Value,
    /// From the start of xtask to the job's first phase after `Pending`.
    pub(crate) left_pending: Option<Duration>,
}

/// Waits until the job is Complete, for at most `limit`. A Failed job is an error that says why.
pub(crate) fn until_complete(bed: &Bed, namespace: &str, name: &str, limit: Duration) -> Result<Watched> {
    let deadline = Instant::now() + limit;
    let mut left_pending = None;
    let mut last = String::new();
    loop {
        let job = bed.get(&["backupjob", name, "--namespace", namespace])?;
        let status = &job["status"];
        let phase = status["phase"].as_str().unwrap_or("Pending");
        if left_pending.is_none() && phase != "Pending" {
            left_pending = Some(started().elapsed());
        }
        let line = format!(
            "  backupjob/{name}: {phase:8} artifacts {}/{} stored {}",
            status["artifacts"]["done"].as_u64().unwrap_or(0),
            status["artifacts"]["total"].as_u64().unwrap_or(0),
            human(status["bytes"]["stored"].as_u64().unwrap_or(0)),
        );
        if line != last {
            say(&line);
            last = line;
        }
        match phase {
            "Complete" => return Ok(Watched { job, left_pending }),
            "Failed" => bail!("backupjob/{name} failed: {}", reason(status)),
            _ if Instant::now() > deadline => {
                bail!("backupjob/{name} is still {phase} after {} s: {}", limit.as_secs(), reason(status))
            }
            _ => std::thread::sleep(Duration::from_millis(150)),
        }
    }
}

fn reason(status: &Value) -> String {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let told: Vec<String> = conditions
        .iter()
        .map(|c| {
            format!("{}={} {}: {}", text(c, "type"), text(c, "status"), text(c, "reason"), text(c, "message"))
        })
        .collect();
    told.join("; ")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("")
}

/// Bytes for people, in powers of 1024.
#[allow(clippy::cast_precision_loss)] // for people
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
