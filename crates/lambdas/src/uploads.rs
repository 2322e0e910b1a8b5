//! Unfinished uploads of the backup bucket: all that a Lambda may see of it, and it may only abort them.

use std::sync::Arc;

use async_trait::async_trait;
use drawbridge_protocol::{ClusterName, SessionId};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::store::StoreError;

/// An upload that was begun and neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    pub key: String,
    pub id: String,
}

impl Upload {
    /// The session it belongs to: keys are `clusters/<cluster>/<namespace>/<job>/<session>/<name>`.
    pub fn session(&self, cluster: &ClusterName) -> Option<SessionId> {
        let mut steps = self.key.strip_prefix(&cluster_prefix(cluster))?.split('/');
        let session = steps.nth(2)?;
        steps.next()?;
        session.parse().ok()
    }
}

/// Where all of a cluster's objects lie.
pub fn cluster_prefix(cluster: &ClusterName) -> String {
    format!("clusters/{cluster}/")
}

/// How many are aborted at once.
const AT_ONCE: usize = 10;

/// Aborts all of them, some at once.
pub(crate) async fn abort_all(uploads: &Arc<dyn Uploads>, found: Vec<Upload>) -> Result<(), StoreError> {
    let aborted = stream::iter(found).map(|upload| {
        let uploads = Arc::clone(uploads);
        async move { uploads.abort(&upload).await }
    });
    aborted.buffer_unordered(AT_ONCE).try_collect::<()>().await
}

/// The backup bucket's unfinished uploads.
#[async_trait]
pub trait Uploads: Send + Sync {
    /// Those under a prefix, `most` at the most: boxes begin them, so there may be any number.
    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<Upload>, StoreError>;
    /// Aborts one; it need not exist any more.
    async fn abort(&self, upload: &Upload) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_upload_belongs_to_the_session_in_its_key_and_to_no_other_step() {
        let session = "0123456789abcdef0123456789abcdef";
        let of = |key: &str| {
            let upload = Upload { key: key.to_owned(), id: "1".to_owned() };
            upload.session(&"demo".parse().unwrap()).map(String::from)
        };
        assert_eq!(of(&format!("clusters/demo/ns/job/{session}/a.tar.zst")).as_deref(), Some(session));
        assert_eq!(of(&format!("clusters/other/ns/job/{session}/a.tar.zst")), None);
        assert_eq!(of(&format!("clusters/demo/ended/{session}")), None);
        assert_eq!(of(&format!("clusters/demo/{session}/ns/job/a")), None);
        assert_eq!(of(&format!("clusters/demo/ns/job/{session}")), None);
    }
}
