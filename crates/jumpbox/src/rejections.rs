//! Leaves a signed record of an artifact that was rejected, before the client hears of it: who holds the cluster can drop the
//! answer, the job and the metric, but not an object behind the bridge.
//!
//! A record that cannot be written changes nothing of the rejection.

use drawbridge_protocol::{ObjectKey, upload::Rejected};

use crate::session::Session;

/// Writes the record, or says in the log why there is none. Once an artifact is rejected it stays so, and nobody comes here
/// with its name again.
pub(crate) async fn keep(session: &Session, rejected: &Rejected) {
    let key = session.orders.prefix.rejection(&rejected.name);
    let limit = session.settings.bounds.record;
    let reason = match tokio::time::timeout(limit, write(session, &key, rejected)).await {
        Ok(Ok(())) => {
            tracing::info!(%key, "written");
            return;
        }
        Ok(Err(why)) => why,
        Err(_) => format!("S3 did not confirm it in {} s", limit.as_secs()),
    };
    tracing::error!(%key, reason, "a rejected artifact has no record");
}

async fn write(session: &Session, key: &ObjectKey, rejected: &Rejected) -> Result<(), String> {
    let body = session.sealer.rejection(session, rejected).map_err(|error| error.to_string())?;
    let put = session.store.put_new(key, body, "application/json").await;
    put.map(|_| ()).map_err(|error| error.to_string())
}
