//! Why S3 did not do what it was asked: its kind, by which the client decides what helps, and one line for people.

use std::fmt::{self, Debug, Display};

use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use drawbridge_protocol::upload::FailureCode;

/// A failure of S3, or on the way to it.
#[derive(Clone, Debug)]
pub struct Cause {
    pub(crate) code: FailureCode,
    said: String,
}

impl Cause {
    /// What the SDK gave up with, after its own attempts.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        Self { code: kind(error.code(), status, error), said: describe(error) }
    }

    /// Something else than S3.
    pub(crate) fn other(said: impl Into<String>) -> Self {
        Self { code: FailureCode::Storage, said: said.into() }
    }

    /// Nothing came in time.
    pub(crate) fn timed_out(said: impl Into<String>) -> Self {
        Self { code: FailureCode::StorageTimedOut, said: said.into() }
    }

    /// What to do about it, where a person can.
    fn remedy(&self) -> &'static str {
        match self.code {
            FailureCode::StorageDenied => {
                "; compare the policies of the bucket, the S3 endpoint and the box's role with the stack's template"
            }
            FailureCode::StorageTimedOut => {
                "; if it lasts, check the private subnet's route to the S3 endpoint and AWS's health page"
            }
            FailureCode::Clock => {
                "; the box's clock and AWS's differ by more than S3 allows: choose another image"
            }
            _ => "",
        }
    }
}

impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.said, self.remedy())
    }
}

fn kind<E>(code: Option<&str>, status: Option<u16>, error: &SdkError<E, HttpResponse>) -> FailureCode {
    match (code, status, error) {
        (Some("RequestTimeTooSkewed"), ..) => FailureCode::Clock,
        (Some("SlowDown" | "ServiceUnavailable"), ..) | (_, Some(429 | 503), _) => {
            FailureCode::StorageThrottled
        }
        (_, Some(401 | 403), _) => FailureCode::StorageDenied,
        (_, _, SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_)) => {
            FailureCode::StorageTimedOut
        }
        _ => FailureCode::Storage,
    }
}

/// S3's code and message, or the chain of causes where no answer came.
fn describe<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    match error.as_service_error() {
        Some(service) => match (service.code(), service.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            _ => chain(error),
        },
        None if matches!(error, SdkError::TimeoutError(_)) => "no whole answer in time".to_owned(),
        // What began to come and stopped.
        None if matches!(error, SdkError::ResponseError(_)) => {
            format!("no whole answer in time ({})", chain(error))
        }
        None => chain(error),
    }
}

/// An error and what caused it, in words.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
