//! Runs tar in a container and reads what it writes, to a proven end.
//!
//! When a process exits, the container runtime resets its streams, and whatever the API server has not passed on by
//! then is dropped; the exit is reported as a success all the same. A reader that is slower than tar, as a network is,
//! loses the archive's end that way. So tar's shell waits for a line on standard input, which is sent when the end
//! marker has come.
//!
//! Where the container has zstd, it compresses there: the API server's exec path carries a fraction of the bytes then,
//! and it is the narrowest place of all. The archive is proved all the same, beside the stream.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

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
    proof::Proof,
    tar::TarScan,
    token,
    verdict::{Kind, Verdict, verdict},
    zstd_frame::{FrameScan, MAGIC},
};
use crate::transfer::Original;

/// What kube keeps of standard output before it stops reading the socket. Its default of 1 KiB halves the speed.
const STDOUT_BUFFER: usize = 128 << 10;
/// Bytes that are handed on at once.
const CHUNK: usize = 64 << 10;
/// What is kept of standard error: enough to say what failed. The rest is read and dropped, since a full pipe
/// would stop tar.
const STDERR_KEPT: usize = 2 << 10;
/// Nothing for this long means that the connection is gone: tar is never silent while it works.
const SILENCE: Duration = Duration::from_mins(5);
/// How long after the end of its output tar's exit may take to be reported.
const EXIT_REPORT: Duration = Duration::from_secs(30);
/// A failed tar ends at once: nobody needs the rest, and one that never ran has no end marker to wait for.
///
/// With zstd, tar's and zstd's exits come home by a fourth descriptor: the exit of a pipeline is its last command's.
const SCRIPT: &str = r#"if command -v zstd >/dev/null 2>&1; then
  exec 3>&1
  s=$({ { tar -c -f - -C / "$@" 3>&- 4>&-; echo $? >&4; } | zstd -q -3 -c 4>&- >&3 || echo 96 >&4; } 4>&1)
  exec 3>&-
  if [ "$s" != 0 ]; then set -- $s; [ "$1" = 0 ] && shift; exit "$1"; fi
else
  tar -c -f - -C / "$@" || exit
fi
read -r _
exit 0"#;

/// A tar archive as it is written. The last item is an error unless the archive is whole.
pub type TarStream = Pin<Box<dyn Stream<Item = Result<Bytes, GatherError>> + Send>>;

/// A source that was opened.
pub enum Opened {
    /// Its bytes as they are.
    Plain(TarStream),
    /// Compressed in the pod; what was in it is settled when the stream has ended.
    Zstd(TarStream, Arc<Original>),
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Zstd(..) => "Zstd",
        })
    }
}

/// Begins to gather `target`, and waits for its first bytes.
pub async fn open(
    gatherer: &Gatherer,
    target: &Target,
    paths: &[String],
    exclude: &[String],
) -> Result<Opened, GatherError> {
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
    let mut reading = Reading::new(process, target)?;
    let first = reading.first().await?;
    let original = match &reading.form {
        Form::Tar(_) => None,
        Form::Zstd { proof, .. } => proof.as_ref().map(|proof| Arc::clone(&proof.original)),
    };
    let state = Some((first, reading));
    let stream = Box::pin(stream::unfold(state, |state| async move {
        let (first, mut reading) = state?;
        let next = match first {
            Some(bytes) => reading.take(bytes).await.map(Some),
            None => reading.next().await,
        };
        match next {
            Ok(Some(bytes)) => Some((Ok(bytes), Some((None, reading)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }));
    Ok(match original {
        Some(original) => Opened::Zstd(stream, original),
        None => Opened::Plain(stream),
    })
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

/// How the archive comes, which its first bytes tell: no path of Kubernetes begins with a byte that is not UTF-8.
enum Form {
    Tar(TarScan),
    Zstd {
        scan: FrameScan,
        /// Gone once it was asked for its result.
        proof: Option<Proof>,
    },
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
    form: Form,
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
                form: Form::Tar(TarScan::default()),
                pod,
                container,
            }),
            _ => Err(GatherError::Failed { pod, container, message: "exec gave no streams".to_owned() }),
        }
    }

    /// The first bytes, as many as tell the form; `None` if the stream ends before.
    async fn first(&mut self) -> Result<Option<Bytes>, GatherError> {
        let mut first = BytesMut::with_capacity(CHUNK);
        while first.len() < MAGIC.len() && self.read(&mut first).await? > 0 {}
        if first.starts_with(&MAGIC) {
            self.form = Form::Zstd { scan: FrameScan::default(), proof: Some(Proof::start()) };
        }
        Ok((!first.is_empty()).then(|| first.freeze()))
    }

    /// The next bytes; `None` at a proven end.
    async fn next(&mut self) -> Result<Option<Bytes>, GatherError> {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        // Small messages are joined, so that each later stage handles few, large pieces.
        while chunk.len() < CHUNK / 2 {
            let read = self.read(&mut chunk).await?;
            if read == 0 {
                break;
            }
            let before = chunk.len() - read;
            self.look(&chunk[before..]).await?;
        }
        if chunk.is_empty() {
            return self.end().await.map(|()| None);
        }
        let chunk = chunk.freeze();
        self.show(&chunk).await;
        Ok(Some(chunk))
    }

    /// Bytes that were read already.
    async fn take(&mut self, bytes: Bytes) -> Result<Bytes, GatherError> {
        self.look(&bytes).await?;
        self.show(&bytes).await;
        Ok(bytes)
    }

    async fn read(&mut self, chunk: &mut BytesMut) -> Result<usize, GatherError> {
        match timeout(SILENCE, self.stdout.read_buf(chunk)).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => Err(self.truncated(error.to_string())),
            Err(_) => Err(self.truncated(format!("silent for {} s", SILENCE.as_secs()))),
        }
    }

    /// Follows the structure, and lets the shell end when it has.
    async fn look(&mut self, bytes: &[u8]) -> Result<(), GatherError> {
        let (looked, ended) = match &mut self.form {
            Form::Tar(scan) => (scan.feed(bytes).map_err(|error| error.to_string()), scan.has_ended()),
            Form::Zstd { scan, .. } => {
                (scan.feed(bytes).map_err(|error| error.to_string()), scan.has_ended())
            }
        };
        if let Err(error) = looked {
            // Words instead of an archive usually mean that tar never ran; its exit says more than the words.
            self.release().await;
            let said = self.end().await.err();
            return Err(said.unwrap_or_else(|| self.failed(error)));
        }
        if ended {
            self.release().await;
        }
        Ok(())
    }

    async fn show(&mut self, bytes: &Bytes) {
        if let Form::Zstd { proof: Some(proof), .. } = &self.form {
            proof.show(bytes.clone()).await;
        }
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
        let scanned = match &mut self.form {
            Form::Tar(scan) => scan.finish().map_err(|error| error.to_string()),
            Form::Zstd { scan, .. } if !scan.has_ended() => {
                Err("the compressed archive has no end".to_owned())
            }
            Form::Zstd { proof, .. } => match proof.take() {
                Some(proof) => proof.finish().await,
                None => Err("the archive was checked before its end".to_owned()),
            },
        };
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

    /// What the script writes and how it exits, for `paths`; `zstd` says whether there is one on its PATH.
    fn run_script(paths: &[&str], zstd: bool) -> (Option<i32>, Vec<u8>) {
        let tools = tempfile::tempdir().unwrap();
        for name in ["sh", "tar"].into_iter().chain(zstd.then_some("zstd")) {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|place| place.join(name))
                .find(|path| path.exists())
                .unwrap();
            std::os::unix::fs::symlink(found, tools.path().join(name)).unwrap();
        }
        let words = command(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>(), &[]);
        let mut child = std::process::Command::new(tools.path().join(&words[0]))
            .args(&words[1..])
            .env("PATH", tools.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"\n").unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), output.stdout)
    }

    #[test]
    fn the_script_compresses_where_it_can_and_exits_as_tar_does() {
        let good = env!("CARGO_MANIFEST_DIR").to_owned() + "/Cargo.toml";
        let (code, plain) = run_script(&[&good], false);
        assert_eq!(code, Some(0));
        let (code, packed) = run_script(&[&good], true);
        assert_eq!(code, Some(0));
        assert!(packed.starts_with(&MAGIC) && !plain.starts_with(&MAGIC));
        assert_eq!(zstd::stream::decode_all(&packed[..]).unwrap(), plain);
        for zstd in [false, true] {
            let (code, _) = run_script(&[&good, "/no/such/path"], zstd);
            assert_eq!(code, Some(2), "zstd: {zstd}");
        }
    }
}
