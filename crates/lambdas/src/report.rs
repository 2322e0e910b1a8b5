//! The last step of `create`: the box's own report, and whether it can be believed.

use std::net::Ipv4Addr;

use drawbridge_protocol::{
    ObjectPrefix, ReadyReport, SessionId,
    session::{CreateOutcome, ReadyBox, Refusal, Waiting},
};
use tracing::{info, warn};

use crate::{
    create::{Creator, Step, refused, wait},
    state::{Machine, Moment},
    store::{Saved, StoreError},
};

const SSH_PORT: u16 = 22;

impl Creator {
    /// Looks for the box's own report, checks it, and certifies its session key; then the box's port is opened.
    pub(crate) async fn reported(
        &self,
        saved: Saved,
        machine: &Machine,
        address: Ipv4Addr,
        moment: Moment,
    ) -> Step<CreateOutcome> {
        let session = &saved.session;
        let report = match self.store().report(&session.session).await {
            Ok(Some(report)) => report,
            Ok(None) => return Err(wait(Waiting::Report)),
            // It is write-once: it will never be better.
            Err(StoreError::Unreadable { why, .. }) => {
                return Ok(refused(Refusal::BoxEnded, format!("the box's report is not valid: {why}")));
            }
            Err(error) => return Err(error.into()),
        };
        if let Err(why) = check_report(&report, &session.session, machine) {
            warn!(session = %session.session, why, "the box's report is refused");
            return Ok(refused(Refusal::BoxEnded, format!("the box's report is not valid: {why}")));
        }
        // Whoever reads what the box signed and does not believe the cluster has the key from here.
        info!(session = %session.session, session_key = %report.session_key, "the box has reported");
        let prefix = ObjectPrefix::of_session(&self.config.stack.cluster, &session.job, &session.session)?;
        let (deadline, revision) = (session.deadline, session.revision);
        // A client of the first revision could not read it, and a box of it not either.
        let certificate =
            if revision.is_first() { None } else { self.certify(saved, &report, &prefix, moment).await? };
        self.open_to_clients(&machine.group).await?;
        Ok(CreateOutcome::Ready(Box::new(ReadyBox {
            address,
            port: SSH_PORT,
            host_key: report.host_key,
            session_key: report.session_key,
            instance: report.instance,
            deadline,
            bucket: self.config.stack.backup_bucket.clone(),
            prefix,
            certificate,
            revision,
        })))
    }
}

fn check_report(report: &ReadyReport, session: &SessionId, machine: &Machine) -> Result<(), String> {
    if report.session != *session {
        return Err(format!("it is of session {}", report.session));
    }
    if report.instance != machine.instance.as_str() {
        return Err(format!("it is of instance {}, not of {}", report.instance, machine.instance));
    }
    if report.program != machine.program {
        return Err(format!("the box runs program {}, not {}", report.program, machine.program));
    }
    Ok(())
}
