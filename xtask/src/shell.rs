//! Running other programs: what they print goes to a log file, what they do is said on the terminal.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::paths;

/// How often a long step says that it is still at work.
const STILL: Duration = Duration::from_secs(15);

/// When this process began; every line carries the seconds since.
pub(crate) fn started() -> Instant {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    *STARTED.get_or_init(Instant::now)
}

/// One line on the terminal: `[ 12.3 s] text`.
pub(crate) fn say(text: &str) {
    println!("[{:6.1} s] {text}", started().elapsed().as_secs_f64());
}

/// A command in the checkout's root.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(paths::root()).stdin(Stdio::null());
    command
}

/// Runs `command` as a step: says so, keeps its output in a log, says every 15 s how it stands, and shows the log's
/// end when it fails.
pub(crate) fn step(what: &str, name: &str, command: &mut Command) -> Result<()> {
    say(what);
    let path = paths::log(name)?;
    let log = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
    let begun = Instant::now();
    let mut child = command
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
    let mut said = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if said.elapsed() >= STILL {
            say(&format!("  {:.0} s: {}", begun.elapsed().as_secs_f64(), last_line(&path)));
            said = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if !status.success() {
        eprintln!("{}", tail(&path, 60));
        bail!("{what} failed ({status}); all of its output is in {}", path.display());
    }
    Ok(())
}

/// Runs `command` quietly and gives its standard output; its standard error is part of the failure.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        bail!(
            "`{program} {}` failed ({}):\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `command` ends well; nothing is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn last_line(path: &Path) -> String {
    let text = tail(path, 1);
    text.chars().take(100).collect()
}

/// The last `count` lines of a file that may be large.
fn tail(path: &Path, count: usize) -> String {
    const WINDOW: u64 = 64 << 10;
    let read = || -> std::io::Result<Vec<String>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(WINDOW)))?;
        Ok(BufReader::new(file)
            .split(b'\n')
            .map_while(Result::ok)
            .map(|line| String::from_utf8_lossy(&line).trim_end().to_owned())
            .filter(|line| !line.is_empty())
            .collect())
    };
    let lines = read().unwrap_or_default();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
