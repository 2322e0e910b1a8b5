//! The certificate of a box's session key: who gets one, what it says, and that there is one only.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use drawbridge_protocol::{
    ReceiptKey, SessionSigner,
    session::{CreateOutcome, ReadyBox, Refusal, Waiting},
};
use serde_json::Value;

use super::{Stack, refusal, request, session, waits_for};
use crate::{
    certify::{SignError, Signer},
    names::key,
    tests::world::Cut,
};

/// KMS's answer, made here; fails while `broken`.
#[derive(Debug)]
pub(super) struct FakeKms {
    pair: EcdsaKeyPair,
    asked: AtomicUsize,
    broken: AtomicBool,
}

impl FakeKms {
    fn new() -> Arc<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Arc::new(Self { pair, asked: AtomicUsize::new(0), broken: AtomicBool::new(false) })
    }

    fn public(&self) -> ReceiptKey {
        let der: PublicKeyX509Der<'_> = self.pair.public_key().as_der().unwrap();
        ReceiptKey::from_der(der.as_ref()).unwrap()
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Signer for FakeKms {
    fn key(&self) -> &'static str {
        "arn:aws:kms:us-east-1:000000000000:key/1"
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) {
            let (code, message) = ("DisabledException".to_owned(), "it is disabled".to_owned());
            return Err(SignError { key: self.key().to_owned(), code, message });
        }
        Ok(self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec())
    }
}

pub(super) fn certifying() -> (Stack, Arc<FakeKms>) {
    let kms = FakeKms::new();
    let signer: Arc<dyn Signer> = Arc::clone(&kms) as _;
    (Stack { signer: Some(signer), ..Stack::new() }, kms)
}

pub(super) fn ready(outcome: CreateOutcome) -> ReadyBox {
    let CreateOutcome::Ready(ready) = outcome else { panic!("{outcome:?}") };
    *ready
}

#[tokio::test]
async fn the_certificate_names_everything_that_the_box_is() {
    let (stack, kms) = certifying();
    let request = request(1);
    let ready = ready(stack.ask_until_settled(&request, 1).await);
    let certified = ready.certificate.clone().unwrap().verify(&kms.public()).unwrap();
    assert_eq!((&certified.session, &certified.job), (&request.session, &request.job));
    assert_eq!(certified.client_key, request.client_key.fingerprint());
    assert_eq!((&certified.session_key, &certified.instance), (&ready.session_key, &ready.instance));
    assert_eq!((&certified.bucket, &certified.prefix), (&ready.bucket, &ready.prefix));
    assert_eq!(certified.expires_at, ready.deadline);
    assert_eq!(certified.program, Stack::program().digest);
}

#[tokio::test]
async fn a_stack_without_a_key_certifies_nothing_and_works() {
    let stack = Stack::new();
    assert_eq!(ready(stack.ask_until_settled(&request(1), 1).await).certificate, None);
}

#[tokio::test]
async fn asked_again_it_gives_the_same_certificate_and_signs_nothing() {
    let (stack, kms) = certifying();
    let first = ready(stack.ask_until_settled(&request(1), 1).await);
    let saved = stack.saved(1).unwrap();
    assert_eq!(saved.certificate, first.certificate);
    stack.world.pass(60);
    assert_eq!(ready(stack.create(&request(1)).await.unwrap()), first);
    assert_eq!((kms.asked(), stack.saved(1).unwrap()), (1, saved));
}

#[tokio::test]
async fn nothing_is_certified_before_the_report_was_believed() {
    let (stack, kms) = certifying();
    stack.create(&request(1)).await.unwrap();
    stack.tick().await;
    assert_eq!(waits_for(&stack.create(&request(1)).await.unwrap()), Some(Waiting::Report));
    stack.report(1);
    let ready_key = key::ready(&session(1));
    let mut report: Value = serde_json::from_slice(&stack.world.inner().objects[&ready_key].0).unwrap();
    report["instance"] = "i-other".into();
    stack.put(&ready_key, &serde_json::to_vec(&report).unwrap());
    assert_eq!(refusal(&stack.create(&request(1)).await.unwrap()), Some(Refusal::BoxEnded));
    assert_eq!(kms.asked(), 0);
}

#[tokio::test]
async fn a_second_session_key_is_not_certified() {
    let (stack, kms) = certifying();
    let first = ready(stack.ask_until_settled(&request(1), 1).await);
    let ready_key = key::ready(&session(1));
    let mut report: Value = serde_json::from_slice(&stack.world.inner().objects[&ready_key].0).unwrap();
    let other = SessionSigner::generate().unwrap().public().unwrap();
    report["session_key"] = other.as_str().into();
    let good = stack.world.inner().objects[&ready_key].0.clone();
    stack.put(&ready_key, &serde_json::to_vec(&report).unwrap());
    assert_eq!(refusal(&stack.create(&request(1)).await.unwrap()), Some(Refusal::BoxEnded));
    stack.put(&ready_key, &good);
    assert_eq!(ready(stack.create(&request(1)).await.unwrap()), first);
    assert_eq!(kms.asked(), 1);
}

#[tokio::test]
async fn a_key_that_does_not_sign_is_an_error_that_names_it_and_passes() {
    let (stack, kms) = certifying();
    kms.broken.store(true, Ordering::SeqCst);
    let request = request(1);
    stack.create(&request).await.unwrap();
    stack.tick().await;
    stack.create(&request).await.unwrap();
    stack.report(1);
    let error = stack.create(&request).await.unwrap_err().to_string();
    assert!(
        error.contains("key/1") && error.contains("DisabledException") && error.contains("kms:Sign"),
        "{error}"
    );
    assert_eq!(stack.saved(1).unwrap().certificate, None);
    kms.broken.store(false, Ordering::SeqCst);
    assert!(ready(stack.create(&request).await.unwrap()).certificate.is_some());
}

#[tokio::test]
async fn a_certificate_that_was_not_saved_was_given_to_nobody() {
    let (stack, kms) = certifying();
    let request = request(1);
    stack.create(&request).await.unwrap();
    stack.tick().await;
    stack.create(&request).await.unwrap();
    stack.report(1);
    let put = {
        let (dry, _) = certifying();
        let before = |stack: &Stack| stack.world.inner().calls.len();
        dry.create(&request).await.unwrap();
        dry.tick().await;
        dry.create(&request).await.unwrap();
        dry.report(1);
        let from = before(&dry);
        dry.create(&request).await.unwrap();
        let calls = dry.world.inner().calls[from..].to_vec();
        calls.iter().position(|call| *call == "PutObject").unwrap()
    };
    for cut in [Cut::Before, Cut::After] {
        let at = stack.world.inner().calls.len() + put + 1;
        stack.world.cut_at(at, cut);
        stack.create(&request).await.unwrap_err();
        stack.world.revive();
    }
    let certificate = ready(stack.create(&request).await.unwrap()).certificate;
    assert_eq!(certificate, stack.saved(1).unwrap().certificate);
    assert_eq!(kms.asked(), 2, "the second was saved, though its caller never learnt it");
}
