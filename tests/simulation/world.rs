//! One run's world: its clock, its chance, its faults, Kubernetes, AWS, and the record of what happened.

use std::sync::{Arc, Mutex};

use drawbridge_protocol::SessionSigner;

use crate::{
    aws::{Aws, ReceiptKey},
    dice::Dice,
    faults::{Fault, Faults},
    guards::Guard,
    kube::Kubernetes,
    ledger::Ledger,
    scenario::Scenario,
    time::Time,
};

pub(crate) struct World {
    pub(crate) time: Time,
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    pub(crate) scenario: Scenario,
    /// The guard that this run does without.
    pub(crate) off: Option<Guard>,
    pub(crate) ledger: Ledger,
    pub(crate) kube: Kubernetes,
    pub(crate) aws: Aws,
    /// A key of somebody who signs receipts without being a box.
    pub(crate) impostor: SessionSigner,
    /// What KMS signs with.
    pub(crate) receipt_key: ReceiptKey,
    trace: Mutex<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, off: Option<Guard>) -> Arc<Self> {
        let (time, dice) = (Time::default(), Dice::new(seed));
        let mut scenario = Scenario::of_run(&dice);
        let mut faults = Faults::of_run(&dice, scenario.faults_until);
        if let Some(guard) = off {
            guard.lead(&mut scenario, &mut faults, &dice);
        }
        Arc::new(Self {
            time,
            dice,
            faults,
            scenario,
            off,
            ledger: Ledger::default(),
            kube: Kubernetes::default(),
            aws: Aws::default(),
            impostor: SessionSigner::generate().unwrap(),
            receipt_key: ReceiptKey::default(),
            trace: Mutex::default(),
        })
    }

    pub(crate) fn without(&self, guard: Guard) -> bool {
        self.off == Some(guard)
    }

    /// One line of the trace.
    pub(crate) fn note(&self, line: &str) {
        let at = self.time.elapsed();
        self.trace.lock().unwrap().push(format!("{:>10.3} {line}", at.as_secs_f64()));
    }

    pub(crate) fn trace(&self) -> Vec<String> {
        std::mem::take(&mut self.trace.lock().unwrap())
    }

    /// The fault of this call, if it has one.
    pub(crate) fn fault(&self, call: &'static str, possible: &[Fault]) -> Option<Fault> {
        let fault = self.faults.deal(&self.dice, &self.time, call, possible);
        if let Some(fault) = fault {
            self.note(&format!("  fault: {call}: {fault:?}"));
        }
        fault
    }
}
