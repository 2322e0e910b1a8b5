//! What of a run is kept for the next one of its series, and who may say so.

use drawbridge_protocol::{
    Baseline, CleanupRequest, CreateRequest, Envelope, JobRef, Orders, ReadyReport, Receipt, SessionSigner,
    Sha256, SourceMeasures, Version, measures::Sources, orders::RulesFile,
};
use jiff::{SignedDuration, Timestamp};

use super::{Stack, is_ready, request, session};
use crate::{
    cleanup::{Answer, Cleaner},
    events::CleanupEvent,
    names::key,
    state::Moment,
};

const SERIES: &str = "nightly-of-shop";

/// Changes one thing of a receipt.
type Spoil<'a> = &'a dyn Fn(&Stack, &mut Receipt);

fn in_series(number: u8) -> CreateRequest {
    CreateRequest { series: Some(SERIES.to_owned().try_into().unwrap()), ..request(number) }
}

fn sources(bytes: u64) -> Sources {
    Sources::from([("etc".to_owned(), SourceMeasures { bytes, ..SourceMeasures::default() })])
}

impl Stack {
    /// The session's box runs; its key is ours.
    async fn boxed(&self, request: &CreateRequest, number: u8) -> SessionSigner {
        assert!(is_ready(&self.ask_until_settled(request, number).await));
        let signer = SessionSigner::generate().unwrap();
        let ready = key::ready(&session(number));
        let mut report: ReadyReport = serde_json::from_slice(&self.world.inner().objects[&ready].0).unwrap();
        report.session_key = signer.public().unwrap();
        self.put(&ready, &serde_json::to_vec(&report).unwrap());
        signer
    }

    fn receipt(&self, request: &CreateRequest, bytes: u64) -> Receipt {
        let prefix = drawbridge_protocol::ObjectPrefix::of_session(
            &self.config.stack.cluster,
            &request.job,
            &request.session,
        );
        Receipt {
            version: Version,
            session: request.session.clone(),
            job: request.job.clone(),
            client_key: request.client_key.fingerprint(),
            bucket: self.config.stack.backup_bucket.clone(),
            manifest: prefix.unwrap().manifest(),
            manifest_sha256: Sha256::of(b"manifest"),
            artifacts: 1,
            bytes,
            sealed_at: self.world.now(),
            sources: sources(bytes),
        }
    }

    /// Closes with a receipt, as the cluster does.
    async fn close_with(&self, number: u8, receipt: &Envelope) {
        let world = std::sync::Arc::clone(&self.world);
        let cleaner = Cleaner {
            stack: self.config.stack.clone(),
            destroyer: self.destroyer(),
            pause: std::time::Duration::ZERO,
            clock: std::sync::Arc::new(move || world.now()),
        };
        let moment = Moment { now: self.world.now(), until: self.world.now() };
        let request =
            CleanupRequest { version: Version, session: session(number), receipt: Some(receipt.clone()) };
        let answer = cleaner.handle(CleanupEvent::Request(Box::new(request)), moment).await.unwrap();
        assert!(matches!(answer, Answer::Request(_)));
    }

    fn kept(&self, series: &str) -> Option<Baseline> {
        let inner = self.world.inner();
        let found = inner.objects.get(&format!("baselines/default/{series}.json"));
        found.map(|(bytes, _)| serde_json::from_slice(bytes).unwrap())
    }

    fn orders(&self, number: u8) -> Orders {
        let inner = self.world.inner();
        serde_json::from_slice(&inner.objects[&key::orders(&session(number))].0).unwrap()
    }
}

fn sign(signer: &SessionSigner, receipt: &Receipt) -> Envelope {
    signer.sign(&receipt.to_statement().unwrap()).unwrap()
}

#[tokio::test]
async fn a_run_is_kept_and_the_next_one_of_its_series_gets_it_with_the_stack_s_rules() {
    let mut stack = Stack::new();
    stack.config.rules = vec![RulesFile { name: "own.yar".to_owned(), text: "rule".to_owned() }];
    let signer = stack.boxed(&in_series(1), 1).await;
    assert_eq!(stack.orders(1).baseline, None);
    assert_eq!(stack.orders(1).rules, stack.config.rules);
    stack.close_with(1, &sign(&signer, &stack.receipt(&in_series(1), 7))).await;
    assert_eq!(stack.kept(SERIES).unwrap().sources, sources(7));
    stack.close_until_destroyed(1).await;
    assert_eq!(stack.world.left(), Vec::<String>::new());

    stack.world.pass(60);
    assert!(is_ready(&stack.ask_until_settled(&in_series(2), 2).await));
    let handed = stack.orders(2).baseline.unwrap();
    assert_eq!((&handed.session, &handed.sources), (&session(1), &sources(7)));
    // Another series of the same namespace has nothing of it.
    stack.close_until_destroyed(2).await;
    assert!(is_ready(&stack.ask_until_settled(&request(3), 3).await));
    assert_eq!(stack.orders(3).baseline, None);
}

#[tokio::test]
async fn a_job_without_a_series_is_compared_with_the_one_of_its_name() {
    let stack = Stack::new();
    let signer = stack.boxed(&request(1), 1).await;
    stack.close_with(1, &sign(&signer, &stack.receipt(&request(1), 7))).await;
    assert_eq!(stack.kept("nightly").unwrap().sources, sources(7));
}

#[tokio::test]
async fn only_the_session_s_own_receipt_is_believed() {
    let other_job = JobRef::new("default".into(), "other".into(), "09".into(), 1).unwrap();
    let late = |stack: &Stack| stack.world.now() + SignedDuration::from_hours(48);
    let spoils: [(&str, Spoil<'_>); 5] = [
        ("session", &|_, receipt| receipt.session = session(9)),
        ("job", &|_, receipt| receipt.job = other_job.clone()),
        ("client key", &|_, receipt| receipt.client_key = "SHA256:other".to_owned()),
        ("time", &|stack, receipt| receipt.sealed_at = late(stack)),
        ("sources", &|_, receipt| {
            receipt.sources.insert("Not a name".to_owned(), SourceMeasures::default());
        }),
    ];
    for (what, spoil) in spoils {
        let stack = Stack::new();
        let signer = stack.boxed(&in_series(1), 1).await;
        let good = stack.receipt(&in_series(1), 7);
        let mut forged = good.clone();
        spoil(&stack, &mut forged);
        stack.close_with(1, &sign(&signer, &forged)).await;
        assert_eq!(stack.kept(SERIES), None, "{what}");
        stack.close_with(1, &sign(&signer, &good)).await;
        assert!(stack.kept(SERIES).is_some(), "{what}: the good one");
    }
    let stack = Stack::new();
    let signer = stack.boxed(&in_series(1), 1).await;
    let receipt = stack.receipt(&in_series(1), 7);
    stack.close_with(1, &sign(&SessionSigner::generate().unwrap(), &receipt)).await;
    assert_eq!(stack.kept(SERIES), None, "another key");
    stack.close_with(1, &sign(&signer, &receipt)).await;
    assert!(stack.kept(SERIES).is_some());
}

#[tokio::test]
async fn closing_again_and_closing_late_change_nothing_that_is_newer() {
    let stack = Stack::new();
    let first = stack.boxed(&in_series(1), 1).await;
    let old = sign(&first, &stack.receipt(&in_series(1), 1));
    stack.world.pass(60);
    let second = stack.boxed(&in_series(2), 2).await;
    stack.close_with(2, &sign(&second, &stack.receipt(&in_series(2), 2))).await;
    let etag = |stack: &Stack| stack.world.inner().objects[&format!("baselines/default/{SERIES}.json")].1;
    let kept = etag(&stack);
    stack.close_with(1, &old).await;
    stack.close_with(2, &sign(&second, &stack.receipt(&in_series(2), 2))).await;
    assert_eq!(stack.kept(SERIES).unwrap().sources, sources(2));
    let _: Timestamp = stack.kept(SERIES).unwrap().sealed_at;
    assert_eq!(etag(&stack), kept, "nothing was written");
}

#[tokio::test]
async fn a_baseline_that_cannot_be_read_keeps_nobody_from_a_box_and_is_replaced() {
    let stack = Stack::new();
    stack.put(&format!("baselines/default/{SERIES}.json"), b"not JSON");
    let signer = stack.boxed(&in_series(1), 1).await;
    assert_eq!(stack.orders(1).baseline, None);
    stack.close_with(1, &sign(&signer, &stack.receipt(&in_series(1), 7))).await;
    assert_eq!(stack.kept(SERIES).unwrap().sources, sources(7));
}

#[tokio::test]
async fn a_session_id_is_not_used_for_another_series() {
    let stack = Stack::new();
    assert!(is_ready(&stack.ask_until_settled(&in_series(1), 1).await));
    let outcome = stack.create(&request(1)).await.unwrap();
    assert_eq!(super::refusal(&outcome), Some(drawbridge_protocol::session::Refusal::SessionReused));
    assert!(is_ready(&stack.create(&in_series(1)).await.unwrap()));
}
