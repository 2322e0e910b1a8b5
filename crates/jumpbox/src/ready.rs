//! Tells `create` that the box listens, and with which keys.
//!
//! The report goes to a presigned URL that writes once. If somebody was there before, whoever it was may have
//! given the cluster a host key of his own: the box must not live on.

use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::{
    client::{http::HttpConnector as _, orchestrator::HttpRequest},
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use drawbridge_protocol::{Orders, ProtocolError, ReadyReport, json};

use crate::store::http;

const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Why the report did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("somebody has reported for this session already: this box must not be used")]
    Taken,
    #[error("the ready report was refused with status {status}: {body}")]
    Refused { status: u16, body: String },
    #[error(
        "the ready report did not arrive after {ATTEMPTS} attempts: {last}; check the S3 endpoint's route and policy"
    )]
    Unreachable { last: String },
}

/// Puts `report` to where the orders say, leaving by `interface`.
pub(crate) async fn send(
    report: &ReadyReport,
    orders: &Orders,
    interface: Option<&str>,
) -> Result<(), ReadyError> {
    let connector = http::connector(interface, orders.extra_ca.as_ref(), None);
    let body = json::write("ready report", report)?;
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PAUSE * 2_u32.pow(attempt - 1)).await;
        }
        match put(&connector, &orders.ready_url, body.clone()).await {
            Ok((status, _)) if status.is_success() => return Ok(()),
            // After an attempt whose answer got lost this may have been ourselves. It cannot be told apart, so the
            // box gives up its life here too: `create` finds a report and no box, and the session's next attempt is cheap.
            Ok((status, _)) if status.as_u16() == 412 => return Err(ReadyError::Taken),
            Ok((status, body)) if status.is_client_error() && status.as_u16() != 409 => {
                return Err(ReadyError::Refused { status: status.as_u16(), body });
            }
            Ok((status, body)) => last = format!("status {}: {body}", status.as_u16()),
            Err(error) => last = error,
        }
    }
    Err(ReadyError::Unreachable { last })
}

async fn put(connector: &Connector, url: &str, body: Vec<u8>) -> Result<(StatusCode, String), String> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("PUT").map_err(|error| error.to_string())?;
    request.set_uri(url.to_owned()).map_err(|error| error.to_string())?;
    request.headers_mut().insert("if-none-match", "*");
    let exchange = async {
        let response = connector.call(request).await.map_err(|error| format!("{error:?}"))?;
        let status = response.status();
        let body = response.body().bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Ok((status, body.unwrap_or_default()))
    };
    tokio::time::timeout(Duration::from_secs(10), exchange)
        .await
        .map_err(|_| "no answer in 10 s".to_owned())?
}
