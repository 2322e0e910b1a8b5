//! The last part of a sweep: unfinished uploads of nobody. Boxes begin them, so a box's root can make any number of them:
//! they are looked at when everything else is done, and no further than the time allows.

use std::collections::BTreeSet;

use drawbridge_protocol::SessionId;
use tracing::{error, warn};

use super::{Finding, Survey, strays::removed};
use crate::{
    cleanup::Cleaner,
    error::Error,
    state::Moment,
    store::Loaded,
    uploads::{self, Upload, cluster_prefix},
};

/// How many a sweep looks at; the next one goes on with what is left.
const LOOKED_AT: usize = 5000;
/// After how many the clock is looked at.
const BATCH: usize = 50;
/// How many of one session are aborted in one sweep.
const OF_ONE: usize = 500;

impl Cleaner {
    /// Aborts what no session owns. What cannot be told or removed now is found again by the next sweep.
    pub(crate) async fn abort_uploads_of_nobody(&self, survey: &mut Survey, moment: Moment) {
        let all = cluster_prefix(&self.stack.cluster);
        let found = match self.destroyer.uploads.list(&all, LOOKED_AT).await {
            Ok(found) => found,
            Err(error) => {
                error!(%error, "the sweep could not list unfinished uploads");
                return survey.found(Finding::Unjudged);
            }
        };
        let mut judged = BTreeSet::new();
        for batch in found.chunks(BATCH) {
            for upload in batch {
                match upload.session(&self.stack.cluster) {
                    None => {
                        survey.found(Finding::StrayUpload);
                        let aborted = self.destroyer.uploads.abort(upload).await;
                        removed(Finding::StrayUpload, &upload.key, aborted);
                    }
                    Some(session) if judged.insert(session.clone()) => {
                        if let Err(error) = self.judge_uploads(&session, upload, survey).await {
                            error!(%session, %error, "the sweep could not judge a session's uploads");
                            survey.found(Finding::Unjudged);
                        }
                    }
                    Some(_) => {}
                }
            }
            if self.is_late(moment) {
                warn!(listed = found.len(), "what unfinished uploads are left is left to the next sweep");
                return;
            }
        }
    }

    /// A session that has state is ended with its uploads when its time comes; one that has none ends no more.
    async fn judge_uploads(
        &self,
        session: &SessionId,
        upload: &Upload,
        survey: &mut Survey,
    ) -> Result<(), Error> {
        if !matches!(self.destroyer.store.load(session).await?, Loaded::Nothing) {
            return Ok(());
        }
        // The list may be older than the end of what it showed.
        let prefix = upload.key.rsplit_once('/').map_or(upload.key.as_str(), |(prefix, _)| prefix);
        let left = self.destroyer.uploads.list(prefix, OF_ONE).await?;
        if left.is_empty() {
            return Ok(());
        }
        let closed = self.destroyer.store.is_closed(session).await?;
        let finding = if closed { Finding::Closed } else { Finding::NoState };
        warn!(%session, finding = finding.name(), uploads = left.len(), "aborting unfinished uploads");
        survey.found(finding);
        uploads::abort_all(&self.destroyer.uploads, left).await?;
        Ok(())
    }
}
