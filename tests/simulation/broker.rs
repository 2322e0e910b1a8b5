//! A controller's way to the Lambdas: invocations that fail, get lost, come late or twice.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use drawbridge::broker::{Broker, BrokerError, Function};
use drawbridge_lambdas::{cleanup::Answer, events::CleanupEvent};
use drawbridge_protocol::{
    CleanupRequest, CreateRequest, Posture, PostureRequest,
    session::{CleanupOutcome, CreateOutcome},
};

use crate::{aws, faults::Fault, guards::Guard, process::Process, world::World};

/// The AWS client's own patience.
const PATIENCE: Duration = Duration::from_secs(65);
/// How late an invocation may arrive of which the caller knows nothing any more.
const LATE: (u64, u64) = (5, 400);
const POSSIBLE: &[Fault] = &[
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::LostAnswer,
    Fault::LateEffect,
    Fault::Delay,
    Fault::Duplicate,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

pub(crate) struct Invoker {
    pub(crate) world: Arc<World>,
    pub(crate) process: Arc<Process>,
}

#[async_trait]
impl Broker for Invoker {
    async fn create(
        &self,
        function: &Function,
        request: &CreateRequest,
    ) -> Result<CreateOutcome, BrokerError> {
        let request = request.clone();
        let invoke = move |world: Arc<World>| {
            let request = request.clone();
            async move {
                world.ledger.asked(&request);
                aws::create(&world, &request).await
            }
        };
        self.invoke("invoke create", function, invoke).await
    }

    async fn cleanup(
        &self,
        function: &Function,
        request: &CleanupRequest,
    ) -> Result<CleanupOutcome, BrokerError> {
        let asked = request.clone();
        let invoke = move |world: Arc<World>| {
            let event = CleanupEvent::Request(Box::new(asked.clone()));
            async move {
                let answer = aws::cleanup(&world, event).await;
                answer.map(|answer| match answer {
                    Answer::Request(answer) => answer.outcome,
                    Answer::Event(_) => CleanupOutcome::Refused { message: "not a request".to_owned() },
                })
            }
        };
        let outcome = self.invoke("invoke cleanup", function, invoke).await?;
        let session = request.session.as_str();
        self.world.note(&format!("  cleanup {}: {}", &session[..6], said(&outcome)));
        match outcome {
            CleanupOutcome::Destroying { .. } if self.world.without(Guard::AskedUntilDestroyed) => {
                Ok(CleanupOutcome::Destroyed)
            }
            outcome => {
                if outcome == CleanupOutcome::Destroyed {
                    self.world.ledger.told_destroyed(session);
                }
                Ok(outcome)
            }
        }
    }

    async fn posture(&self, function: &Function, _: &PostureRequest) -> Result<Posture, BrokerError> {
        // The stacks of the simulation have no such function, and its vaults name none.
        Err(BrokerError::Missing { function: function.clone(), message: "there is none".to_owned() })
    }
}

fn said(outcome: &CleanupOutcome) -> String {
    match outcome {
        CleanupOutcome::Destroyed => "destroyed".to_owned(),
        CleanupOutcome::Destroying { remaining, .. } => format!("still there: {}", remaining.join(", ")),
        CleanupOutcome::Refused { message } => format!("refused: {message}"),
    }
}

impl Invoker {
    async fn invoke<T, F>(
        &self,
        name: &'static str,
        function: &Function,
        invoke: impl Fn(Arc<World>) -> F + Send + 'static,
    ) -> Result<T, BrokerError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, String>> + Send + 'static,
    {
        let (world, process) = (&self.world, &self.process);
        let unreachable =
            || BrokerError::Unreachable { function: function.clone(), message: "timeout".into() };
        process.lives().await;
        world.time.sleep(world.dice.millis(5, 50)).await;
        process.lives().await;
        if world.aws.inner().away {
            world.time.sleep(Duration::from_secs(3)).await;
            process.lives().await;
            return Err(unreachable());
        }
        // The far side goes on whatever becomes of the caller.
        let begin = || tokio::spawn(invoke(Arc::clone(world)));
        let fault = world.fault(name, POSSIBLE);
        match fault {
            Some(Fault::ErrorBefore) => return Err(self.error(function)),
            Some(Fault::CrashBefore) => process.dies(world).await,
            Some(Fault::LateEffect) => {
                let (late, world) = (world.dice.seconds(LATE.0, LATE.1), Arc::clone(world));
                tokio::spawn(async move {
                    world.time.sleep(late).await;
                    world.note(&format!("  late: {name}"));
                    let _ = invoke(Arc::clone(&world)).await;
                });
                self.world.time.sleep(PATIENCE).await;
                process.lives().await;
                return Err(unreachable());
            }
            Some(Fault::LostAnswer) => {
                drop(begin());
                world.time.sleep(PATIENCE).await;
                process.lives().await;
                return Err(unreachable());
            }
            Some(Fault::CrashAfter) => {
                drop(begin());
                world.time.sleep(world.dice.millis(0, 5_000)).await;
                process.dies(world).await;
            }
            Some(Fault::Duplicate) => drop(begin()),
            Some(Fault::Delay) => world.time.sleep(world.dice.seconds(1, 40)).await,
            _ => {}
        }
        let answer = begin().await.unwrap_or_else(|_| Err("the invocation broke".to_owned()));
        process.lives().await;
        if fault == Some(Fault::ErrorAfter) {
            return Err(self.error(function));
        }
        answer.map_err(|message| BrokerError::Function { function: function.clone(), message })
    }

    fn error(&self, function: &Function) -> BrokerError {
        let (function, message) = (function.clone(), "simulated".to_owned());
        match self.world.dice.next() % 8 {
            0 => BrokerError::Denied { function, message },
            1 | 2 => BrokerError::Throttled { function, message },
            3 | 4 => BrokerError::Unreachable { function, message },
            _ => BrokerError::Service { function, message },
        }
    }
}
