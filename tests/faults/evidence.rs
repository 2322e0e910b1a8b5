//! What the tests saw, a line each, for the table that `cargo xtask prove faults` makes of it.

use std::{fs::OpenOptions, io::Write as _, time::Duration};

use serde_json::json;

use crate::bed::Bed;

/// Adds a line to the file that `DRAWBRIDGE_EVIDENCE` names, if it names one. What is left is asked of AWS now.
pub(crate) fn row(bed: &Bed, fault: &str, reason: &str, message: &str, time: Duration, end: &str) {
    eprintln!("    {reason} after {:.1} s, {end}: {message}", time.as_secs_f64());
    let Some(path) = std::env::var_os("DRAWBRIDGE_EVIDENCE") else { return };
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let line = json!({"fault": fault, "test": test, "reason": reason, "seconds": time.as_secs_f64(), "end": end,
        "message": message, "leftovers": bed.leftovers().count()});
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}
