//! The wire between a controller and the API server: kube's own client speaks into it, faults happen on it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use drawbridge::gather::TokenClients;
use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower_service::Service;

use super::{
    Key, shown,
    writes::{Refused, token},
};
use crate::{
    faults::{CHANGE, Fault, READ},
    process::Process,
    world::World,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client of one process.
pub(crate) fn client(world: &Arc<World>, process: &Arc<Process>) -> Client {
    Client::new(Wire { world: Arc::clone(world), process: Arc::clone(process) }, "default")
}

/// Whoever has a token speaks over the same wire.
pub(crate) struct Accounts {
    pub(crate) world: Arc<World>,
    pub(crate) process: Arc<Process>,
}

impl TokenClients for Accounts {
    fn with_token(&self, _token: String) -> Result<Client, kube::Error> {
        Ok(client(&self.world, &self.process))
    }
}

struct Wire {
    world: Arc<World>,
    process: Arc<Process>,
}

impl Service<Request<Body>> for Wire {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (world, process) = (Arc::clone(&self.world), Arc::clone(&self.process));
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await?;
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let call = Call::of(&parts.method, parts.uri.path(), body)?;
            carry(&world, &process, &call).await
        })
    }
}

/// A call that the controller makes.
enum Call {
    Get(Key),
    PutStatus(Key, Value),
    Patch(Key, Value),
    Delete(Key, Value),
    Namespace(String),
    Token,
    Pods(String),
    Event(Value),
}

impl Call {
    fn of(method: &Method, path: &str, body: Value) -> Result<Self, BoxError> {
        let steps: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (job, vault) = (Key::job, Key::vault);
        Ok(match (method.as_str(), steps.as_slice()) {
            ("GET", [_, _, _, "namespaces", ns, "backupjobs", name]) => Self::Get(job(ns, name)),
            ("GET", [_, _, _, "backupvaults", name]) => Self::Get(vault(name)),
            ("PUT", [_, _, _, "namespaces", ns, "backupjobs", name, "status"]) => {
                Self::PutStatus(job(ns, name), body)
            }
            ("PUT", [_, _, _, "backupvaults", name, "status"]) => Self::PutStatus(vault(name), body),
            ("PATCH", [_, _, _, "namespaces", ns, "backupjobs", name]) => Self::Patch(job(ns, name), body),
            ("DELETE", [_, _, _, "namespaces", ns, "backupjobs", name]) => Self::Delete(job(ns, name), body),
            ("GET", ["api", "v1", "namespaces", ns]) => Self::Namespace((*ns).to_owned()),
            ("POST", ["api", "v1", "namespaces", _, "serviceaccounts", _, "token"]) => Self::Token,
            ("GET", ["api", "v1", "namespaces", ns, "pods"]) => Self::Pods((*ns).to_owned()),
            (_, ["apis", "events.k8s.io", ..]) => Self::Event(body),
            _ => return Err(format!("the model has no {method} {path}").into()),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Get(_) => "kubernetes get",
            Self::PutStatus(..) => "kubernetes put status",
            Self::Patch(..) => "kubernetes patch",
            Self::Delete(..) => "kubernetes delete",
            Self::Namespace(_) => "kubernetes get namespace",
            Self::Token => "kubernetes mint token",
            Self::Pods(_) => "kubernetes list pods",
            Self::Event(_) => "kubernetes event",
        }
    }

    fn reads(&self) -> bool {
        matches!(self, Self::Get(_) | Self::Namespace(_) | Self::Pods(_))
    }

    fn take_effect(&self, world: &World, stale: bool) -> Result<Value, Refused> {
        let kube = &world.kube;
        match self {
            Self::Get(key) if stale => {
                kube.read_stale(key, world.dice.next() % 8).map(|found| shown(world, &found))
            }
            Self::Get(key) => kube.read(key).map(|found| shown(world, &found)),
            Self::PutStatus(key, body) => kube.put_status(world, key, body),
            Self::Patch(key, body) => kube.patch(world, key, body),
            Self::Delete(key, options) => kube.delete(world, key, options),
            Self::Namespace(name) => Ok(json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": name, "labels": { "backup": "yes" } },
            })),
            Self::Token => Ok(token(&world.time)),
            Self::Pods(namespace) => Ok(kube.pods(namespace)),
            Self::Event(body) => Ok(body.clone()),
        }
    }
}

/// One call, there and back, with whatever the run has in store for it.
async fn carry(world: &Arc<World>, process: &Arc<Process>, call: &Call) -> Result<Response<Body>, BoxError> {
    let pause = |low, high| world.time.sleep(world.dice.millis(low, high));
    pause(1, 15).await;
    process.lives().await;
    let fault = world.fault(call.name(), if call.reads() { READ } else { CHANGE });
    match fault {
        Some(Fault::ErrorBefore) => {
            let refused = Refused(500, "InternalError", "etcdserver: request timed out".to_owned());
            return if world.dice.per_mille(500) { Ok(respond(Err(refused))) } else { Err("refused".into()) };
        }
        Some(Fault::CrashBefore) => process.dies(world).await,
        Some(Fault::Delay) => pause(1_000, 40_000).await,
        _ => {}
    }
    process.lives().await;
    let mut answer = call.take_effect(world, fault == Some(Fault::StaleRead));
    match fault {
        Some(Fault::CrashAfter) => process.dies(world).await,
        Some(Fault::Duplicate) => {
            let again = call.take_effect(world, false);
            if world.dice.per_mille(500) {
                answer = again;
            }
        }
        Some(Fault::ErrorAfter) => return Err("connection reset".into()),
        Some(Fault::LostAnswer) => {
            world.time.sleep(Duration::from_secs(30)).await;
            process.lives().await;
            return Err("no answer".into());
        }
        _ => {}
    }
    pause(1, 15).await;
    process.lives().await;
    Ok(respond(answer))
}

fn respond(answer: Result<Value, Refused>) -> Response<Body> {
    let (code, value) = match answer {
        Ok(value) => (200, value),
        Err(Refused(code, reason, message)) => (
            code,
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "metadata": {},
                    "message": message, "reason": reason, "code": code }),
        ),
    };
    let mut response = Response::new(Body::from(value.to_string().into_bytes()));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}
