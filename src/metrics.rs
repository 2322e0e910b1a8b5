//! What the controller counts. Base units, bounded labels: kinds, steps and reasons, never names.

use std::{collections::BTreeMap, sync::Mutex};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

use crate::controller::backupjob::Figures;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    kind: &'static str,
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AskLabels {
    function: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    check: &'static str,
    effect: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GuaranteeLabels {
    guarantee: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

/// All counters of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    steps: Family<StepLabel, Counter>,
    errors: Family<ErrorLabels, Counter>,
    ends: Family<EndLabels, Counter>,
    asked: Family<AskLabels, Counter>,
    refused: Family<ReasonLabel, Counter>,
    bytes: Family<StageLabel, Counter>,
    artifacts: Counter,
    log_gaps: Counter,
    findings: Family<FindingLabels, Counter>,
    abandoned: Counter,
    postures: Family<GuaranteeLabels, Gauge>,
    leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("drawbridge");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", build);
        let metrics = Self {
            registry: Mutex::default(),
            steps: Family::default(),
            errors: Family::default(),
            ends: Family::default(),
            asked: Family::default(),
            refused: Family::default(),
            bytes: Family::default(),
            artifacts: Counter::default(),
            log_gaps: Counter::default(),
            findings: Family::default(),
            abandoned: Counter::default(),
            postures: Family::default(),
            leader: Gauge::default(),
        };
        registry.register("steps", "Steps done, by step", metrics.steps.clone());
        registry.register(
            "reconcile_errors",
            "Reconciles that failed, by kind of object and error",
            metrics.errors.clone(),
        );
        registry.register(
            "jobs_ended",
            "Jobs that came to their end, by outcome and reason",
            metrics.ends.clone(),
        );
        registry.register(
            "function_calls",
            "Questions to the stack's functions, by outcome",
            metrics.asked.clone(),
        );
        registry.register(
            "sessions_refused",
            "Sessions that create refused, by reason",
            metrics.refused.clone(),
        );
        registry.register(
            "transferred_bytes",
            "Bytes of transfers that ended, before and after compression",
            metrics.bytes.clone(),
        );
        registry.register("artifacts_stored", "Artifacts that boxes accepted", metrics.artifacts.clone());
        registry.register(
            "log_gaps",
            "Times in which log lines may have been lost before a backup could read them",
            metrics.log_gaps.clone(),
        );
        registry.register(
            "findings",
            "Artifacts in which a check of the box found something, by check and effect",
            metrics.findings.clone(),
        );
        registry.register(
            "sessions_abandoned",
            "Sessions let go without being seen closed",
            metrics.abandoned.clone(),
        );
        registry.register(
            "posture_guarantees",
            "Vaults by guarantee and state, as their stacks were last seen",
            metrics.postures.clone(),
        );
        registry.register("leader", "1 in the process that acts", metrics.leader.clone());
        Self { registry: Mutex::new(registry), ..metrics }
    }
}

impl Metrics {
    pub fn step(&self, step: &'static str) {
        self.steps.get_or_create(&StepLabel { step }).inc();
    }

    pub fn reconcile_failed(&self, kind: &'static str, error: &'static str) {
        self.errors.get_or_create(&ErrorLabels { kind, error }).inc();
    }

    pub fn job_ended(&self, outcome: &'static str, reason: &'static str) {
        self.ends.get_or_create(&EndLabels { outcome, reason }).inc();
    }

    /// A question was answered, or failed with an error of that kind.
    pub fn asked(&self, function: &'static str, error: Option<&'static str>) {
        self.asked.get_or_create(&AskLabels { function, outcome: error.unwrap_or("answered") }).inc();
    }

    /// `create` refused a session.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub fn transferred(&self, figures: Figures) {
        let across = figures.across;
        self.bytes.get_or_create(&StageLabel { stage: "original" }).inc_by(across.original_bytes);
        self.bytes.get_or_create(&StageLabel { stage: "stored" }).inc_by(across.sent_bytes);
        self.artifacts.inc_by(across.artifacts);
    }

    /// A backup was stored with so many gaps in its logs.
    pub fn log_gaps(&self, gaps: i64) {
        self.log_gaps.inc_by(gaps.unsigned_abs());
    }

    /// What the box's checks found in a transfer, in artifacts by check and effect.
    pub fn found(&self, artifacts: &BTreeMap<(&'static str, &'static str), u64>) {
        for (&(check, effect), count) in artifacts {
            self.findings.get_or_create(&FindingLabels { check, effect }).inc_by(*count);
        }
    }

    pub fn abandoned(&self) {
        self.abandoned.inc();
    }

    /// How many vaults have each guarantee in each state.
    pub fn posture(&self, counts: &BTreeMap<(&'static str, &'static str), i64>) {
        self.postures.clear();
        for ((guarantee, state), vaults) in counts {
            self.postures.get_or_create(&GuaranteeLabels { guarantee, state }).set(*vaults);
        }
    }

    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// All of it, as Prometheus reads it.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use drawbridge_protocol::session::Refusal;

    use super::Metrics;

    #[test]
    fn counters_carry_the_prefix_and_the_suffix() {
        let metrics = Metrics::default();
        metrics.step("rest");
        metrics.asked("create", Some("denied"));
        metrics.found(&[(("tar_setuid", "flag"), 2)].into());
        let text = metrics.text().unwrap();
        assert!(text.contains("drawbridge_steps_total{step=\"rest\"} 1"), "{text}");
        assert!(
            text.contains("drawbridge_function_calls_total{function=\"create\",outcome=\"denied\"} 1"),
            "{text}"
        );
        assert!(text.contains("drawbridge_findings_total{check=\"tar_setuid\",effect=\"flag\"} 2"), "{text}");
        assert!(text.contains("drawbridge_build_info{version="), "{text}");
    }

    #[test]
    fn each_refusal_of_create_is_counted_under_its_own_reason() {
        let metrics = Metrics::default();
        for (times, refusal) in Refusal::ALL.iter().enumerate() {
            (0..=times).for_each(|_| metrics.refused(refusal.name()));
        }
        let text = metrics.text().unwrap();
        for (times, refusal) in Refusal::ALL.iter().enumerate() {
            let line =
                format!("drawbridge_sessions_refused_total{{reason=\"{}\"}} {}", refusal.name(), times + 1);
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}
