//! A write that happens once, over a network that loses answers.
//!
//! S3 refuses a conditional write with 412 when the key is taken. After an attempt whose answer was lost, the one who
//! took it may be ourselves: only then, listing settles it. A 412 on the first attempt is always somebody else.

use std::{fmt::Debug, time::Duration};

use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use drawbridge_protocol::ObjectKey;

use super::{Cause, Store, StoreError, Written};

const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// What one attempt came to, if not to success.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    kind: Kind,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 412: an object is at the key.
    Taken,
    /// 409: another write was under way.
    Conflict,
    /// 404: the multipart upload is gone, because it completed or was aborted.
    Gone,
    /// Any other refusal: asking again changes nothing.
    Final,
    /// No answer, or a server's error: it may have happened or not.
    Unknown,
}

impl Refusal {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let kind = match (status, error) {
            (_, SdkError::ConstructionFailure(_)) => Kind::Final,
            (Some(412), _) => Kind::Taken,
            (Some(409), _) => Kind::Conflict,
            (Some(404), _) if error.code() == Some("NoSuchUpload") => Kind::Gone,
            (Some(408 | 429), _) => Kind::Unknown,
            (Some(400..=499), _) if error.code() != Some("RequestTimeout") => Kind::Final,
            // CompleteMultipartUpload may say 200 and put an error into the body.
            _ => Kind::Unknown,
        };
        Self { kind, cause: Cause::of(error) }
    }
}

/// What our own object would look like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) bytes: u64,
    /// Of a multipart upload; its ETag ends in `-<parts>`.
    pub(super) parts: Option<usize>,
}

impl Expected {
    fn is(self, bytes: u64, e_tag: &str) -> bool {
        let tag = e_tag.trim_matches('"');
        let parts = tag.rsplit_once('-').map(|(_, count)| count.to_owned());
        bytes == self.bytes && parts == self.parts.map(|count| count.to_string())
    }
}

/// Runs `attempt` until it is settled whether our object is at `key`.
pub(super) async fn write<F, A>(
    store: &Store,
    operation: &'static str,
    key: &ObjectKey,
    expected: Expected,
    attempt: F,
) -> Result<Written, StoreError>
where
    F: Fn() -> A,
    A: Future<Output = Result<Written, Refusal>>,
{
    let mut uncertain = false;
    let mut last = Cause::other("it was never tried");
    for number in 0..ATTEMPTS {
        if number > 0 {
            tokio::time::sleep(PAUSE * 4_u32.pow(number - 1)).await;
        }
        let refusal = match attempt().await {
            Ok(written) => return Ok(written),
            Err(refusal) => refusal,
        };
        tracing::debug!(%key, operation, ?refusal, number, "a write was not confirmed");
        last = refusal.cause;
        match refusal.kind {
            Kind::Taken | Kind::Gone if uncertain => {
                return settle(store, operation, key, expected, last).await;
            }
            Kind::Taken => return Err(StoreError::Exists { key: key.clone() }),
            Kind::Conflict => return Err(StoreError::Conflict { key: key.clone() }),
            Kind::Final | Kind::Gone => break,
            Kind::Unknown => uncertain = true,
        }
    }
    Err(StoreError::Failed { operation, key: key.clone(), cause: last })
}

/// Lists the key: the object there is ours if it has our size and our number of parts.
async fn settle(
    store: &Store,
    operation: &'static str,
    key: &ObjectKey,
    expected: Expected,
    cause: Cause,
) -> Result<Written, StoreError> {
    match store.find(key).await? {
        Some((bytes, e_tag)) if expected.is(bytes, &e_tag) => Ok(None),
        Some(_) => Err(StoreError::Exists { key: key.clone() }),
        None => Err(StoreError::Failed { operation, key: key.clone(), cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::Expected;

    #[test]
    fn only_an_object_of_our_size_and_parts_counts_as_ours() {
        let multipart = Expected { bytes: 10, parts: Some(2) };
        assert!(multipart.is(10, "\"abc-2\""));
        assert!(!multipart.is(10, "\"abc-3\""));
        assert!(!multipart.is(11, "\"abc-2\""));
        assert!(!multipart.is(10, "\"abc\""));
        let single = Expected { bytes: 10, parts: None };
        assert!(single.is(10, "\"abc\""));
        assert!(!single.is(10, "\"abc-1\""));
    }
}
