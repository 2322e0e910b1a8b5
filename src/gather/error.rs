//! What can go wrong while gathering.

use crate::{
    api::GATHERER_ACCOUNT,
    fault::{Fault, Reason},
};

/// A selection or a stream that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatherError {
    #[error(
        "namespace {namespace} has no service account {GATHERER_ACCOUNT}: create it and bind it to a role that may \
         list pods, exec into them and read their logs"
    )]
    AccountMissing { namespace: String },
    #[error(
        "{what} is forbidden: bind {GATHERER_ACCOUNT} of namespace {namespace} to a role that allows it ({message})"
    )]
    Forbidden { namespace: String, what: String, message: String },
    #[error("source {source_name}: no pod in namespace {namespace} has the labels {selector}")]
    NoPods { source_name: String, namespace: String, selector: String },
    #[error(
        "source {source_name}: pod {pod} is {phase}, so its files cannot be read: let it run, or leave it out of the \
         selection"
    )]
    NotRunning { source_name: String, pod: String, phase: String },
    #[error("source {source_name}: pod {pod} has no container {container}; it has {present}")]
    ContainerMissing { source_name: String, pod: String, container: String, present: String },
    #[error("pod {pod}, container {container}: there is no tar in it, or no sh to run it ({message})")]
    TarMissing { pod: String, container: String, message: String },
    #[error("pod {pod}, container {container}: a path does not exist ({message})")]
    PathMissing { pod: String, container: String, message: String },
    #[error("pod {pod}, container {container}: a path may not be read by the container's user ({message})")]
    Unreadable { pod: String, container: String, message: String },
    #[error("pod {pod}, container {container}: tar failed ({message})")]
    Failed { pod: String, container: String, message: String },
    #[error("pod {pod}, container {container}: the stream ended early ({message})")]
    Truncated { pod: String, container: String, message: String },
    #[error(
        "source {source_name}: no container of the selected pods has run yet, so there is no log to read"
    )]
    NoLogs { source_name: String },
    #[error("pod {pod}, container {container}: its log cannot be read ({message})")]
    LogUnreadable { pod: String, container: String, message: String },
    #[error(
        "source {source_name} means the logs of {found} containers, but a series can go on from {max} at most: split it \
         into jobs of several series"
    )]
    TooManyContainers { source_name: String, found: usize, max: usize },
    #[error("Kubernetes failed to {what} in namespace {namespace} ({message})")]
    Api { namespace: String, what: String, message: String },
}

impl From<GatherError> for Fault {
    fn from(error: GatherError) -> Self {
        let reason = match &error {
            GatherError::AccountMissing { .. } => Reason::GathererMissing,
            GatherError::Forbidden { .. } => Reason::GathererForbidden,
            GatherError::NoPods { .. } => Reason::NoPodsMatched,
            GatherError::NotRunning { .. } => Reason::PodNotRunning,
            GatherError::ContainerMissing { .. } => Reason::ContainerMissing,
            GatherError::TarMissing { .. } => Reason::TarMissing,
            GatherError::PathMissing { .. } => Reason::PathMissing,
            GatherError::Unreadable { .. } => Reason::PathUnreadable,
            GatherError::Failed { .. } => Reason::GatherFailed,
            GatherError::Truncated { .. } => Reason::StreamTruncated,
            GatherError::NoLogs { .. } => Reason::NoLogs,
            GatherError::LogUnreadable { .. } => Reason::LogUnreadable,
            GatherError::TooManyContainers { .. } => Reason::TooManyContainers,
            GatherError::Api { .. } => Reason::KubernetesFailed,
        };
        Self::new(reason, error.to_string())
    }
}
