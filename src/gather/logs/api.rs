//! The calls to `pods/log`, and what their failures mean.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use futures::{AsyncBufRead, AsyncBufReadExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};
use tokio::time::timeout;

use super::{Instance, of_pod, probe::Probe};
use crate::{
    api::LogsSource,
    gather::{GatherError, Gatherer, Target},
};

/// Nothing for this long means that the connection is gone: kubelet reads a file, it waits for nothing.
const SILENCE: Duration = Duration::from_mins(1);
/// The beginning of a probe's line that is kept: its timestamp.
const BEGINNING: usize = 64;

/// Why a log could not be read, or not further.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// There is no such pod any more.
    PodGone,
    /// Kubelet has no such log: no previous run, or the container is not there any more.
    LogGone(String),
    Forbidden(String),
    /// What stands in the stream is no line of a log; kubelet writes its errors there.
    Strange(String),
    /// The stream ended before the line that was the log's last when the stream was begun.
    Cut,
    /// The connection, the API server or kubelet failed.
    Failed(String),
    /// Not a failure of reading.
    Other(GatherError),
}

impl Fault {
    /// Whether trying again may help.
    pub(super) fn may_pass(&self) -> bool {
        !matches!(self, Self::Forbidden(_) | Self::Other(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PodGone => f.write_str("the pod is gone"),
            Self::Cut => {
                f.write_str("the stream ended before the line that was the log's last when it was begun")
            }
            Self::Strange(words) => write!(f, "'{words}' is no line of a log"),
            Self::LogGone(message) | Self::Forbidden(message) | Self::Failed(message) => f.write_str(message),
            Self::Other(error) => error.fmt(f),
        }
    }
}

/// Reads the logs of one container.
pub(super) struct LogApi {
    gatherer: Arc<Gatherer>,
    pod: String,
    pod_uid: String,
    container: String,
}

/// An open log.
pub(super) struct OpenLog(Pin<Box<dyn AsyncBufRead + Send>>);

impl LogApi {
    pub(super) fn new(gatherer: Arc<Gatherer>, target: &Target) -> Self {
        let Target { pod, pod_uid, container, .. } = target.clone();
        Self { gatherer, pod, pod_uid, container }
    }

    /// The last line of a log; `None` if two answers in a row say that it has none.
    pub(super) async fn probe(&self, previous: bool) -> Result<Option<Probe>, Fault> {
        for _ in 0..2 {
            let parameters = LogParams { tail_lines: Some(1), ..self.parameters(previous) };
            let mut log = self.ask(&parameters).await?;
            let (mut beginning, mut end) = (Vec::new(), Vec::new());
            while let Some(chunk) = log.chunk().await? {
                let length = chunk.len();
                beginning.extend_from_slice(&chunk[..length.min(BEGINNING - beginning.len())]);
                end.extend_from_slice(&chunk[length.saturating_sub(Probe::END + 1)..]);
                let surplus = end.len().saturating_sub(Probe::END + 1);
                end.drain(..surplus);
                log.consume(length);
            }
            if !beginning.is_empty() {
                let strange = || Fault::Strange(String::from_utf8_lossy(&beginning).trim().to_owned());
                return Probe::new(&beginning, &end).map(Some).ok_or_else(strange);
            }
        }
        Ok(None)
    }

    /// A log, from `since` on.
    pub(super) async fn open(&self, previous: bool, since: Option<Timestamp>) -> Result<OpenLog, Fault> {
        self.ask(&LogParams { since_time: since, ..self.parameters(previous) }).await
    }

    /// The container's logs as its pod's status has them now; `None` if that cannot be had.
    ///
    /// # Errors
    /// The pod is gone, also if another one has its name.
    pub(super) async fn instances(&self, source: &LogsSource) -> Result<Option<Vec<Instance>>, Fault> {
        let Ok(client) = self.gatherer.client().await else { return Ok(None) };
        let pods: Api<Pod> = Api::namespaced(client, self.gatherer.namespace());
        let pod = match pods.get_opt(&self.pod).await {
            Ok(Some(pod)) if pod.metadata.uid.as_ref() == Some(&self.pod_uid) => pod,
            Ok(_) => return Err(Fault::PodGone),
            Err(_) => return Ok(None),
        };
        let containers = of_pod(source, &pod).into_iter();
        Ok(containers.filter(|container| container.name == self.container).map(|c| c.instances).next())
    }

    /// What `fault` is to a job.
    pub(super) fn error(&self, fault: Fault) -> GatherError {
        let (pod, container) = (self.pod.clone(), self.container.clone());
        match fault {
            Fault::Other(error) => error,
            Fault::Forbidden(message) => GatherError::Forbidden {
                namespace: self.gatherer.namespace().to_owned(),
                what: format!("reading logs (get on pods/log) of pod {pod}"),
                message,
            },
            Fault::Cut => GatherError::Truncated { pod, container, message: fault.to_string() },
            _ => GatherError::LogUnreadable { pod, container, message: fault.to_string() },
        }
    }

    fn parameters(&self, previous: bool) -> LogParams {
        let container = Some(self.container.clone());
        LogParams { container, previous, timestamps: true, ..LogParams::default() }
    }

    async fn ask(&self, parameters: &LogParams) -> Result<OpenLog, Fault> {
        let client = self.gatherer.client().await.map_err(Fault::Other)?;
        let pods: Api<Pod> = Api::namespaced(client, self.gatherer.namespace());
        match timeout(SILENCE, pods.log_stream(&self.pod, parameters)).await {
            Ok(Ok(log)) => Ok(OpenLog(Box::pin(log))),
            Ok(Err(error)) => Err(meaning(&error)),
            Err(_) => Err(Fault::Failed(format!("no answer for {} s", SILENCE.as_secs()))),
        }
    }
}

impl OpenLog {
    /// What has come and is not consumed; `None` at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<&[u8]>, Fault> {
        match timeout(SILENCE, self.0.fill_buf()).await {
            Ok(Ok([])) => Ok(None),
            Ok(Ok(chunk)) => Ok(Some(chunk)),
            Ok(Err(error)) => Err(Fault::Failed(format!("the connection broke ({error})"))),
            Err(_) => Err(Fault::Failed(format!("silent for {} s", SILENCE.as_secs()))),
        }
    }

    pub(super) fn consume(&mut self, length: usize) {
        self.0.consume_unpin(length);
    }
}

/// What the API server's refusal means. Kubelet's own refusals come as 400 with its words.
fn meaning(error: &kube::Error) -> Fault {
    let kube::Error::Api(status) = error else { return Fault::Failed(error.to_string()) };
    let message = status.message.clone();
    match status.code {
        404 => Fault::PodGone,
        401 | 403 => Fault::Forbidden(message),
        400 if is_gone(&message) => Fault::LogGone(message),
        _ => Fault::Failed(message),
    }
}

/// kubelet's words for a log that is not there (`validateContainerLogStatus`).
fn is_gone(message: &str) -> bool {
    ["previous terminated container", "is waiting to start", "is terminated", "is not available"]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use kube::core::Status;

    use super::*;

    fn refused(code: u16, message: &str) -> Fault {
        meaning(&kube::Error::Api(Box::new(Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        })))
    }

    #[test]
    fn refusals_have_meanings() {
        let previous = "previous terminated container \"app\" in pod \"web-0\" not found";
        assert!(matches!(refused(400, previous), Fault::LogGone(_)));
        assert!(matches!(refused(404, "pods \"web-0\" not found"), Fault::PodGone));
        assert!(matches!(refused(403, "no"), Fault::Forbidden(_)));
        assert!(matches!(refused(500, "dial tcp: connection refused"), Fault::Failed(_)));
        assert!(!refused(403, "no").may_pass() && refused(500, "x").may_pass());
    }
}
