//! The last part of a sweep: unfinished uploads of nobody. Boxes begin them, so a box's root can make any number of them:
//! they are looked at when everything else is done, and no further than the time allows.

use std::collections::BTreeMap;

use drawbridge_protocol::SessionId;
use jiff::SignedDuration;
use tracing::{error, warn};

use super::{Finding, Survey};
use crate::{
    cleanup::Cleaner,
    error::Error,
    state::Moment,
    store::Loaded,
    uploads::{Upload, abort_all, cluster_prefix},
};

/// How many a sweep looks at; the next one goes on with what is left.
const LOOKED_AT: usize = 5000;
/// What one more may take where a box keeps S3 busy.
const FOR_ONE_MORE: SignedDuration = SignedDuration::from_secs(8);
/// How many are aborted together.
const BATCH: usize = 20;

impl Cleaner {
    /// Aborts what no session owns. What cannot be told or removed now is found again by the next sweep.
    pub(crate) async fn abort_uploads_of_nobody(&self, survey: &mut Survey, moment: Moment) {
        if let Err(error) = self.look_at_uploads(survey, moment).await {
            error!(%error, "the sweep could not look at unfinished uploads");
            survey.found(Finding::Unjudged);
        }
    }

    async fn look_at_uploads(&self, survey: &mut Survey, moment: Moment) -> Result<(), Error> {
        let found = self.destroyer.uploads.list(&cluster_prefix(&self.stack.cluster), LOOKED_AT).await?;
        let (mut orphaned, mut nobodys) = (BTreeMap::new(), Vec::new());
        for upload in found {
            if self.is_nobodys(&upload, &mut orphaned, survey).await {
                nobodys.push(upload);
            }
            // What this sweep found is still to be told.
            let is_late = self.time_left(moment) < FOR_ONE_MORE;
            if is_late || nobodys.len() >= BATCH {
                self.abort_nobodys(std::mem::take(&mut nobodys)).await?;
            }
            if is_late {
                warn!("unfinished uploads are left to the next sweep");
                return Ok(());
            }
        }
        self.abort_nobodys(nobodys).await
    }

    async fn abort_nobodys(&self, uploads: Vec<Upload>) -> Result<(), Error> {
        if let Some(first) = uploads.first() {
            warn!(uploads = uploads.len(), first = first.key, "aborting unfinished uploads of nobody");
        }
        Ok(abort_all(&self.destroyer.uploads, uploads).await?)
    }

    /// Whether no session owns the upload; of each session that is asked once.
    async fn is_nobodys(
        &self,
        upload: &Upload,
        orphaned: &mut BTreeMap<SessionId, bool>,
        survey: &mut Survey,
    ) -> bool {
        let Some(session) = upload.session(&self.stack.cluster) else {
            survey.found(Finding::StrayUpload);
            return true;
        };
        if let Some(orphaned) = orphaned.get(&session) {
            return *orphaned;
        }
        let finding = self.judge_uploads(&session, upload).await.unwrap_or_else(|error| {
            error!(%session, %error, "the sweep could not judge a session's uploads");
            Some(Finding::Unjudged)
        });
        if let Some(finding) = finding {
            survey.found(finding);
        }
        let is_orphaned = matches!(finding, Some(Finding::Closed | Finding::NoState));
        orphaned.insert(session, is_orphaned);
        is_orphaned
    }

    /// A session that has state is ended with its uploads when its time comes; one that has none ends no more.
    async fn judge_uploads(&self, session: &SessionId, upload: &Upload) -> Result<Option<Finding>, Error> {
        if !matches!(self.destroyer.store.load(session).await?, Loaded::Nothing) {
            return Ok(None);
        }
        // The list may be older than the end of what it showed.
        if self.destroyer.uploads.list(&upload.key, 1).await?.is_empty() {
            return Ok(None);
        }
        let closed = self.destroyer.store.is_closed(session).await?;
        Ok(Some(if closed { Finding::Closed } else { Finding::NoState }))
    }
}
