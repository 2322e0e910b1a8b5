//! The judges of what ends boxes without anyone's help: the sweeper, and the events that call cleanup.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Checker, Judged, NotHeld, Thing, expect, short};

/// A sweep that is this many times overdue is not late but gone.
const MISSED: i32 = 3;
/// Where the schedule is a cron expression, whose next time is not computed here.
const DAILY: SignedDuration = SignedDuration::from_hours(25);

impl Checker {
    pub(super) async fn sweep_rule(&self) -> Judged {
        let rule = self.rule("Sweep").await?;
        Ok(format!("enabled, {}", short(&rule["Schedule"])))
    }

    pub(super) async fn ended_rule(&self) -> Judged {
        self.rule("InstanceEnded").await.map(|_| "enabled".to_owned())
    }

    /// A rule as it stands, if it is the template's.
    async fn rule(&self, resource: &str) -> Result<Value, NotHeld> {
        let shipped = self.shipped.template.properties(resource)?;
        let name = short(&shipped["Name"]);
        let rule = self.see(Thing::Rule(name.clone())).await?;
        expect(&format!("rule {name} to be"), &json!("ENABLED"), &rule["State"], || {
            "enable it and find in CloudTrail who called DisableRule".to_owned()
        })?;
        let targets = shipped["Targets"].as_array().into_iter().flatten();
        let targets: Vec<Value> =
            targets.map(|target| json!({"Arn": target["Arn"], "Input": target["Input"]})).collect();
        let parts = [
            ("schedule", &shipped["ScheduleExpression"], &rule["Schedule"]),
            ("pattern", &shipped["EventPattern"], &rule["Pattern"]),
            ("targets", &json!(targets), &rule["Targets"]),
        ];
        for (part, expected, found) in parts {
            expect(&format!("the {part} of rule {name} to be"), expected, found, || {
                "put the rule back as the template has it; find in CloudTrail who called PutRule, PutTargets or \
                 RemoveTargets"
                    .to_owned()
            })?;
        }
        Ok(rule)
    }

    /// When the sweeper last came to its end. A stack that was deployed a moment ago has had no sweep yet.
    pub(super) async fn sweeper(&self, now: Timestamp) -> Judged {
        let names = &self.shipped.names;
        let schedule = self.shipped.template.property("Sweep", &["ScheduleExpression"])?;
        let limit = longest_silence(schedule.as_str().unwrap_or_default());
        let mark = self.account.see(&Thing::LastSweep(names.state_bucket.clone())).await?;
        let last = mark.as_ref().and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
        if let Some(last) = last.filter(|last| now.duration_since(*last) < limit) {
            return Ok(format!("last at {last:.0}"));
        }
        let function = self.see(Thing::Function(names.sweep_function.clone())).await?;
        let deployed = function["Modified"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        if let Some(deployed) = deployed.filter(|at| now.duration_since(*at) < limit) {
            return Ok(format!("the first sweep after the deployment at {deployed:.0} is not due yet"));
        }
        Err(NotHeld::broken(
            format!("a sweep within the last {} minutes", limit.as_mins()),
            last.map_or_else(|| "none".to_owned(), |last| format!("the last at {last:.0}")),
            format!(
                "see the log of function {}: boxes that nobody closed may be running",
                names.sweep_function
            ),
        ))
    }
}

/// After how long without a sweep something is wrong.
fn longest_silence(schedule: &str) -> SignedDuration {
    let rate = || {
        let inner = schedule.strip_prefix("rate(")?.strip_suffix(')')?;
        let (number, unit) = inner.split_once(' ')?;
        let number: i64 = number.parse().ok()?;
        let minutes = match unit.trim_end_matches('s') {
            "minute" => 1,
            "hour" => 60,
            "day" => 1_440,
            _ => return None,
        };
        SignedDuration::from_mins(number.checked_mul(minutes)?).checked_mul(MISSED)
    };
    rate().unwrap_or(DAILY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_says_how_long_a_silence_may_last() {
        let cases = [
            ("rate(1 minute)", 3),
            ("rate(5 minutes)", 15),
            ("rate(10 minutes)", 30),
            ("rate(1 hour)", 180),
            ("rate(2 days)", 8_640),
            ("cron(0 12 * * ? *)", 1_500),
            ("rate(many minutes)", 1_500),
        ];
        for (schedule, minutes) in cases {
            assert_eq!(longest_silence(schedule), SignedDuration::from_mins(minutes), "{schedule}");
        }
    }
}
