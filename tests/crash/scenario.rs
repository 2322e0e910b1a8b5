//! For each kind of step, a job that comes to it.

use drawbridge::controller::backupjob::StepKind;
use serde_json::{Value, json};

use crate::{NAMESPACE, bed::Bed};

/// A finalizer of somebody else, which keeps a deleted job in sight.
pub(crate) const FOREIGN: &str = "crash.test/kept";
/// A vault whose sessions are soon overdue.
const IMPATIENT: &str = "crash";

/// How a job comes to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Every job does.
    Plain,
    /// One with data for some seconds.
    Long,
    /// Its pods come only after its first try.
    PodsLate,
    /// Its first box ends before it reports.
    FirstBoxEnds,
    /// AWS cannot be asked to close it, until long past its deadline.
    Overdue,
    /// It is deleted before it began, and somebody else's finalizer keeps it.
    DeletedEarly,
    /// It is over, and finds its finalizer still on.
    FinalizerLeft,
    /// It goes as soon as it is over.
    Fleeting,
}

/// The matrix's rows.
pub(crate) fn way(step: StepKind) -> Way {
    match step {
        StepKind::Wait
        | StepKind::BeginAttempt
        | StepKind::AskForBox
        | StepKind::Cross
        | StepKind::KeepReceipt
        | StepKind::AskToClose
        | StepKind::Conclude => Way::Plain,
        StepKind::LookAgain | StepKind::Report => Way::Long,
        StepKind::Setback => Way::PodsLate,
        StepKind::Stop => Way::FirstBoxEnds,
        StepKind::Abandon => Way::Overdue,
        StepKind::Rest => Way::DeletedEarly,
        StepKind::DropFinalizer => Way::FinalizerLeft,
        StepKind::Delete => Way::Fleeting,
    }
}

/// The job itself.
pub(crate) fn job(name: &str, way: Way) -> Value {
    let app = match way {
        Way::Long => "long",
        Way::PodsLate => name,
        _ => "small",
    };
    let vault = match way {
        Way::Overdue => IMPATIENT,
        Way::DeletedEarly => "none",
        _ => "default",
    };
    let mut job = json!({"apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupJob",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"vault": vault, "backoffLimit": 6, "activeDeadlineSeconds": 21_600, "sources": [
            {"name": "data", "files": {"selector": {"matchLabels": {"app": app}}, "paths": ["/data"]}}]}});
    match way {
        Way::DeletedEarly => job["metadata"]["finalizers"] = json!([FOREIGN]),
        Way::Fleeting => job["spec"]["ttlSecondsAfterFinished"] = 0.into(),
        _ => {}
    }
    job
}

pub(crate) fn vault(bed: &Bed) {
    bed.apply(&json!({"apiVersion": "drawbridge.dev/v1alpha1", "kind": "BackupVault", "metadata": {"name": IMPATIENT},
        "spec": {"region": bed.fact("/aws/region"), "sessionTimeoutSeconds": 300, "graceSeconds": 0,
            "functions": {"create": bed.output("CreateFunctionArn"), "cleanup": bed.output("CleanupFunctionArn")},
            "allowedNamespaces": {"matchNames": [NAMESPACE]}}}))
        .unwrap();
}
