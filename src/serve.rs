//! Liveness, readiness and metrics over HTTP. Nothing else is served, and nothing is changed by it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// The lease is renewed every few seconds; when that has not worked for this long, the API server is out of reach.
const STALE: Duration = Duration::from_secs(30);

/// What the process says of itself.
#[derive(Debug)]
pub struct Health {
    stopping: AtomicBool,
    /// When the API server last answered.
    answered: Mutex<Option<Instant>>,
}

impl Default for Health {
    fn default() -> Self {
        Self { stopping: AtomicBool::new(false), answered: Mutex::new(None) }
    }
}

impl Health {
    /// The API server answered.
    pub fn answered(&self) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// The process is about to end.
    pub fn stops(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        !self.stopping.load(Ordering::Relaxed) && answered.is_some_and(|at| at.elapsed() < STALE)
    }
}

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Serves until the process ends.
pub async fn serve(address: SocketAddr, health: Arc<Health>, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(show))
        .with_state(Shared { health, metrics });
    axum::serve(TcpListener::bind(address).await?, routes).await
}

/// A standby is ready too: it would act if the leader were gone.
async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.health.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the API server has not answered for a while, or the process stops\n",
        )
    }
}

async fn show(State(shared): State<Shared>) -> impl IntoResponse {
    let content_type = [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match shared.metrics.text() {
        Ok(text) => (StatusCode::OK, content_type, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, content_type, error.to_string()),
    }
}
