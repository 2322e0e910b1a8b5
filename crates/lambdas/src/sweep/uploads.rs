//! The last part of a sweep: unfinished uploads of nobody. Boxes begin them, so a box's root can make any number of them:
//! they are looked at when everything else is done, and no further than the time allows.

use std::{collections::BTreeMap, time::Duration};

use drawbridge_protocol::SessionId;
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
/// After how many the clock is looked at.
const BATCH: usize = 20;

impl Cleaner {
    /// Aborts what no session owns. What cannot be told or removed now is found again by the next sweep.
    pub(crate) async fn abort_uploads_of_nobody(&self, survey: &mut Survey, moment: Moment) {
        // S3 may answer slowly where a box keeps it busy, and what this sweep found is still to be told.
        let within =
            Duration::try_from(self.time_left(moment)).unwrap_or_default().max(Duration::from_secs(1));
        match tokio::time::timeout(within, self.look_at_uploads(survey, moment)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                error!(%error, "the sweep could not look at unfinished uploads");
                survey.found(Finding::Unjudged);
            }
            Err(_) => warn!("unfinished uploads are left to the next sweep: S3 was slow"),
        }
    }

    async fn look_at_uploads(&self, survey: &mut Survey, moment: Moment) -> Result<(), Error> {
        let found = self.destroyer.uploads.list(&cluster_prefix(&self.stack.cluster), LOOKED_AT).await?;
        let mut orphaned = BTreeMap::new();
        for batch in found.chunks(BATCH) {
            let mut nobodys = Vec::new();
            for upload in batch {
                if self.is_nobodys(upload, &mut orphaned, survey).await {
                    nobodys.push(upload.clone());
                }
            }
            if let Some(first) = nobodys.first() {
                warn!(uploads = nobodys.len(), first = first.key, "aborting unfinished uploads of nobody");
            }
            abort_all(&self.destroyer.uploads, nobodys).await?;
            if self.time_left(moment).is_negative() {
                warn!(listed = found.len(), "unfinished uploads are left to the next sweep");
                return Ok(());
            }
        }
        Ok(())
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
