# Written by infra/forms/write.py from infra/watch.yaml and infra/policies/; change those.

output "log_bucket" {
  value = aws_s3_bucket.log_bucket.id
}

output "alarm_topic_arn" {
  value       = aws_sns_topic.alarm_topic.arn
  description = "Subscribe here whoever is to be told"
}

output "silence_alarm" {
  value = aws_cloudwatch_metric_alarm.silence.alarm_name
}

output "rejected_alarm" {
  value = aws_cloudwatch_metric_alarm.rejected.alarm_name
}

output "key_alarm" {
  value = one(aws_cloudwatch_metric_alarm.key_in_danger[*].alarm_name)
}

output "watch_log_group" {
  value = aws_cloudwatch_log_group.watch_log.name
}
