//! HTTP clients that leave the machine by one network device.
//!
//! S3's addresses are public ones even behind a gateway endpoint. An unbound socket would leave by the primary,
//! public interface, which has no egress; binding to the private one is what brings the route to the endpoint.

use aws_smithy_http_client::{
    Builder, Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient};

/// A client for an AWS SDK.
pub(crate) fn client(interface: Option<&str>) -> SharedHttpClient {
    let interface = interface.map(str::to_owned);
    Builder::new()
        .build_with_connector_fn(move |settings, _| connector(interface.as_deref(), settings.cloned()))
}

/// A bare connector.
pub(crate) fn connector(interface: Option<&str>, settings: Option<HttpConnectorSettings>) -> Connector {
    let mut builder = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    builder.set_connector_settings(settings);
    if let Some(interface) = interface {
        builder.set_interface(interface);
    }
    builder.build()
}
