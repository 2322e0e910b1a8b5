//! Functions, the rules that invoke them, and the key, as Lambda, EventBridge and KMS show them.

use serde_json::{Value, json};

use super::{Seen, answered, document, failed};

const GONE: &[&str] = &["ResourceNotFoundException"];

pub(super) async fn function(client: &aws_sdk_lambda::Client, name: &str) -> Seen {
    let answer = client.get_function_configuration().function_name(name).send().await;
    let found = answered("lambda:GetFunctionConfiguration", answer, GONE)?;
    Ok(found.map(|found| {
        let layers: Vec<_> = found.layers().iter().filter_map(|layer| layer.arn.clone()).collect();
        let variables = found.environment.as_ref().and_then(|environment| environment.variables.clone());
        json!({"Code": found.code_sha256, "Role": found.role, "Handler": found.handler, "Layers": layers,
            "Runtime": found.runtime.as_ref().map(aws_sdk_lambda::types::Runtime::as_str),
            "Variables": variables.unwrap_or_default(), "Modified": found.last_modified.as_deref().map(plain_time)})
    }))
}

/// Lambda writes `2026-01-01T10:00:00.000+0000`; a colon makes it RFC 3339.
fn plain_time(text: &str) -> String {
    match text.len().checked_sub(5).and_then(|at| text.split_at_checked(at)) {
        Some((time, zone)) if zone.starts_with(['+', '-']) && !zone.contains(':') => {
            format!("{time}{}:{}", &zone[..3], &zone[3..])
        }
        _ => text.to_owned(),
    }
}

pub(super) async fn invokers(client: &aws_sdk_lambda::Client, name: &str) -> Seen {
    let action = "lambda:GetPolicy";
    let found = answered(action, client.get_policy().function_name(name).send().await, GONE)?;
    found.and_then(|found| found.policy).map(|policy| document(action, &policy)).transpose()
}

pub(super) async fn urls(client: &aws_sdk_lambda::Client, name: &str) -> Seen {
    let answer = client.list_function_url_configs().function_name(name).send().await;
    let found = answered("lambda:ListFunctionUrlConfigs", answer, GONE)?;
    Ok(found.map(|found| {
        found.function_url_configs().iter().map(|url| Value::String(url.function_url.clone())).collect()
    }))
}

pub(super) async fn concurrency(client: &aws_sdk_lambda::Client, name: &str) -> Seen {
    let answer = client.get_function_concurrency().function_name(name).send().await;
    let found = answered("lambda:GetFunctionConcurrency", answer, GONE)?;
    Ok(found.and_then(|found| found.reserved_concurrent_executions).map(Value::from))
}

pub(super) async fn rule(client: &aws_sdk_eventbridge::Client, name: &str) -> Seen {
    let action = "events:DescribeRule";
    let Some(rule) = answered(action, client.describe_rule().name(name).send().await, GONE)? else {
        return Ok(None);
    };
    let targets = client.list_targets_by_rule().rule(name).send().await;
    let targets = targets.map_err(|error| failed("events:ListTargetsByRule", &error))?;
    let targets: Vec<_> =
        targets.targets().iter().map(|target| json!({"Arn": target.arn, "Input": target.input})).collect();
    let pattern = rule.event_pattern.as_deref().filter(|text| !text.is_empty());
    let pattern = pattern.map(|text| document(action, text)).transpose()?;
    Ok(Some(
        json!({"State": rule.state.as_ref().map(aws_sdk_eventbridge::types::RuleState::as_str), "Schedule": rule.schedule_expression,
        "Pattern": pattern, "Targets": targets}),
    ))
}

pub(super) async fn key(client: &aws_sdk_kms::Client, arn: &str) -> Seen {
    let answer = client.describe_key().key_id(arn).send().await;
    let found = answered("kms:DescribeKey", answer, &["NotFoundException"])?;
    let Some(key) = found.and_then(|found| found.key_metadata) else { return Ok(None) };
    let action = "kms:GetKeyPolicy";
    let policy = client.get_key_policy().key_id(arn).send().await;
    let policy = policy.map_err(|error| failed(action, &error))?.policy;
    let policy = policy.as_deref().map(|text| document(action, text)).transpose()?;
    Ok(Some(
        json!({"State": key.key_state.as_ref().map(aws_sdk_kms::types::KeyState::as_str), "Policy": policy,
        "Usage": key.key_usage.as_ref().map(aws_sdk_kms::types::KeyUsageType::as_str)}),
    ))
}

#[cfg(test)]
mod tests {
    use super::plain_time;

    #[test]
    fn lambda_s_times_become_readable() {
        for text in ["2026-01-01T10:00:00.000+0000", "2026-01-01T10:00:00.000+00:00", "2026-01-01T10:00:00Z"]
        {
            assert!(plain_time(text).parse::<jiff::Timestamp>().is_ok(), "{text}");
        }
    }
}
