//! The session protocol with everything left out that it does not rest on: one job, up to two attempts, two
//! controllers, the calls of both Lambdas one by one, one machine a session, one slot.
//!
//! Time is left out: a deadline may pass at any moment after the machine began, a Lambda's time limit at any moment
//! after it died. Bounded: how often a controller or a Lambda dies, how often an Invoke is delivered twice.

use crate::checker::Model;

/// Sessions, one an attempt.
pub(crate) const SESSIONS: usize = 2;
const CONTROLLERS: usize = 2;
/// Runs of `create` at the same time.
pub(crate) const CREATES: usize = 2;

/// What keeps the promises; a check can do without one. The condition on the slot's write keeps one between two jobs, of
/// which there is one here: the simulation shows what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    ResourceVersion,
    SessionBeforeAws,
    Finalizer,
    Tombstone,
    LookAfterClaim,
    LookAfterLoad,
    ConditionalSave,
    ClientToken,
    InFlight,
    AskedUntilDestroyed,
    ReceiptOfTheSession,
    SweeperAndTimers,
}

impl Guard {
    pub(crate) const ALL: [Self; 12] = [
        Self::ResourceVersion,
        Self::SessionBeforeAws,
        Self::Finalizer,
        Self::Tombstone,
        Self::LookAfterClaim,
        Self::LookAfterLoad,
        Self::ConditionalSave,
        Self::ClientToken,
        Self::InFlight,
        Self::AskedUntilDestroyed,
        Self::ReceiptOfTheSession,
        Self::SweeperAndTimers,
    ];
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    #[default]
    Pending,
    Opening,
    Running,
    Closing,
    Complete,
    Failed,
}

/// The job as the API server holds it. Equal means: the same resource version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Job {
    pub(crate) phase: Phase,
    pub(crate) session: Option<u8>,
    pub(crate) receipt: Option<u8>,
    pub(crate) attempt: u8,
    pub(crate) held: bool,
    pub(crate) deleted: bool,
    pub(crate) gone: bool,
}

/// What a controller process alone knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Controller {
    pub(crate) view: Option<Job>,
    pub(crate) key: Option<u8>,
    pub(crate) ready: Option<u8>,
    pub(crate) receipt: Option<u8>,
    pub(crate) destroyed: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Saved {
    #[default]
    Nothing,
    Claimed,
    Launching,
    Launched,
    Closing,
}

/// One session in AWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) tombstone: bool,
    pub(crate) saved: Saved,
    pub(crate) in_flight: bool,
    /// Machines that live, and whether there ever was one.
    pub(crate) machines: u8,
    pub(crate) launched: bool,
    pub(crate) sealed: bool,
    pub(crate) expired: bool,
    /// A RunInstances whose caller died: it may still take effect.
    pub(crate) late_run: bool,
    pub(crate) said_destroyed: bool,
    /// Was in the job's status; was asked for.
    pub(crate) written: bool,
    pub(crate) asked: bool,
    /// Invokes under way, and answers.
    pub(crate) create_sent: bool,
    pub(crate) cleanup_sent: bool,
    pub(crate) ready_sent: bool,
    pub(crate) destroyed_sent: bool,
}

/// One run of `create`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Create {
    pub(crate) session: u8,
    pub(crate) at: CreateAt,
    /// The saved state is still the version that this run has: its next save would be taken.
    pub(crate) current: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum CreateAt {
    LookForTombstone,
    Load,
    TakeSlot,
    SaveClaimed,
    LookAgain,
    SaveLaunching,
    Run,
    SaveLaunched,
    EndWhatItMade,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CleanupAt {
    PutTombstone,
    MarkClosing,
    Terminate,
    Look,
    FreeSlot,
    Forget,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) job: Job,
    pub(crate) controllers: [Controller; CONTROLLERS],
    pub(crate) sessions: [Session; SESSIONS],
    /// Whose the one slot is; without the condition on its write it may be everybody's.
    pub(crate) slot: [bool; SESSIONS],
    pub(crate) creates: [Option<Create>; CREATES],
    pub(crate) cleanup: Option<(u8, CleanupAt)>,
    pub(crate) crashes: u8,
    pub(crate) deaths: u8,
    pub(crate) duplicates: u8,
    /// Left the status although nobody had said destroyed; asked for and in no status.
    pub(crate) lost: bool,
    pub(crate) unwritten: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) off: Option<Guard>,
    pub(crate) controllers: usize,
    pub(crate) sessions: usize,
    pub(crate) crashes: u8,
    pub(crate) deaths: u8,
    pub(crate) duplicates: u8,
}

impl Protocol {
    pub(crate) fn has(&self, guard: Guard) -> bool {
        self.off != Some(guard)
    }
}

impl Model for Protocol {
    type State = State;

    fn first(&self) -> State {
        State { crashes: self.crashes, deaths: self.deaths, duplicates: self.duplicates, ..State::default() }
    }

    fn next(&self, state: &State, step: &mut dyn FnMut(&'static str, State)) {
        // Two controllers are alike, and so are two runs of create: their order does not matter.
        let step: &mut dyn FnMut(&'static str, State) = &mut |name, mut next| {
            next.controllers[..self.controllers].sort_unstable();
            next.creates.sort_unstable();
            step(name, next);
        };
        self.user(state, step);
        for number in 0..self.controllers {
            self.controller(state, number, step);
        }
        self.network(state, step);
        for number in 0..CREATES {
            self.create(state, number, step);
        }
        self.cleanup(state, step);
        self.machines(state, step);
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let alive: u8 = state.sessions.iter().map(|session| session.machines).sum();
        let promises = [
            ("a session has one machine", state.sessions.iter().all(|session| session.machines <= 1)),
            ("no more machines than slots", alive <= 1),
            (
                "nothing comes after destroyed",
                state.sessions.iter().all(|session| !session.said_destroyed || session.machines == 0),
            ),
            ("a session leaves the status destroyed", !state.lost),
            ("AWS hears of written sessions only", !state.unwritten),
            (
                "complete with a receipt that the box of the last attempt issued",
                state.job.phase != Phase::Complete
                    || state.job.receipt.is_some_and(|receipt| {
                        state.sessions[usize::from(receipt)].sealed && receipt + 1 == state.job.attempt
                    }),
            ),
        ];
        promises.iter().find(|(_, holds)| !holds).map(|(promise, _)| *promise)
    }

    fn is_over(&self, state: &State) -> bool {
        let over =
            state.job.gone || (matches!(state.job.phase, Phase::Complete | Phase::Failed) && !state.job.held);
        let nothing_left = |session: &Session| session.machines == 0 && session.saved == Saved::Nothing;
        over && state.sessions.iter().all(nothing_left) && state.slot.iter().all(|taken| !taken)
    }
}
