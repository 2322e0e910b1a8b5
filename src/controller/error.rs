//! What makes a reconcile fail. A failure of the backup itself is no such error: that is a step.

/// A call to Kubernetes that did not succeed while a step was planned or done.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error("someone else changed {object} meanwhile; it is looked at again")]
    Conflict { object: String },
    #[error("the operator may not {what}: compare its role with the chart's ({message})")]
    Forbidden { what: String, message: String },
    #[error("Kubernetes failed to {what} ({message})")]
    Api { what: String, message: String },
    #[error("the API server cannot be reached to {what} ({message})")]
    Unreachable { what: String, message: String },
    #[error("{object} has {what}; it cannot be worked on")]
    Malformed { object: String, what: String },
}

impl ReconcileError {
    /// The kind, as metrics and backoff know it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "conflict",
            Self::Forbidden { .. } => "forbidden",
            Self::Api { .. } => "api",
            Self::Unreachable { .. } => "unreachable",
            Self::Malformed { .. } => "malformed",
        }
    }

    /// From a call to do `what` with `object`.
    pub fn from_kube(what: &str, object: &str, error: &kube::Error) -> Self {
        let what = format!("{what} {object}");
        match error {
            kube::Error::Api(status) if status.is_conflict() => Self::Conflict { object: object.to_owned() },
            kube::Error::Api(status) if status.is_forbidden() => {
                Self::Forbidden { what, message: status.message.clone() }
            }
            kube::Error::Api(status) => Self::Api { what, message: status.message.clone() },
            error => Self::Unreachable { what, message: error.to_string() },
        }
    }
}
