//! The machine that the box runs on: its id and its role's credentials, both from the instance metadata service.

use std::time::Duration;

use aws_config::{imds, imds::credentials::ImdsCredentialsProvider, provider_config::ProviderConfig};
use aws_sdk_s3::config::SharedCredentialsProvider;

use crate::store::http;

/// Who this machine is.
#[derive(Clone, Debug)]
pub struct Machine {
    /// EC2's id.
    pub instance: String,
    /// The credentials of the box's role; they renew themselves.
    pub credentials: SharedCredentialsProvider,
}

/// Why the machine does not know itself.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error(
        "the instance metadata service did not give the instance id: {0}; a box needs IMDSv2 switched on"
    )]
    InstanceId(String),
}

impl Machine {
    /// Asks the instance metadata service, version 2. It is link-local, so it may be reached over any interface.
    pub async fn from_instance_metadata() -> Result<Self, MachineError> {
        let provider = ProviderConfig::without_region().with_http_client(http::client(None, None));
        let client = imds::Client::builder()
            .configure(&provider)
            .connect_timeout(Duration::from_secs(1))
            .read_timeout(Duration::from_secs(2))
            .max_attempts(5)
            .build();
        let instance = client.get("/latest/meta-data/instance-id").await.map_err(|error| {
            MachineError::InstanceId(aws_smithy_types::error::display::DisplayErrorContext(error).to_string())
        })?;
        let credentials = ImdsCredentialsProvider::builder().configure(&provider).imds_client(client).build();
        Ok(Self { instance: instance.into(), credentials: SharedCredentialsProvider::new(credentials) })
    }
}
