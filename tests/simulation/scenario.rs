//! What one run is about: the vault, the stack, the jobs, what people and processes do.

use std::time::Duration;

use crate::dice::Dice;

/// One job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) namespace: &'static str,
    pub(crate) at: Duration,
    pub(crate) deadline: u64,
    pub(crate) backoff_limit: u64,
    pub(crate) ttl: Option<u64>,
}

/// What somebody does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    DeleteJob(usize),
    CancelJob(usize),
    /// The same name again, another job.
    RecreateJob(usize),
    EditVault,
    DeleteVault,
    /// All pods go; they come back later.
    PodsGo,
    /// A machine that the namespace's owner did not ask for.
    KillController,
    /// A second controller begins while the first still acts; the first dies later.
    LeaseLapses,
    /// The functions answer nobody for a while.
    AwsGoesAway,
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) jobs: Vec<Job>,
    pub(crate) deeds: Vec<(Duration, Deed)>,
    /// After it nothing goes wrong and nobody interferes.
    pub(crate) faults_until: Duration,
    /// The lifetime of a session, and grace, as the stack has them.
    pub(crate) session: u64,
    pub(crate) grace: u64,
    pub(crate) slots: u32,
    /// As the vault has them.
    pub(crate) vault_session: u64,
    pub(crate) vault_grace: u64,
    pub(crate) vault_concurrency: u64,
    /// The time that Lambda gives an invocation.
    pub(crate) lambda_seconds: u64,
    /// In a thousand: machines whose root has disabled their own ends.
    pub(crate) hostile: u64,
}

const NAMESPACES: [&str; 2] = ["alpha", "beta"];

impl Scenario {
    pub(crate) fn of_run(dice: &Dice) -> Self {
        let faults_until = dice.pick(&[
            Duration::from_mins(3),
            Duration::from_mins(10),
            Duration::from_mins(30),
            Duration::from_mins(75),
        ]);
        let window = faults_until.as_secs();
        let jobs: Vec<Job> = (0..dice.between(1, 3))
            .map(|number| Job {
                name: format!("job-{number}"),
                namespace: dice.pick(&NAMESPACES),
                at: dice.seconds(0, window / 4),
                deadline: dice.pick(&[60, 300, 1_200, 3_600]),
                backoff_limit: dice.between(0, 3),
                ttl: dice.per_mille(300).then(|| dice.between(0, 120)),
            })
            .collect();
        let deeds =
            (0..dice.between(0, 4)).map(|_| (dice.seconds(1, window), Deed::any(dice, jobs.len()))).collect();
        let session = dice.pick(&[120, 300, 900]);
        Self {
            jobs,
            deeds,
            faults_until,
            session,
            grace: dice.pick(&[0, 60, 300]),
            slots: u32::try_from(dice.between(1, 3)).unwrap(),
            vault_session: dice.pick(&[session, 300, 900]),
            vault_grace: dice.pick(&[0, 60, 300]),
            vault_concurrency: dice.between(1, 3),
            lambda_seconds: 60,
            hostile: dice.pick(&[0, 0, 300]),
        }
    }

    /// Things go wrong for this long.
    pub(crate) fn lasts(&mut self, window: Duration) {
        self.faults_until = window;
    }

    /// The longest that a session may stand in a status: its life and grace as either side has them, however a vault is
    /// edited, and what the slowest controller takes to notice.
    pub(crate) fn longest_session(&self) -> Duration {
        let life = self.session.max(self.vault_session).max(600) + self.grace.max(self.vault_grace).max(300);
        Duration::from_secs(life) + Duration::from_mins(20)
    }

    /// When everything must have ended: the longest job, its last session's whole life, and the sweeps after that.
    pub(crate) fn end(&self) -> Duration {
        let longest = self.jobs.iter().map(|job| job.deadline).max().unwrap_or_default();
        let session = self.session.max(self.vault_session) + self.grace.max(self.vault_grace);
        self.faults_until + Duration::from_secs(longest + session) + Duration::from_mins(30)
    }
}

impl Deed {
    fn any(dice: &Dice, jobs: usize) -> Self {
        let job = usize::try_from(dice.next() % jobs as u64).unwrap();
        match dice.next() % 11 {
            0 => Self::DeleteJob(job),
            1 => Self::CancelJob(job),
            2 => Self::RecreateJob(job),
            3 => Self::EditVault,
            4 => Self::DeleteVault,
            5 => Self::PodsGo,
            6 | 7 => Self::KillController,
            8 | 9 => Self::LeaseLapses,
            _ => Self::AwsGoesAway,
        }
    }
}
