//! The Lambdas' steps, one call of AWS each, and what machines and the network do by themselves.

use crate::model::{CREATES, CleanupAt, Create, CreateAt, Guard, Protocol, Saved, State};

type Step<'a> = &'a mut dyn FnMut(&'static str, State);

impl Protocol {
    /// Invokes arrive, some of them twice; answers arrive or get lost.
    pub(crate) fn network(&self, state: &State, step: Step<'_>) {
        for session in 0..self.sessions {
            let id = u8::try_from(session).unwrap_or(0);
            let now = state.sessions[session];
            let free = (0..CREATES).find(|number| state.creates[*number].is_none());
            if let (true, Some(number)) = (now.create_sent, free) {
                let mut next = state.clone();
                let at = CreateAt::LookForTombstone;
                next.creates[number] = Some(Create { session: id, at, current: false });
                if next.duplicates > 0 {
                    let mut again = next.clone();
                    again.duplicates -= 1;
                    step("create is invoked, and will be again", again);
                }
                next.sessions[session].create_sent = false;
                step("create is invoked", next);
            }
            let swept = self.has(Guard::SweeperAndTimers)
                && (now.expired || now.tombstone)
                && (now.machines > 0 || now.saved != Saved::Nothing || state.slot[session]);
            if state.cleanup.is_none() && (now.cleanup_sent || swept) {
                let mut next = state.clone();
                next.sessions[session].cleanup_sent = false;
                next.cleanup = Some((id, CleanupAt::PutTombstone));
                step("cleanup is invoked", next);
            }
        }
    }

    pub(crate) fn create(&self, state: &State, number: usize, step: Step<'_>) {
        let Some(me) = state.creates[number] else { return };
        let session = usize::from(me.session);
        if state.deaths > 0 {
            let mut next = state.clone();
            next.creates[number] = None;
            next.deaths -= 1;
            next.sessions[session].late_run |= me.at == CreateAt::Run;
            step("create dies", next);
        }
        let mut next = state.clone();
        let then = self.create_goes_on(&mut next, number, me);
        let current = next.creates[number].is_some_and(|me| me.current);
        next.creates[number] = then.map(|at| Create { at, current, ..me });
        step(name(me.at), next);
    }

    fn create_goes_on(&self, next: &mut State, number: usize, me: Create) -> Option<CreateAt> {
        let session = usize::from(me.session);
        let held = me.current || !self.has(Guard::ConditionalSave);
        let now = &mut next.sessions[session];
        match me.at {
            CreateAt::LookForTombstone => (!now.tombstone).then_some(CreateAt::Load),
            CreateAt::Load => {
                let then = match now.saved {
                    Saved::Nothing => Some(CreateAt::TakeSlot),
                    Saved::Claimed | Saved::Launching if self.has(Guard::LookAfterLoad) => {
                        Some(CreateAt::LookAgain)
                    }
                    Saved::Claimed | Saved::Launching => Some(CreateAt::SaveLaunching),
                    Saved::Launched => {
                        now.ready_sent |= now.machines > 0;
                        None
                    }
                    Saved::Closing => None,
                };
                let current = now.saved != Saved::Nothing;
                next.creates[number] = Some(Create { current, ..me });
                then
            }
            CreateAt::TakeSlot => {
                let free = next.slot.iter().enumerate().all(|(other, taken)| other == session || !taken);
                next.slot[session] |= free;
                next.slot[session].then_some(CreateAt::SaveClaimed)
            }
            CreateAt::SaveClaimed => {
                match now.saved {
                    Saved::Nothing => save(next, number, session, Saved::Claimed),
                    Saved::Closing => return None,
                    // Another run saved it first: this one goes on from there.
                    _ => next.creates[number] = Some(Create { current: true, ..me }),
                }
                let looks = self.has(Guard::LookAfterClaim);
                Some(if looks { CreateAt::LookAgain } else { CreateAt::SaveLaunching })
            }
            CreateAt::LookAgain => (!now.tombstone).then_some(CreateAt::SaveLaunching),
            CreateAt::SaveLaunching => {
                if !held {
                    return None;
                }
                now.in_flight = self.has(Guard::InFlight);
                save(next, number, session, Saved::Launching);
                Some(CreateAt::Run)
            }
            CreateAt::Run => {
                self.launch(next, session);
                Some(CreateAt::SaveLaunched)
            }
            CreateAt::SaveLaunched => {
                if !held {
                    return now.tombstone.then_some(CreateAt::EndWhatItMade);
                }
                now.in_flight = false;
                now.ready_sent |= now.machines > 0;
                save(next, number, session, Saved::Launched);
                None
            }
            CreateAt::EndWhatItMade => {
                now.machines = 0;
                None
            }
        }
    }

    fn launch(&self, state: &mut State, session: usize) {
        let now = &mut state.sessions[session];
        // Under the same token: the same machine, also when it has ended.
        if !now.launched || !self.has(Guard::ClientToken) {
            now.machines += 1;
            now.launched = true;
        }
    }

    pub(crate) fn cleanup(&self, state: &State, step: Step<'_>) {
        let Some((id, at)) = state.cleanup else { return };
        let session = usize::from(id);
        if state.deaths > 0 {
            let mut next = state.clone();
            next.cleanup = None;
            next.deaths -= 1;
            step("cleanup dies", next);
        }
        let mut next = state.clone();
        let now = &mut next.sessions[session];
        let then = match at {
            CleanupAt::PutTombstone => {
                now.tombstone = self.has(Guard::Tombstone);
                Some(CleanupAt::MarkClosing)
            }
            CleanupAt::MarkClosing => {
                if now.saved != Saved::Nothing {
                    save(&mut next, CREATES, session, Saved::Closing);
                }
                Some(CleanupAt::Terminate)
            }
            CleanupAt::Terminate => {
                now.machines = 0;
                Some(CleanupAt::Look)
            }
            // Something is left: whoever asked must ask again.
            CleanupAt::Look => (now.machines == 0 && !now.in_flight).then_some(CleanupAt::FreeSlot),
            CleanupAt::FreeSlot => {
                next.slot[session] = false;
                Some(CleanupAt::Forget)
            }
            CleanupAt::Forget => {
                now.in_flight = false;
                now.said_destroyed = true;
                now.destroyed_sent = true;
                save(&mut next, CREATES, session, Saved::Nothing);
                None
            }
        };
        next.cleanup = then.map(|at| (id, at));
        step("cleanup goes on", next);
    }

    /// What time does: machines end, limits pass, a lost RunInstances takes effect.
    pub(crate) fn machines(&self, state: &State, step: Step<'_>) {
        for session in 0..self.sessions {
            let now = state.sessions[session];
            let mut next = state.clone();
            if now.late_run {
                next.sessions[session].late_run = false;
                self.launch(&mut next, session);
                step("a lost RunInstances takes effect", next.clone());
                next = state.clone();
                next.sessions[session].late_run = false;
                step("a lost RunInstances was never sent", next);
                continue;
            }
            let id = u8::try_from(session).unwrap_or(0);
            let at_work = state.creates.iter().flatten().any(|create| create.session == id);
            if now.in_flight && !at_work {
                next.sessions[session].in_flight = false;
                step("the time limit of a create passes", next.clone());
                next = state.clone();
            }
            if (now.launched || state.slot[session]) && !now.expired {
                next.sessions[session].expired = true;
                step("a deadline passes", next.clone());
                next = state.clone();
            }
            if now.expired && now.machines > 0 && self.has(Guard::SweeperAndTimers) {
                next.sessions[session].machines = 0;
                step("a box ends itself", next);
            }
        }
    }
}

/// Saves a phase; whoever else has read the one before has an old version now.
fn save(state: &mut State, number: usize, session: usize, saved: Saved) {
    state.sessions[session].saved = saved;
    for (other, create) in state.creates.iter_mut().enumerate() {
        if let Some(create) = create.as_mut().filter(|create| usize::from(create.session) == session) {
            create.current = other == number;
        }
    }
}

fn name(at: CreateAt) -> &'static str {
    match at {
        CreateAt::LookForTombstone => "create looks for a tombstone",
        CreateAt::Load => "create loads the state",
        CreateAt::TakeSlot => "create takes the slot",
        CreateAt::SaveClaimed => "create saves that it has the slot",
        CreateAt::LookAgain => "create looks for a tombstone again",
        CreateAt::SaveLaunching => "create saves what it is about to launch",
        CreateAt::Run => "create runs the machine",
        CreateAt::SaveLaunched => "create saves the machine",
        CreateAt::EndWhatItMade => "create ends what it made",
    }
}
