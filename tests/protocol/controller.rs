//! The controller's steps: read the job, then one write over exactly what was read, or one question to AWS.

use crate::model::{Controller, Guard, Job, Phase, Protocol, State};

type Step<'a> = &'a mut dyn FnMut(&'static str, State);

impl Protocol {
    pub(crate) fn user(&self, state: &State, step: Step<'_>) {
        if !state.job.gone && !state.job.deleted {
            let job = Job { deleted: true, gone: !state.job.held, ..state.job };
            let mut next = state.clone();
            self.replace(&mut next, job);
            step("the user deletes the job", next);
        }
    }

    pub(crate) fn controller(&self, state: &State, number: usize, step: Step<'_>) {
        let me = state.controllers[number];
        let with = |change: &dyn Fn(&mut Controller)| {
            let mut next = state.clone();
            change(&mut next.controllers[number]);
            next
        };
        if state.crashes > 0 && me != Controller::default() {
            let mut next = with(&|me| *me = Controller::default());
            next.crashes -= 1;
            step("a controller dies", next);
        }
        if !state.job.gone && me.view != Some(state.job) {
            step("a controller reads the job", with(&|me| me.view = Some(state.job)));
        }
        for (index, session) in state.sessions.iter().enumerate().take(self.sessions) {
            let id = Some(u8::try_from(index).unwrap_or(0));
            if session.ready_sent && me.key == id && me.ready != id {
                step("a controller hears ready", with(&|me| me.ready = id));
            }
            if session.destroyed_sent && me.destroyed != id {
                step("a controller hears destroyed", with(&|me| me.destroyed = id));
            }
            // The transfer runs beside the loop: it needs the key and a machine that lives.
            let crosses = me.key == id && me.ready == id && session.machines > 0 && me.receipt != id;
            if crosses {
                let mut next = with(&|me| me.receipt = id);
                next.sessions[index].sealed = true;
                step("the box seals", next);
            }
        }
        if let Some(view) = me.view {
            self.act(state, number, view, step);
        }
    }

    fn act(&self, state: &State, number: usize, view: Job, step: Step<'_>) {
        let me = state.controllers[number];
        let terminal = matches!(view.phase, Phase::Complete | Phase::Failed);
        let Some(id) = view.session else {
            if terminal || view.deleted {
                if view.held {
                    self.write(
                        state,
                        number,
                        Job { held: false, gone: view.deleted, ..view },
                        "a controller drops the finalizer",
                        step,
                    );
                }
            } else if usize::from(view.attempt) < self.sessions {
                self.begin(state, number, view, step);
            } else {
                self.write(
                    state,
                    number,
                    Job { phase: Phase::Failed, ..view },
                    "a controller gives the job up",
                    step,
                );
            }
            return;
        };
        let session = usize::from(id);
        if view.phase == Phase::Closing {
            if me.destroyed == Some(id)
                || (!self.has(Guard::AskedUntilDestroyed) && state.sessions[session].tombstone)
            {
                let sealed = if self.has(Guard::ReceiptOfTheSession) {
                    view.receipt == Some(id)
                } else {
                    view.receipt.is_some()
                };
                let phase = if sealed {
                    Phase::Complete
                } else if view.deleted || usize::from(view.attempt) >= self.sessions {
                    Phase::Failed
                } else {
                    Phase::Pending
                };
                self.write(
                    state,
                    number,
                    Job { phase, session: None, ..view },
                    "a controller concludes",
                    step,
                );
            } else if !state.sessions[session].cleanup_sent {
                let mut next = state.clone();
                next.sessions[session].cleanup_sent = true;
                step("a controller asks cleanup", next);
            }
            return;
        }
        if me.receipt.is_some_and(|receipt| receipt == id || !self.has(Guard::ReceiptOfTheSession)) {
            self.write(
                state,
                number,
                Job { phase: Phase::Closing, receipt: me.receipt, ..view },
                "a controller keeps the receipt",
                step,
            );
            return;
        }
        // A failure of whatever kind, an order to end, or a key that is gone.
        self.write(
            state,
            number,
            Job { phase: Phase::Closing, ..view },
            "a controller stops the session",
            step,
        );
        if me.key == Some(id) && !view.deleted {
            if view.phase == Phase::Opening && me.ready == Some(id) {
                self.write(
                    state,
                    number,
                    Job { phase: Phase::Running, ..view },
                    "a controller crosses",
                    step,
                );
            } else if view.phase == Phase::Opening && !state.sessions[session].create_sent {
                self.ask(state, session, step);
            }
        }
    }

    fn begin(&self, state: &State, number: usize, view: Job, step: Step<'_>) {
        let id = view.attempt;
        if !view.held && self.has(Guard::Finalizer) {
            self.write(state, number, Job { held: true, ..view }, "a controller puts the finalizer on", step);
            return;
        }
        let job = Job { phase: Phase::Opening, session: Some(id), attempt: id + 1, ..view };
        let mut kept = state.clone();
        kept.controllers[number].key = Some(id);
        self.write(&kept, number, job, "a controller opens a session", step);
        if !self.has(Guard::SessionBeforeAws) {
            self.ask(&kept, usize::from(id), step);
        }
    }

    fn ask(&self, state: &State, session: usize, step: Step<'_>) {
        let mut next = state.clone();
        next.sessions[session].create_sent = true;
        next.sessions[session].asked = true;
        next.unwritten |= !next.sessions[session].written;
        step("a controller asks create", next);
    }

    /// A write over what was read; refused when it has changed since.
    fn write(&self, state: &State, number: usize, job: Job, name: &'static str, step: Step<'_>) {
        let mut next = state.clone();
        let read = next.controllers[number].view.take();
        if read != Some(state.job) && (self.has(Guard::ResourceVersion) || state.job.gone) {
            step("a write is refused", next);
            return;
        }
        // What the user did stays, whatever is written over it.
        let job =
            Job { deleted: state.job.deleted, gone: job.gone || (state.job.deleted && !job.held), ..job };
        self.replace(&mut next, job);
        next.controllers[number].view = Some(next.job);
        step(name, next);
    }

    fn replace(&self, state: &mut State, job: Job) {
        let before = state.job.session;
        if let Some(id) = before
            && (job.session != before || job.gone)
        {
            state.lost |= !state.sessions[usize::from(id)].said_destroyed;
        }
        if let Some(id) = job.session {
            state.sessions[usize::from(id)].written = true;
        }
        state.job = job;
    }
}
