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
        let names = &self.shipped.names;
        let rule = self.enabled(&names.sweep_rule).await?;
        let schedule = json!(self.shipped.sweep_schedule);
        expect(
            &format!("the schedule of rule {} to be", names.sweep_rule),
            &schedule,
            &rule["Schedule"],
            back,
        )?;
        let targets =
            json!([{"Arn": names.function_arn(&names.cleanup_function), "Input": "{\"sweep\":true}"}]);
        expect(&format!("the targets of rule {} to be", names.sweep_rule), &targets, &rule["Targets"], back)?;
        Ok(format!("enabled, {}", short(&schedule)))
    }

    /// When the sweeper last came to its end. A stack that was deployed a moment ago has had no sweep yet.
    pub(super) async fn sweeper(&self, now: Timestamp) -> Judged {
        let names = &self.shipped.names;
        let limit = longest_silence(&self.shipped.sweep_schedule);
        let mark = self.account.see(&Thing::LastSweep(names.state_bucket.clone())).await?;
        let last = mark.as_ref().and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
        if let Some(last) = last.filter(|last| now.duration_since(*last) < limit) {
            return Ok(format!("last at {last:.0}"));
        }
        let function = self.see(Thing::Function(names.cleanup_function.clone())).await?;
        let deployed = function["Modified"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        if let Some(deployed) = deployed.filter(|at| now.duration_since(*at) < limit) {
            return Ok(format!("the first sweep after the deployment at {deployed:.0} is not due yet"));
        }
        Err(NotHeld::broken(
            format!("a sweep within the last {} minutes", limit.as_mins()),
            last.map_or_else(|| "none".to_owned(), |last| format!("the last at {last:.0}")),
            format!("see the log of function {}: boxes that nobody closed may be running", names.cleanup_function),
        ))
    }

    pub(super) async fn ended_rule(&self) -> Judged {
        let names = &self.shipped.names;
        let rule = self.enabled(&names.ended_rule).await?;
        let pattern = json!({"source": ["aws.ec2"], "detail-type": ["EC2 Instance State-change Notification"],
            "detail": {"state": ["stopped", "terminated"]}});
        expect(&format!("the pattern of rule {} to be", names.ended_rule), &pattern, &rule["Pattern"], back)?;
        let targets = json!([{"Arn": names.function_arn(&names.cleanup_function), "Input": null}]);
        expect(&format!("the targets of rule {} to be", names.ended_rule), &targets, &rule["Targets"], back)?;
        Ok("enabled".to_owned())
    }

    pub(super) async fn ended_marker(&self) -> Judged {
        let names = &self.shipped.names;
        let found = self.see(Thing::Notifications(names.backup_bucket.clone())).await?;
        let expected = json!({"Target": names.function_arn(&names.cleanup_function),
            "Events": ["s3:ObjectCreated:*"], "Prefix": format!("clusters/{}/ended/", names.cluster)});
        if found.as_array().into_iter().flatten().any(|one| *one == expected) {
            return Ok("told".to_owned());
        }
        Err(NotHeld::broken(
            format!("bucket {} to tell cleanup of {}", names.backup_bucket, short(&expected["Prefix"])),
            short(&found),
            "put the notification back and find in CloudTrail who called PutBucketNotification",
        ))
    }

    async fn enabled(&self, name: &str) -> Result<Value, NotHeld> {
        let rule = self.see(Thing::Rule(name.to_owned())).await?;
        expect(&format!("rule {name} to be"), &json!("ENABLED"), &rule["State"], || {
            "enable it and find in CloudTrail who called DisableRule".to_owned()
        })?;
        Ok(rule)
    }
}

fn back() -> String {
    "put the rule back as the template has it; find in CloudTrail who called PutRule, PutTargets or RemoveTargets"
        .to_owned()
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
