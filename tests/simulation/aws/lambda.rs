//! Both Lambdas, as they are, over the models; and what invokes `cleanup` besides the cluster.

use std::{sync::Arc, time::Duration};

use drawbridge_lambdas::{
    certify::Signer,
    cleanup::{Answer, Cleaner},
    config::{CreateConfig, Stack},
    create::{Creator, Program},
    destroy::Destroyer,
    events::CleanupEvent,
    state::Moment,
    store::Store,
};
use drawbridge_protocol::{
    CreateRequest, Sha256,
    session::{CleanupOutcome, CreateOutcome},
};
use futures::future::{Either, select};
use jiff::SignedDuration;

use super::{
    ec2::Ec2,
    invocation::Invocation,
    kms::Kms,
    s3::{BackupBucket, StateBucket},
};
use crate::{guards::Guard, world::World};

/// The schedule's default.
const SWEEP_EVERY: Duration = Duration::from_mins(5);
/// What Lambda waits before it tries an event again, twice: <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>.
const RETRIES: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];

fn stack(world: &World) -> Stack {
    Stack {
        cluster: "demo".parse().unwrap(),
        name: "drawbridge-demo".to_owned(),
        backup_bucket: "demo-backup".to_owned(),
        state_bucket: "demo-state".to_owned(),
        grace: seconds(world.scenario.grace),
    }
}

fn seconds(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap())
}

fn config(world: &World) -> CreateConfig {
    CreateConfig {
        stack: stack(world),
        region: "us-east-1".to_owned(),
        s3_endpoint: None,
        lock_days: None,
        extra_ca: None,
        vpc: "vpc-1".to_owned(),
        public_subnet: "subnet-public".to_owned(),
        private_subnet: "subnet-private".to_owned(),
        private_group: "sg-private".to_owned(),
        instance_profile: "profile".to_owned(),
        image: "ami-1".to_owned(),
        instance_types: vec!["t3.small".to_owned(), "t3a.small".to_owned()],
        clients: vec!["203.0.113.10/32".parse().unwrap()],
        max_boxes: world.scenario.slots,
        max_sessions_per_day: 100_000,
        session: seconds(world.scenario.session),
        max_session_bytes: 1 << 30,
        checks: drawbridge_protocol::checks::ChecksConfig::default(),
        receipt_key: None,
        rules: Vec::new(),
    }
}

fn destroyer(invocation: &Arc<Invocation>) -> Destroyer {
    Destroyer {
        cluster: "demo".parse().unwrap(),
        store: Store::new(Arc::new(StateBucket(Arc::clone(invocation)))),
        machines: Arc::new(Ec2(Arc::clone(invocation))),
        uploads: Arc::new(BackupBucket(Arc::clone(invocation))),
    }
}

fn moment(world: &World) -> Moment {
    let now = world.time.now();
    Moment { now, until: now + seconds(world.scenario.lambda_seconds) }
}

/// Runs until it answers or Lambda's time limit ends it.
async fn limited<T, E: std::fmt::Display>(
    invocation: &Invocation,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    let limit = invocation.world.time.sleep_until(invocation.until);
    match select(std::pin::pin!(work), limit).await {
        Either::Left((answer, _)) => answer.map_err(|error| error.to_string()),
        Either::Right(_) => Err("Task timed out".to_owned()),
    }
}

/// One invocation of `create`.
pub(crate) async fn create(world: &Arc<World>, request: &CreateRequest) -> Result<CreateOutcome, String> {
    let invocation = Invocation::new(world);
    let program = Program { bytes: b"program".to_vec(), digest: Sha256::of(b"program") };
    let signer = Some(Arc::new(Kms(Arc::clone(&invocation))) as Arc<dyn Signer>);
    let creator = Creator { config: config(world), program, destroyer: destroyer(&invocation), signer };
    let answer = limited(&invocation, creator.answer(request, moment(world))).await;
    let what = match &answer {
        Ok(CreateOutcome::Pending { waiting_for, .. }) => format!("pending, {waiting_for:?}"),
        Ok(CreateOutcome::Ready(_)) => "ready".to_owned(),
        Ok(CreateOutcome::Refused { reason, .. }) => format!("refused, {reason:?}"),
        Err(error) => error.clone(),
    };
    world.note(&format!("  create {}: {what}", &request.session.as_str()[..6]));
    answer
}

/// One invocation of `cleanup`.
pub(crate) async fn cleanup(world: &Arc<World>, event: CleanupEvent) -> Result<Answer, String> {
    let invocation = Invocation::new(world);
    let clock = world.time.clone();
    let cleaner = Cleaner {
        stack: stack(world),
        destroyer: destroyer(&invocation),
        // Longer than an invocation: one pass, the next event or the schedule goes on. That is less than the real
        // function does, which passes again while its time lasts.
        pause: Duration::from_hours(1),
        clock: Arc::new(move || clock.now()),
    };
    let answer = limited(&invocation, cleaner.handle(event, moment(world))).await;
    match &answer {
        Ok(Answer::Request(answer)) if answer.outcome == CleanupOutcome::Destroyed => {
            world.ledger.said_destroyed(answer.session.as_str());
        }
        Ok(Answer::Event(swept)) => {
            swept.destroyed.iter().for_each(|session| world.ledger.said_destroyed(session.as_str()));
        }
        Ok(Answer::Request(_)) | Err(_) => {}
    }
    answer
}

/// An event that AWS delivers: late, sometimes twice, sometimes never, and again when the function fails.
pub(super) fn event(world: &Arc<World>, event: CleanupEvent) {
    let calm = world.faults.are_over(&world.time);
    let times = match world.dice.next() % 100 {
        0..3 if !calm => 0,
        3..6 if !calm => 2,
        _ => 1,
    };
    for _ in 0..times {
        let (world, event) = (Arc::clone(world), event.clone());
        tokio::spawn(async move {
            world.time.sleep(world.dice.millis(100, 5_000)).await;
            for retry in RETRIES {
                if cleanup(&world, event.clone()).await.is_ok() {
                    return;
                }
                world.time.sleep(retry).await;
            }
            let _ = cleanup(&world, event).await;
        });
    }
}

/// The schedule.
pub(crate) fn sweeper(world: &Arc<World>) {
    if world.without(Guard::Sweeper) {
        return;
    }
    let world = Arc::clone(world);
    tokio::spawn(async move {
        world.time.sleep(world.dice.seconds(0, SWEEP_EVERY.as_secs())).await;
        loop {
            event(&world, CleanupEvent::Sweep);
            world.time.sleep(SWEEP_EVERY).await;
        }
    });
}
