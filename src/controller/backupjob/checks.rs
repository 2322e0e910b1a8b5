//! What the box's checks found: kept as artifacts are stored, and told in the status, an event and a metric.

use std::{collections::BTreeMap, fmt::Write as _};

use drawbridge_protocol::{
    checks::{Effect, Finding, label},
    manifest::Verdict,
    upload::Accepted,
};

use crate::api::{ChecksStatus, FindingStatus, MAX_SHOWN_CHECKS};

/// Checks that a message names.
const NAMED: usize = 3;
/// The longest example in a status, in characters; a box sends shorter ones.
const MAX_EXAMPLE: usize = 256;

/// What one transfer met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Of the artifacts that are stored.
    pub status: ChecksStatus,
    /// Artifacts by check and effect, those that were rejected included.
    pub artifacts: BTreeMap<(&'static str, &'static str), u64>,
}

impl Met {
    /// An artifact is stored.
    pub fn stored(&mut self, accepted: &Accepted) {
        if accepted.verdict != Verdict::Flagged {
            return;
        }
        self.status.flagged = self.status.flagged.saturating_add(1);
        for finding in &accepted.findings {
            *self.artifacts.entry((label(&finding.check), finding.effect.as_str())).or_default() += 1;
            self.found(accepted.name.as_str(), finding);
        }
    }

    /// An artifact was rejected by `check`.
    pub fn rejected(&mut self, check: &str) {
        *self.artifacts.entry((label(check), Effect::Reject.as_str())).or_default() += 1;
    }

    fn found(&mut self, artifact: &str, finding: &Finding) {
        let count = i64::try_from(finding.count).unwrap_or(i64::MAX);
        // By its label: a box that invents checks cannot fill a status.
        let check = label(&finding.check);
        let all = &mut self.status.findings;
        if let Some(known) = all.iter_mut().find(|known| known.check == check) {
            known.artifacts = known.artifacts.saturating_add(1);
            known.count = known.count.saturating_add(count);
        } else if all.len() < MAX_SHOWN_CHECKS {
            all.push(FindingStatus {
                check: check.to_owned(),
                artifacts: 1,
                count,
                artifact: artifact.to_owned(),
                example: finding.example.chars().take(MAX_EXAMPLE).collect(),
            });
        }
    }
}

/// What the message of a complete job adds if artifacts are flagged.
pub(super) fn flagged(checks: Option<&ChecksStatus>) -> String {
    checks
        .filter(|checks| checks.flagged > 0)
        .map_or_else(String::new, |checks| format!("; {}", flagged_for_people(checks)))
}

/// The findings in a sentence: how many artifacts, and the first checks.
pub(super) fn flagged_for_people(checks: &ChecksStatus) -> String {
    let mut text = match checks.flagged {
        1 => "1 artifact is flagged".to_owned(),
        artifacts => format!("{artifacts} artifacts are flagged"),
    };
    for (index, finding) in checks.findings.iter().take(NAMED).enumerate() {
        let FindingStatus { check, count, artifact, example, .. } = finding;
        let comma = if index == 0 { ": " } else { "; " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{check} {count} times, first in {artifact}");
        if !example.is_empty() {
            let _ = write!(text, " ({example})");
        }
    }
    if checks.findings.len() > NAMED {
        text.push_str("; ...");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use drawbridge_protocol::Sha256;

    use super::*;

    fn accepted(name: &str, checks: &[&str]) -> Accepted {
        let finding = |check: &&str| Finding {
            check: (*check).to_owned(),
            effect: Effect::Flag,
            count: 2,
            example: "'bin/su'".to_owned(),
        };
        Accepted {
            name: name.parse().unwrap(),
            objects: Vec::new(),
            bytes: 1,
            sha256: Sha256::of(b"x"),
            verdict: if checks.is_empty() { Verdict::Accepted } else { Verdict::Flagged },
            findings: checks.iter().map(finding).collect(),
        }
    }

    #[test]
    fn flagged_artifacts_are_told_in_a_sentence_and_others_are_not() {
        let mut met = Met::default();
        met.stored(&accepted("good.tar.zst", &[]));
        assert_eq!((met.clone(), flagged(Some(&met.status))), (Met::default(), String::new()));
        met.stored(&accepted("a.tar.zst", &["tar_setuid"]));
        assert_eq!(
            flagged(Some(&met.status)),
            "; 1 artifact is flagged: tar_setuid 2 times, first in a.tar.zst ('bin/su')"
        );
        met.stored(&accepted("b.tar.zst", &["tar_setuid", "high_entropy"]));
        assert_eq!(
            flagged(Some(&met.status)),
            "; 2 artifacts are flagged: tar_setuid 4 times, first in a.tar.zst ('bin/su'); high_entropy 2 times, \
             first in b.tar.zst ('bin/su')"
        );
    }

    #[test]
    fn what_a_box_invents_fills_neither_a_status_nor_a_metric() {
        let mut met = Met::default();
        for number in 0..1_000 {
            let check = format!("invented_{number}");
            met.stored(&accepted("a.tar.zst", &[check.as_str(), "tar_fifo"]));
            met.rejected(&check);
        }
        met.rejected("digest");
        assert_eq!(met.status.findings.len(), 2);
        let counted: Vec<_> = met.artifacts.into_iter().collect();
        assert_eq!(
            counted,
            [
                (("digest", "reject"), 1),
                (("other", "flag"), 1_000),
                (("other", "reject"), 1_000),
                (("tar_fifo", "flag"), 1_000)
            ]
        );
    }
}
