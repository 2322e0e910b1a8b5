//! Figures for CloudWatch as lines of the log, in its embedded metric format: they need neither a call nor a permission.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::io::{self, Write as _};

use drawbridge_protocol::ClusterName;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::sweep::{Finding, Tally};

const NAMESPACE: &str = "Drawbridge";

/// A whole sweep: that it came to its end, how much was wrong that it set about to end or remove, how much that it
/// could only report, and how often each.
pub fn of_sweep(cluster: &ClusterName, found: &Tally, now: Timestamp) -> Vec<Value> {
    let wrong = |reported: bool| -> u32 {
        let counts = |finding: Finding| finding.is_wrong() && finding.is_only_reported() == reported;
        found.iter().filter(|(finding, _)| counts(**finding)).map(|(_, times)| times).sum()
    };
    let mut lines = vec![
        count(cluster, "Sweeps", 1, None, now),
        count(cluster, "Repairs", wrong(false), None, now),
        count(cluster, "Unrepaired", wrong(true), None, now),
    ];
    lines.extend(Finding::ALL.iter().filter_map(|finding| {
        let times = *found.get(finding)?;
        Some(count(cluster, "Found", times, Some(("Finding", finding.name())), now))
    }));
    lines
}

/// A session that `create` refused.
pub fn of_refusal(cluster: &ClusterName, reason: &str, now: Timestamp) -> Vec<Value> {
    vec![count(cluster, "Refused", 1, Some(("Reason", reason)), now)]
}

fn count(
    cluster: &ClusterName,
    name: &str,
    times: u32,
    dimension: Option<(&str, &str)>,
    now: Timestamp,
) -> Value {
    let mut dimensions = vec!["Cluster"];
    dimensions.extend(dimension.map(|(key, _)| key));
    let mut line = json!({
        "_aws": { "Timestamp": now.as_millisecond(), "CloudWatchMetrics": [{
            "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": [{ "Name": name, "Unit": "Count" }]
        }] },
        "Cluster": cluster.to_string(),
        name: times,
    });
    if let Some((key, value)) = dimension {
        line[key] = value.into();
    }
    line
}

/// Writes the lines where Lambda reads them. A figure that cannot be written is no reason to fail what it counts.
pub fn write(lines: &[Value]) {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.to_string());
        text.push('\n');
    }
    if let Err(error) = io::stdout().lock().write_all(text.as_bytes()) {
        tracing::warn!(%error, "figures could not be written");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lines(found: &[(Finding, u32)]) -> Vec<Value> {
        of_sweep(&"demo".parse().unwrap(), &found.iter().copied().collect(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_sweep_that_finds_nothing_says_that_it_was() {
        let lines = lines(&[]);
        assert_eq!((&lines[0]["Sweeps"], &lines[1]["Repairs"]), (&json!(1), &json!(0)));
        assert_eq!(lines[2]["Unrepaired"], 0);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn each_finding_is_a_dimension_and_what_is_not_wrong_is_no_repair() {
        let lines = lines(&[(Finding::Expired, 2), (Finding::Closing, 3), (Finding::StrayUpload, 1)]);
        assert_eq!(lines[1]["Repairs"], 3);
        let found = |name: &str| lines.iter().find(|line| line["Finding"] == name).unwrap()["Found"].clone();
        assert_eq!(
            (found("expired"), found("closing"), found("stray_upload")),
            (json!(2), json!(3), json!(1))
        );
    }

    #[test]
    fn what_is_only_reported_is_no_repair_and_raises_the_other_alarm() {
        for finding in [Finding::Unjudged, Finding::NoSlot, Finding::UnreadableInTime, Finding::StrangeObject]
        {
            let lines = lines(&[(finding, 2), (Finding::StrayObject, 1)]);
            let counted = (&lines[1]["Repairs"], &lines[2]["Unrepaired"]);
            assert_eq!(counted, (&json!(1), &json!(2)), "{}", finding.name());
        }
    }

    #[test]
    fn every_metric_and_dimension_that_a_line_declares_is_in_it() {
        for line in lines(&[(Finding::NoSlot, 1)]) {
            let declared = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(declared["Namespace"], NAMESPACE);
            assert!(line[declared["Metrics"][0]["Name"].as_str().unwrap()].is_u64(), "{line}");
            for dimension in declared["Dimensions"][0].as_array().unwrap() {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{line}");
            }
        }
    }
}
