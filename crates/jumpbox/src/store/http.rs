//! HTTP clients that leave the machine by one network device, and trust the system's CAs and those of the orders.
//!
//! S3's addresses are public ones even behind a gateway endpoint. An unbound socket would leave by the primary,
//! public interface, which has no egress; binding to the private one is what brings the route to the endpoint.

use aws_smithy_http_client::{
    Builder, Connector,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient};
use drawbridge_protocol::ExtraCa;

/// A client for an AWS SDK.
pub(crate) fn client(interface: Option<&str>, extra_ca: Option<&ExtraCa>) -> SharedHttpClient {
    let (interface, extra_ca) = (interface.map(str::to_owned), extra_ca.cloned());
    Builder::new().build_with_connector_fn(move |settings, _| {
        connector(interface.as_deref(), extra_ca.as_ref(), settings.cloned())
    })
}

/// A bare connector.
pub(crate) fn connector(
    interface: Option<&str>,
    extra_ca: Option<&ExtraCa>,
    settings: Option<HttpConnectorSettings>,
) -> Connector {
    let mut trusted = TrustStore::default();
    if let Some(ca) = extra_ca {
        trusted.add_pem_certificate(ca.as_pem());
    }
    // It cannot fail today. Were it to, the system's CAs alone would be trusted, which is the safe side.
    let context = TlsContext::builder().with_trust_store(trusted).build().unwrap_or_default();
    let mut builder =
        Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context);
    builder.set_connector_settings(settings);
    if let Some(interface) = interface {
        builder.set_interface(interface);
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aws_smithy_runtime_api::client::{http::HttpConnector as _, orchestrator::HttpRequest};
    use drawbridge_testkit::{Authority, serve};

    use super::*;

    /// Whether somebody is there for the box, as for its report and for its uploads.
    async fn answers(endpoint: &str, extra_ca: Option<&ExtraCa>) -> Result<u16, String> {
        let request = HttpRequest::get(endpoint).unwrap();
        let answer = connector(None, extra_ca, None).call(request).await;
        answer.map(|answer| answer.status().as_u16()).map_err(|error| format!("{error:?}"))
    }

    #[tokio::test]
    async fn the_box_talks_to_whom_the_extra_ca_vouches_for_and_to_nobody_else() {
        let (ours, other) = (Authority::new("ours"), Authority::new("other"));
        let server = serve(&ours, "").await;
        let (ca, wrong): (ExtraCa, ExtraCa) = (ours.pem().parse().unwrap(), other.pem().parse().unwrap());
        assert_eq!(answers(server.endpoint(), Some(&ca)).await, Ok(200));
        for trusted in [Some(&wrong), None] {
            let refusal = answers(server.endpoint(), trusted).await.unwrap_err();
            assert!(refusal.contains("UnknownIssuer"), "{refusal}");
        }
        assert_eq!(server.requests(), 1, "nothing was said to whom nobody vouches for");
    }
}
