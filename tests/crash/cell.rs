//! One cell of the matrix: a job is brought to a step, hit there, and followed to its end.

use std::time::{Duration, Instant};

use drawbridge::controller::backupjob::StepKind;
use serde_json::json;

use crate::{
    Seen,
    aws::Rule,
    bed::{Bed, wait},
    clock::{Action, Shimmed},
    disruption::{Disruption, kill_box, kill_functions},
    job::Job,
    network::Table,
    pods::{Place, SMALL},
    scenario::{self, Way},
};

/// To the step, and from there to the end; a killed Lambda's invocation ends only with its time limit.
const LIMIT: Duration = Duration::from_secs(180);
/// Long past every deadline of the impatient vault.
const HOURS: i64 = 7_200;

pub(crate) struct Cell<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) place: &'a Place<'a>,
    pub(crate) controller: &'a Shimmed<'a>,
    pub(crate) round: u32,
    pub(crate) step: StepKind,
    pub(crate) disruption: Disruption,
}

impl Cell<'_> {
    pub(crate) fn run(&self) -> Seen {
        let (name, way) = (self.name(), scenario::way(self.step));
        let closed = self.closed();
        let begun = Instant::now();
        let mut alive = None;
        let runs = wait(LIMIT, || {
            alive = self.controller.pod().filter(|(_, _, waits)| waits.is_none());
            alive.is_some()
        });
        assert!(runs, "the controller does not run: {:?}", self.controller.pod());
        let alive = alive.unwrap();
        let action = if self.disruption == Disruption::KillController { Action::Kill } else { Action::Hold };
        let job = if way == Way::FinalizerLeft {
            self.over_with_its_finalizer(&name, action)
        } else {
            self.trap(&name, action);
            Job::apply_object(self.bed, &scenario::job(&name, way))
        };
        let first_box = (way == Way::FirstBoxEnds).then(|| {
            let rule =
                json!({"operation": "PutObject", "match": "ready/*", "answer": "AccessDenied", "times": 1});
            Rule::of(self.bed, &rule)
        });
        let cut = (way == Way::Overdue).then(|| self.make_overdue(&job));
        if way == Way::DeletedEarly {
            job.delete();
        }
        let met = wait(LIMIT, || self.controller.shim.has_sprung());
        assert!(met, "the job never came to {}: {:#}", self.step.name(), job.status());
        let hit = self.disrupt(&job, &alive);
        if way == Way::PodsLate {
            self.place.pod(&name, SMALL);
        }
        drop(first_box);
        if way == Way::Overdue {
            let left = wait(LIMIT, || job.status()["session"].is_null());
            assert!(left, "the session stays in the status: {:#}", job.status());
        }
        drop(cut);
        self.controller.shim.clock(0);
        let (end, attempts) = self.ends(&job, way);
        if way != Way::Overdue {
            self.bed.wait_until_nothing_is_left(LIMIT);
            // Each session that is closed leaves one tombstone: fewer than attempts means that an id was used twice.
            let sessions = i64::try_from(self.closed() - closed).unwrap();
            assert!(
                attempts.is_none_or(|attempts| sessions >= attempts),
                "{attempts:?} attempts, {sessions} sessions"
            );
        }
        Seen { seconds: begun.elapsed().as_secs_f64(), attempts: attempts.unwrap_or(0), end, hit }
    }

    fn name(&self) -> String {
        let number = Disruption::ALL.iter().position(|one| *one == self.disruption).unwrap();
        format!("{}-{number}-{}", self.step.name().replace('_', "-"), self.round)
    }

    fn trap(&self, name: &str, action: Action) {
        let (step, job) = (format!("\"step\":\"{}\"", self.step.name()), format!("\"job\":\"{name}\""));
        self.controller.shim.trap(action, &["\"planned\"", &step, &job]);
    }

    /// A job that is over, with its finalizer on, as a crash in its last step leaves it.
    fn over_with_its_finalizer(&self, name: &str, action: Action) -> Job<'_> {
        let job = Job::apply_object(self.bed, &scenario::job(name, Way::FinalizerLeft));
        job.wait_for_phase("Complete", LIMIT);
        self.trap(name, action);
        job.patch_metadata(r#"{"metadata":{"finalizers":["drawbridge.dev/session"]}}"#);
        job
    }

    /// Once the job closes its session, AWS is out of reach, and it is much later.
    fn make_overdue(&self, job: &Job<'_>) -> Table<'_> {
        let closing =
            wait(LIMIT, || job.status()["phase"] == "Running" || job.status()["phase"] == "Closing");
        assert!(closing, "{:#}", job.status());
        let cut = Table::without_the_api(self.bed);
        let failed = wait(LIMIT, || {
            job.reason_and_message("Progressing").is_some_and(|told| told.0 == "ClosingFailed")
        });
        assert!(failed, "AWS was asked all the same: {:#}", job.status());
        self.controller.shim.clock(HOURS);
        cut
    }

    /// The controller is dead, as the kubelet sees it. A container that dies often is made to wait, longer each time: then
    /// its pod gives way to a new one.
    fn controller_died(&self, before: &(String, u64, Option<String>)) -> String {
        let mut how = "started again by the kubelet";
        let died = wait(LIMIT, || match self.controller.pod() {
            Some((_, _, Some(reason))) if reason == "CrashLoopBackOff" => {
                how = "its pod replaced";
                true
            }
            Some((pod, restarts, _)) => pod == before.0 && restarts > before.1,
            None => false,
        });
        assert!(died, "the controller lives on: {:?}, before {before:?}", self.controller.pod());
        if how == "its pod replaced" {
            self.controller.replace(&before.0);
        }
        format!("killed where the step begins, {how}")
    }

    fn disrupt(&self, job: &Job<'_>, alive: &(String, u64, Option<String>)) -> String {
        let in_flight = match (self.disruption, self.step) {
            (Disruption::KillLambda, StepKind::AskForBox) => Some("RunInstances"),
            (Disruption::KillLambda, StepKind::AskToClose) => Some("TerminateInstances"),
            _ => None,
        };
        if let Some(operation) = in_flight {
            return self.kill_at_work(operation);
        }
        let hit = match self.disruption {
            Disruption::KillController => return self.controller_died(alive),
            Disruption::KillBox => kill_box(self.bed, job),
            Disruption::KillLambda => kill_functions(self.bed),
            Disruption::DeleteJob => {
                job.delete();
                "deleted where the step begins".to_owned()
            }
        };
        self.controller.shim.release();
        hit
    }

    /// Kills the function while EC2 holds its request, which then takes effect.
    fn kill_at_work(&self, operation: &str) -> String {
        let rule = json!({"service": "ec2", "operation": operation, "answer": "hold", "times": 1});
        let rule = Rule::of(self.bed, &rule);
        self.controller.shim.release();
        assert!(wait(LIMIT, || rule.struck() > 0), "{operation} was never asked");
        format!("{} in the middle of {operation}", kill_functions(self.bed))
    }

    /// Follows the job to its end; with the number of its attempts, where that can still be seen.
    fn ends(&self, job: &Job<'_>, way: Way) -> (&'static str, Option<i64>) {
        if way == Way::DeletedEarly {
            job.patch_metadata(r#"{"metadata":{"finalizers":null}}"#);
        }
        let deleted = self.disruption == Disruption::DeleteJob;
        if deleted || matches!(way, Way::DeletedEarly | Way::Fleeting) {
            job.wait_until_gone(LIMIT);
            return ("deleted", None);
        }
        job.wait_for_phase("Complete", LIMIT);
        let attempts = job.status()["attempt"].as_i64().unwrap();
        (if attempts == 1 { "Complete" } else { "Complete in a new attempt" }, Some(attempts))
    }

    /// How many sessions have ever been closed.
    fn closed(&self) -> usize {
        self.bed.keys_in(&self.bed.output("StateBucket"), "closed/").len()
    }
}
