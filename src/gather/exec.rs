//! Runs tar in a container and reads what it writes, to a proven end.
//!
//! When a process exits, the container runtime resets its streams, and whatever the API server has not passed on by
//! then is dropped; the exit is reported as a success all the same. A reader that is slower than tar, as a network is,
//! loses the archive's end that way. So tar's shell waits for a line on standard input, which is sent when the end
//! marker has come.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{
    Api,
    api::{AttachParams, AttachedProcess},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    task::JoinHandle,
    time::timeout,
};

use super::{
    GatherError, Gatherer, Target,
    tar::TarScan,
    token,
    verdict::{Kind, Verdict, verdict},
};

/// What kube keeps of standard output before it stops reading the socket. Its default of 1 KiB halves the speed.
const STDOUT_BUFFER: usize = 1 << 20;
/// Bytes that are handed on at once.
const CHUNK: usize = 128 << 10;
/// What is kept of standard error: enough to say what failed. The rest is read and dropped, since a full pipe
/// would stop tar.
const STDERR_KEPT: usize = 2 << 10;
/// Nothing for this long means that the connection is gone: tar is never silent while it works.
const SILENCE: Duration = Duration::from_mins(5);
/// How long after the end of its output tar's exit may take to be reported.
const EXIT_REPORT: Duration = Duration::from_secs(30);
/// A failed tar ends at once: nobody needs the rest, and one that never ran has no end marker to wait for.
const SCRIPT: &str = "tar -c -f - -C / \"$@\" || exit; read -r _; exit 0";

/// A tar archive as it is written. The last item is an error unless the archive is whole.
pub type TarStream = Pin<Box<dyn Stream<Item = Result<Bytes, GatherError>> + Send>>;

/// Begins to gather `target`.
pub async fn open(
    gatherer: &Gatherer,
    target: &Target,
    paths: &[String],
    exclude: &[String],
) -> Result<TarStream, GatherError> {
    let pods: Api<Pod> = Api::namespaced(gatherer.client().await?, gatherer.namespace());
    let parameters = AttachParams::default()
        .container(&target.container)
        .stdin(true)
        .stdout(true)
        .stderr(true)
        .max_stdout_buf_size(STDOUT_BUFFER)
        .max_stderr_buf_size(STDERR_KEPT);
    let what = format!("exec into pod {}", target.pod);
    let process = pods
        .exec(&target.pod, command(paths, exclude), &parameters)
        .await
        .map_err(|error| token::api_error(gatherer.namespace(), &what, &error))?;
    let reading = Reading::new(process, target)?;
    Ok(Box::pin(stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(reading))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })))
}

/// The script and its arguments: paths are relative to `/`, so that no tar complains about leading slashes; options
/// end before the user's words begin, and none of those is ever read by the shell.
fn command(paths: &[String], exclude: &[String]) -> Vec<String> {
    let words = ["sh", "-c", SCRIPT, "sh"].map(str::to_owned);
    let exclude = exclude.iter().map(|pattern| format!("--exclude={pattern}"));
    let paths = paths.iter().map(|path| match path.trim_matches('/') {
        "" => ".".to_owned(),
        relative => relative.to_owned(),
    });
    words.into_iter().chain(exclude).chain(["--".to_owned()]).chain(paths).collect()
}

/// A tar that runs.
struct Reading {
    /// Dropped, it ends the exec.
    _process: AttachedProcess,
    stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its shell waits for a line here before it ends.
    stdin: Box<dyn AsyncWrite + Send + Unpin>,
    released: bool,
    stderr: JoinHandle<String>,
    exit: Pin<Box<dyn Future<Output = Option<Status>> + Send>>,
    scan: TarScan,
    pod: String,
    container: String,
}

impl Reading {
    fn new(mut process: AttachedProcess, target: &Target) -> Result<Self, GatherError> {
        let (pod, container) = (target.pod.clone(), target.container.clone());
        match (process.stdin(), process.stdout(), process.stderr(), process.take_status()) {
            (Some(stdin), Some(stdout), Some(stderr), Some(exit)) => Ok(Self {
                _process: process,
                stdout: Box::new(stdout),
                stdin: Box::new(stdin),
                released: false,
                stderr: tokio::spawn(drain(stderr)),
                exit: Box::pin(exit),
                scan: TarScan::default(),
                pod,
                container,
            }),
            _ => Err(GatherError::Failed { pod, container, message: "exec gave no streams".to_owned() }),
        }
    }

    /// The next bytes; `None` at a proven end.
    async fn next(&mut self) -> Result<Option<Bytes>, GatherError> {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        // Small messages are joined, so that each later stage handles few, large pieces.
        while chunk.len() < CHUNK / 2 {
            let read = match timeout(SILENCE, self.stdout.read_buf(&mut chunk)).await {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => return Err(self.truncated(error.to_string())),
                Err(_) => return Err(self.truncated(format!("silent for {} s", SILENCE.as_secs()))),
            };
            if read == 0 {
                break;
            }
            let before = chunk.len() - read;
            if let Err(error) = self.scan.feed(&chunk[before..]) {
                // Words instead of an archive usually mean that tar never ran; its exit says more than the words.
                self.release().await;
                let said = self.end().await.err();
                return Err(said.unwrap_or_else(|| self.failed(error.to_string())));
            }
            if self.scan.has_ended() {
                self.release().await;
            }
        }
        if chunk.is_empty() {
            return self.end().await.map(|()| None);
        }
        Ok(Some(chunk.freeze()))
    }

    /// Lets the shell end.
    async fn release(&mut self) {
        if !self.released {
            self.released = true;
            // A connection that is gone shows when the exit is not reported.
            let _ = self.stdin.write_all(b"\n").await;
        }
    }

    /// What the end of the output was worth.
    async fn end(&mut self) -> Result<(), GatherError> {
        let exit = timeout(EXIT_REPORT, &mut self.exit).await.ok().flatten();
        let errors = match timeout(EXIT_REPORT, &mut self.stderr).await {
            Ok(Ok(text)) => text,
            _ => String::new(),
        };
        let scanned = self.scan.finish().map_err(|error| error.to_string());
        verdict(exit.as_ref(), &errors, scanned).map_err(|verdict| self.error(verdict))
    }

    fn truncated(&self, message: String) -> GatherError {
        self.error(Verdict { kind: Kind::Truncated, message })
    }

    fn failed(&self, message: String) -> GatherError {
        self.error(Verdict { kind: Kind::Failed, message })
    }

    fn error(&self, Verdict { kind, message }: Verdict) -> GatherError {
        let (pod, container) = (self.pod.clone(), self.container.clone());
        match kind {
            Kind::TarMissing => GatherError::TarMissing { pod, container, message },
            Kind::PathMissing => GatherError::PathMissing { pod, container, message },
            Kind::Unreadable => GatherError::Unreadable { pod, container, message },
            Kind::Failed => GatherError::Failed { pod, container, message },
            Kind::Truncated => GatherError::Truncated { pod, container, message },
        }
    }
}

/// Reads to the end and keeps the beginning, where the first failure stands.
async fn drain(mut stderr: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0; 1_024]);
    while let Ok(read @ 1..) = stderr.read(&mut piece).await {
        let room = STDERR_KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&piece[..read.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_users_words_are_never_options() {
        let paths = ["/etc/", "/", "/--checkpoint-action=exec=sh"].map(str::to_owned);
        let words = command(&paths, &["*.tmp".to_owned()]);
        let end = words.iter().position(|word| word == "--").unwrap();
        assert_eq!(words[..end], ["sh", "-c", SCRIPT, "sh", "--exclude=*.tmp"]);
        assert_eq!(words[end + 1..], ["etc", ".", "--checkpoint-action=exec=sh"]);
    }

    #[tokio::test]
    async fn standard_error_is_read_to_its_end_and_kept_in_part() {
        let text = "x".repeat(100_000);
        assert_eq!(drain(text.as_bytes()).await.len(), STDERR_KEPT);
    }
}
