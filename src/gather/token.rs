//! Becomes a namespace's `drawbridge-gatherer` for ten minutes at a time.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, Config, api::PostParams, config::AuthInfo};
use tokio::{sync::Mutex, time::Instant};

use super::GatherError;
use crate::api::GATHERER_ACCOUNT;

/// The life of a token, in seconds: the shortest that the API server gives, and the longest that the chart's
/// admission policy lets the operator ask for.
const TOKEN_SECONDS: i64 = 600;
/// A token that is this close to its end is not used to begin anything. What began under it goes on: the API
/// server checks a connection when it is made.
const MARGIN: Duration = Duration::from_mins(2);

/// Makes clients that act with a minted token and with nothing else.
pub trait TokenClients: Send + Sync {
    fn with_token(&self, token: String) -> Result<Client, kube::Error>;
}

/// Where the cluster is. Its own credentials are never used here.
impl TokenClients for Config {
    fn with_token(&self, token: String) -> Result<Client, kube::Error> {
        let mut config = self.clone();
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        Client::try_from(config)
    }
}

/// Clients that act as the gatherer of one namespace.
pub struct Gatherer {
    operator: Client,
    clients: Arc<dyn TokenClients>,
    namespace: String,
    current: Mutex<Option<(Client, Instant)>>,
}

impl std::fmt::Debug for Gatherer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gatherer({})", self.namespace)
    }
}

impl Gatherer {
    /// Nothing is minted yet. `operator` mints; `clients` acts with what was minted.
    pub fn new(operator: Client, clients: &Arc<dyn TokenClients>, namespace: &str) -> Arc<Self> {
        let namespace = namespace.to_owned();
        Arc::new(Self { operator, clients: Arc::clone(clients), namespace, current: Mutex::default() })
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A client with a token that is good for a while.
    pub(super) async fn client(&self) -> Result<Client, GatherError> {
        let mut current = self.current.lock().await;
        if let Some((client, until)) = current.as_ref()
            && Instant::now() < *until
        {
            return Ok(client.clone());
        }
        let minted = Instant::now();
        let token = self.mint().await?;
        let made = self.clients.with_token(token);
        let client = made.map_err(|error| api_error(&self.namespace, "make a client", &error))?;
        let life = Duration::from_secs(TOKEN_SECONDS.unsigned_abs()).saturating_sub(MARGIN);
        *current = Some((client.clone(), minted + life));
        Ok(client)
    }

    async fn mint(&self) -> Result<String, GatherError> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.operator.clone(), &self.namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let what = format!("mint a token for {GATHERER_ACCOUNT}");
        let answer = accounts
            .create_token_request(GATHERER_ACCOUNT, &PostParams::default(), &request)
            .await
            .map_err(|error| match &error {
                kube::Error::Api(status) if status.is_not_found() => {
                    GatherError::AccountMissing { namespace: self.namespace.clone() }
                }
                _ => api_error(&self.namespace, &what, &error),
            })?;
        answer.status.map(|status| status.token).ok_or_else(|| GatherError::Api {
            namespace: self.namespace.clone(),
            what,
            message: "the answer holds no token".to_owned(),
        })
    }
}

/// The error of a call to Kubernetes, made as the gatherer or for it.
pub(super) fn api_error(namespace: &str, what: &str, error: &kube::Error) -> GatherError {
    let (namespace, what) = (namespace.to_owned(), what.to_owned());
    match error {
        kube::Error::Api(status) if status.is_forbidden() || status.code == 401 => {
            GatherError::Forbidden { namespace, what, message: status.message.clone() }
        }
        kube::Error::Api(status) => GatherError::Api { namespace, what, message: status.message.clone() },
        error => GatherError::Api { namespace, what, message: error.to_string() },
    }
}
