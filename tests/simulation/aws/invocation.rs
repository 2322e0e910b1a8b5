//! One run of a Lambda: every call that it makes of AWS goes through here, and may go wrong here.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use drawbridge_lambdas::{
    machines::{Ec2Error, Ec2ErrorKind},
    store::StoreError,
};

use crate::{
    faults::{CHANGE_LATE, Fault},
    world::World,
};

/// S3 and EC2's own state are read as they are; what EC2 does not show yet is another matter.
const READ: &[Fault] =
    &[Fault::ErrorBefore, Fault::LostAnswer, Fault::Delay, Fault::CrashBefore, Fault::CrashAfter];
/// In a thousand: calls inside of a Lambda that can have a fault at all. An invocation makes dozens.
const EXPOSED: u64 = 250;

/// Why a call has no answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failed {
    Error,
    NoAnswer,
}

impl From<Failed> for Ec2Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Error => ec2_error("InternalError", Ec2ErrorKind::Other),
            Failed::NoAnswer => ec2_error("no answer", Ec2ErrorKind::NoAnswer),
        }
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        StoreError::S3 { action: "call", object: "object".to_owned(), why: format!("{failed:?}") }
    }
}

pub(crate) fn ec2_error(code: &str, kind: Ec2ErrorKind) -> Ec2Error {
    Ec2Error { action: "call", kind, code: code.to_owned(), message: "simulated".to_owned() }
}

/// One run of a Lambda.
pub(crate) struct Invocation {
    pub(crate) world: Arc<World>,
    /// Its own time limit. Nothing that it began takes effect later.
    pub(crate) until: Duration,
    dead: AtomicBool,
}

impl Invocation {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        let until = world.time.elapsed() + Duration::from_secs(world.scenario.lambda_seconds);
        Arc::new(Self { world: Arc::clone(world), until, dead: AtomicBool::new(false) })
    }

    pub(crate) async fn read<T>(
        &self,
        name: &'static str,
        look: impl Fn(&Arc<World>) -> T + Send,
    ) -> Result<T, Failed> {
        let fault = self.begin(name, READ).await?;
        let answer = look(&self.world);
        self.end(fault).await?;
        Ok(answer)
    }

    pub(crate) async fn change<T: Send>(
        &self,
        name: &'static str,
        effect: impl Fn(&Arc<World>) -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let world = &self.world;
        let fault = self.begin(name, CHANGE_LATE).await?;
        if fault == Some(Fault::LateEffect) {
            let left = self.until.saturating_sub(world.time.elapsed()).as_millis();
            let late = world.dice.millis(0, u64::try_from(left).unwrap().saturating_sub(1));
            let world = Arc::clone(world);
            tokio::spawn(async move {
                world.time.sleep(late).await;
                world.note(&format!("  late: {name}"));
                effect(&world);
            });
            self.world.time.sleep(Duration::from_secs(3)).await;
            return Err(Failed::NoAnswer);
        }
        let answer = effect(world);
        self.end(fault).await?;
        Ok(answer)
    }

    async fn begin(&self, name: &'static str, possible: &[Fault]) -> Result<Option<Fault>, Failed> {
        let world = &self.world;
        world.time.sleep(world.dice.millis(2, 60)).await;
        self.lives().await;
        let fault = if world.dice.per_mille(EXPOSED) { world.fault(name, possible) } else { None };
        match fault {
            Some(Fault::ErrorBefore) => return Err(Failed::Error),
            Some(Fault::CrashBefore) => self.dies().await,
            Some(Fault::Delay) => world.time.sleep(world.dice.seconds(1, 30)).await,
            _ => {}
        }
        self.lives().await;
        Ok(fault)
    }

    async fn end(&self, fault: Option<Fault>) -> Result<(), Failed> {
        match fault {
            Some(Fault::ErrorAfter) => Err(Failed::Error),
            Some(Fault::CrashAfter) => {
                self.dies().await;
                Ok(())
            }
            Some(Fault::LostAnswer) => {
                self.world.time.sleep(Duration::from_secs(10)).await;
                Err(Failed::NoAnswer)
            }
            _ => Ok(()),
        }
    }

    async fn lives(&self) {
        if self.dead.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }

    async fn dies(&self) {
        self.dead.store(true, Ordering::Relaxed);
        pending::<()>().await;
    }
}
