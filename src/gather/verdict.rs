//! What the end of a gathering was worth, from the three that must agree: tar's exit, its standard error, the archive.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;

/// What tar writes when a file is lost, whatever it exits with.
const FATAL_WORDS: [&str; 5] =
    ["No such file", "Cannot ", "can't open", "Permission denied", "Error is not recoverable"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    TarMissing,
    PathMissing,
    Unreadable,
    Failed,
    Truncated,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub kind: Kind,
    pub message: String,
}

/// Success needs all three: tar's exit, a silent standard error, the archive's end.
pub(super) fn verdict(
    exit: Option<&Status>,
    errors: &str,
    scanned: Result<(), String>,
) -> Result<(), Verdict> {
    let said = one_line(errors);
    let Some(exit) = exit else {
        let message = format!("the connection closed before tar's exit was reported. {said}");
        return Err(Verdict { kind: Kind::Truncated, message: message.trim_end().to_owned() });
    };
    let text = exit.message.clone().unwrap_or_default();
    let fatal = FATAL_WORDS.iter().any(|word| errors.contains(word));
    if exit.status.as_deref() != Some("Success") || fatal {
        let kind = if killed(exit) {
            Kind::Truncated
        } else if no_tar(&text, errors) {
            Kind::TarMissing
        } else if errors.contains("No such file") {
            Kind::PathMissing
        } else if errors.contains("Permission denied") {
            Kind::Unreadable
        } else {
            Kind::Failed
        };
        let message = [one_line(&text), said]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(": ");
        return Err(Verdict { kind, message });
    }
    scanned.map_err(|message| Verdict { kind: Kind::Truncated, message })
}

const SIGHUP: u8 = 128 + 1;
const SIGINT: u8 = 128 + 2;
const SIGKILL: u8 = 128 + 9;
const SIGTERM: u8 = 128 + 15;

/// Whether a signal ended it, as it does when a pod is evicted or a container is restarted: no fault of the files, and
/// the next attempt may find the pod elsewhere. Shells report 128 and the signal's number. Not among them: SIGPIPE, which
/// tells of a zstd that does not work.
fn killed(exit: &Status) -> bool {
    let causes = exit.details.iter().flat_map(|details| details.causes.iter().flatten());
    causes
        .filter(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .filter_map(|cause| cause.message.as_deref()?.parse::<u8>().ok())
        .any(|code| [SIGHUP, SIGINT, SIGKILL, SIGTERM].contains(&code))
}

/// Runtimes say it in different words; shells that stand in for tar say it too.
fn no_tar(exit: &str, errors: &str) -> bool {
    ["executable file not found", "no such file or directory: unknown", "tar: not found", "exit code 127"]
        .iter()
        .any(|words| exit.contains(words) || errors.contains(words))
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{StatusCause, StatusDetails};

    use super::*;

    fn exit(status: &str, message: &str) -> Status {
        Status { status: Some(status.into()), message: Some(message.into()), ..Status::default() }
    }

    fn kind(exit: Option<&Status>, errors: &str, scanned: Result<(), String>) -> Option<Kind> {
        verdict(exit, errors, scanned).err().map(|verdict| verdict.kind)
    }

    #[test]
    fn success_needs_exit_silence_and_end() {
        let good = exit("Success", "");
        assert_eq!(kind(Some(&good), "", Ok(())), None);
        assert_eq!(kind(Some(&good), "tar: removing leading '/'", Ok(())), None);
        assert_eq!(kind(None, "", Ok(())), Some(Kind::Truncated));
        assert_eq!(kind(Some(&good), "", Err("no end".into())), Some(Kind::Truncated));
        assert_eq!(
            kind(Some(&good), "tar: x: Cannot stat: No such file or directory", Ok(())),
            Some(Kind::PathMissing)
        );
        assert_eq!(kind(Some(&exit("Failure", "exit status 2")), "", Ok(())), Some(Kind::Failed));
    }

    #[test]
    fn a_killed_tar_ended_early() {
        let ended = |code: &str| {
            let cause = StatusCause {
                reason: Some("ExitCode".into()),
                message: Some(code.into()),
                ..StatusCause::default()
            };
            let details = StatusDetails { causes: Some(vec![cause]), ..StatusDetails::default() };
            Status { details: Some(details), ..exit("Failure", "non-zero exit code") }
        };
        assert_eq!(kind(Some(&ended("137")), "", Err("no end".into())), Some(Kind::Truncated));
        assert_eq!(kind(Some(&ended("143")), "", Ok(())), Some(Kind::Truncated));
        for code in ["2", "128", "141", "nonsense"] {
            assert_eq!(kind(Some(&ended(code)), "", Ok(())), Some(Kind::Failed), "exit code {code}");
        }
    }

    #[test]
    fn faults_of_a_container_have_names() {
        let failure = exit("Failure", "command terminated with non-zero exit code");
        let absent = exit(
            "Failure",
            "OCI runtime exec failed: exec: \"tar\": executable file not found in $PATH: unknown",
        );
        assert_eq!(kind(Some(&absent), "", Ok(())), Some(Kind::TarMissing));
        assert_eq!(
            kind(Some(&failure), "tar: nope: Cannot stat: No such file or directory\n", Ok(())),
            Some(Kind::PathMissing)
        );
        assert_eq!(
            kind(Some(&failure), "tar: s: Cannot open: Permission denied\n", Ok(())),
            Some(Kind::Unreadable)
        );
    }
}
