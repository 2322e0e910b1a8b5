# Written by infra/forms/write.py from infra/watch.yaml and infra/policies/; change those.

resource "aws_s3_bucket" "log_bucket" {
  bucket              = "drawbridge-${var.cluster_name}-log-${data.aws_caller_identity.here.account_id}"
  object_lock_enabled = local.locks ? true : null

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_public_access_block" "log_bucket_access" {
  bucket                  = aws_s3_bucket.log_bucket.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "log_bucket_ownership" {
  bucket = aws_s3_bucket.log_bucket.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "log_bucket_encryption" {
  bucket = aws_s3_bucket.log_bucket.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "log_bucket_versioning" {
  count  = local.locks ? 1 : 0
  bucket = aws_s3_bucket.log_bucket.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "log_bucket_lock" {
  count               = local.locks ? 1 : 0
  bucket              = aws_s3_bucket.log_bucket.id
  object_lock_enabled = "Enabled"

  rule {
    default_retention {
      mode = "COMPLIANCE"
      days = var.log_lock_days
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "log_bucket_lifecycle" {
  bucket = aws_s3_bucket.log_bucket.id

  rule {
    id     = "records"
    status = "Enabled"

    filter {
      prefix = "AWSLogs/"
    }

    expiration {
      days = var.log_expire_days
    }
  }

  dynamic "rule" {
    for_each = local.locks ? [1] : []

    content {
      id     = "old-versions"
      status = "Enabled"

      filter {
        prefix = "AWSLogs/"
      }

      noncurrent_version_expiration {
        noncurrent_days = 30
      }
    }
  }

  dynamic "rule" {
    for_each = local.locks ? [1] : []

    content {
      id     = "delete-markers"
      status = "Enabled"

      filter {
        prefix = "AWSLogs/"
      }

      expiration {
        expired_object_delete_marker = true
      }
    }
  }
}

resource "aws_s3_bucket_policy" "log_bucket_policy" {
  bucket = aws_s3_bucket.log_bucket.id

  policy = templatefile("${path.module}/../../policies/log-bucket.json", {
    Partition = data.aws_partition.here.partition
    LogBucket = "drawbridge-${var.cluster_name}-log-${data.aws_caller_identity.here.account_id}"
    Region    = data.aws_region.here.region
    Account   = data.aws_caller_identity.here.account_id
    Trail     = "drawbridge-${var.cluster_name}"
    Deployer  = var.deployer_arn
  })
}

resource "aws_cloudtrail" "trail" {
  count                         = local.records ? 1 : 0
  name                          = "drawbridge-${var.cluster_name}"
  s3_bucket_name                = aws_s3_bucket.log_bucket.id
  enable_logging                = true
  enable_log_file_validation    = true
  include_global_service_events = false
  is_multi_region_trail         = false
  depends_on                    = [aws_s3_bucket_policy.log_bucket_policy]

  dynamic "event_selector" {
    for_each = local.records_data ? [1] : []

    content {
      read_write_type           = "All"
      include_management_events = false

      data_resource {
        type = "AWS::S3::Object"

        values = [
          "arn:${data.aws_partition.here.partition}:s3:::drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}/",
          "arn:${data.aws_partition.here.partition}:s3:::drawbridge-${var.cluster_name}-state-${data.aws_caller_identity.here.account_id}/",
        ]
      }
    }
  }

  dynamic "event_selector" {
    for_each = local.records_management ? [1] : []

    content {
      read_write_type           = "WriteOnly"
      include_management_events = true
    }
  }
}

resource "aws_sns_topic" "alarm_topic" {
  name = "drawbridge-${var.cluster_name}-alarms"
}

resource "aws_sns_topic_policy" "alarm_topic_policy" {
  arn = aws_sns_topic.alarm_topic.arn

  policy = templatefile("${path.module}/../../policies/alarm-topic.json", {
    Partition = data.aws_partition.here.partition
    Region    = data.aws_region.here.region
    Account   = data.aws_caller_identity.here.account_id
    Topic     = "drawbridge-${var.cluster_name}-alarms"
    Cluster   = var.cluster_name
  })
}

resource "aws_sns_topic_subscription" "alarm_subscription" {
  count     = local.has_email ? 1 : 0
  topic_arn = aws_sns_topic.alarm_topic.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_cloudwatch_log_group" "watch_log" {
  name              = "/aws/events/drawbridge-${var.cluster_name}-watch"
  retention_in_days = var.log_retention_days
}

resource "aws_cloudwatch_log_resource_policy" "watch_log_policy" {
  policy_name = "drawbridge-${var.cluster_name}-watch"

  policy_document = templatefile("${path.module}/../../policies/watch-log.json", {
    Partition = data.aws_partition.here.partition
    Region    = data.aws_region.here.region
    Account   = data.aws_caller_identity.here.account_id
    WatchLog  = "/aws/events/drawbridge-${var.cluster_name}-watch"
    Cluster   = var.cluster_name
  })
}

resource "aws_cloudwatch_event_rule" "manifest_sealed" {
  name        = "drawbridge-${var.cluster_name}-watch-sealed"
  description = "A box has put a signed manifest"

  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = ["drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"] }
      object = { key = [{ suffix = "/manifest.dsse.json" }] }
    }
  })

  depends_on = [aws_cloudwatch_log_resource_policy.watch_log_policy]
}

resource "aws_cloudwatch_event_target" "manifest_sealed_log" {
  rule      = aws_cloudwatch_event_rule.manifest_sealed.name
  target_id = "log"
  arn       = "arn:${data.aws_partition.here.partition}:logs:${data.aws_region.here.region}:${data.aws_caller_identity.here.account_id}:log-group:${aws_cloudwatch_log_group.watch_log.name}"
}

resource "aws_cloudwatch_log_metric_filter" "manifest_sealed_metric" {
  name           = "manifest-sealed"
  log_group_name = aws_cloudwatch_log_group.watch_log.name
  pattern        = "{ $.source = \"aws.s3\" && $.detail.object.key = \"*/manifest.dsse.json\" }"

  metric_transformation {
    namespace  = "Drawbridge"
    name       = "ManifestSealed"
    value      = "1"
    dimensions = { Bucket = "$.detail.bucket.name" }
  }
}

resource "aws_cloudwatch_metric_alarm" "silence" {
  alarm_name          = "drawbridge-${var.cluster_name}-silence"
  alarm_description   = "No backup of ${var.cluster_name} was sealed in ${var.silence_hours} hours"
  namespace           = "Drawbridge"
  metric_name         = "ManifestSealed"
  statistic           = "Sum"
  period              = var.silence_period_seconds
  evaluation_periods  = var.silence_hours
  datapoints_to_alarm = var.silence_hours
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  dimensions          = { Bucket = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}" }
}

resource "aws_cloudwatch_event_rule" "artifact_rejected" {
  name        = "drawbridge-${var.cluster_name}-watch-rejected"
  description = "A box has rejected an artifact"

  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = ["drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"] }
      object = { key = [{ suffix = ".rejected.dsse.json" }] }
    }
  })

  depends_on = [aws_cloudwatch_log_resource_policy.watch_log_policy]
}

resource "aws_cloudwatch_event_target" "artifact_rejected_log" {
  rule      = aws_cloudwatch_event_rule.artifact_rejected.name
  target_id = "log"
  arn       = "arn:${data.aws_partition.here.partition}:logs:${data.aws_region.here.region}:${data.aws_caller_identity.here.account_id}:log-group:${aws_cloudwatch_log_group.watch_log.name}"
}

resource "aws_cloudwatch_log_metric_filter" "artifact_rejected_metric" {
  name           = "artifact-rejected"
  log_group_name = aws_cloudwatch_log_group.watch_log.name
  pattern        = "{ $.source = \"aws.s3\" && $.detail.object.key = \"*.rejected.dsse.json\" }"

  metric_transformation {
    namespace  = "Drawbridge"
    name       = "ArtifactRejected"
    value      = "1"
    dimensions = { Bucket = "$.detail.bucket.name" }
  }
}

resource "aws_cloudwatch_metric_alarm" "rejected" {
  alarm_name          = "drawbridge-${var.cluster_name}-rejected"
  alarm_description   = "A box of ${var.cluster_name} rejected an artifact; the object *.rejected.dsse.json says which and why"
  namespace           = "Drawbridge"
  metric_name         = "ArtifactRejected"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  dimensions          = { Bucket = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}" }
}

resource "aws_cloudwatch_event_rule" "key_threatened" {
  count       = local.has_key ? 1 : 0
  name        = "drawbridge-${var.cluster_name}-watch-key"
  description = "Somebody tried to end or to loosen the key of the backups"

  event_pattern = jsonencode({
    source        = ["aws.kms"]
    "detail-type" = ["AWS API Call via CloudTrail"]
    detail = {
      eventName = ["ScheduleKeyDeletion", "DisableKey", "PutKeyPolicy", "CreateGrant", "DisableKeyRotation"]
      "$or" = [
        { resources = { ARN = [var.backup_key_arn] } },
        { errorMessage = [{ wildcard = "*${var.backup_key_arn}*" }] },
      ]
    }
  })

  depends_on = [aws_cloudwatch_log_resource_policy.watch_log_policy]
}

resource "aws_cloudwatch_event_target" "key_threatened_log" {
  count     = local.has_key ? 1 : 0
  rule      = one(aws_cloudwatch_event_rule.key_threatened[*].name)
  target_id = "log"
  arn       = "arn:${data.aws_partition.here.partition}:logs:${data.aws_region.here.region}:${data.aws_caller_identity.here.account_id}:log-group:${aws_cloudwatch_log_group.watch_log.name}"
}

resource "aws_cloudwatch_event_rule" "receipt_key_threatened" {
  count       = local.has_receipt_key ? 1 : 0
  name        = "drawbridge-${var.cluster_name}-watch-receipt-key"
  description = "Somebody tried to end or to loosen the key that vouches for receipts"

  event_pattern = jsonencode({
    source        = ["aws.kms"]
    "detail-type" = ["AWS API Call via CloudTrail"]
    detail = {
      eventName = ["ScheduleKeyDeletion", "DisableKey", "PutKeyPolicy", "CreateGrant"]
      "$or" = [
        { resources = { ARN = [var.receipt_key_arn] } },
        { errorMessage = [{ wildcard = "*${var.receipt_key_arn}*" }] },
      ]
    }
  })

  depends_on = [aws_cloudwatch_log_resource_policy.watch_log_policy]
}

resource "aws_cloudwatch_event_target" "receipt_key_threatened_log" {
  count     = local.has_receipt_key ? 1 : 0
  rule      = one(aws_cloudwatch_event_rule.receipt_key_threatened[*].name)
  target_id = "log"
  arn       = "arn:${data.aws_partition.here.partition}:logs:${data.aws_region.here.region}:${data.aws_caller_identity.here.account_id}:log-group:${aws_cloudwatch_log_group.watch_log.name}"
}

resource "aws_cloudwatch_log_metric_filter" "key_threatened_metric" {
  count          = local.has_any_key ? 1 : 0
  name           = "key-threatened"
  log_group_name = aws_cloudwatch_log_group.watch_log.name
  pattern        = "{ $.source = \"aws.kms\" }"

  metric_transformation {
    namespace = "Drawbridge"
    name      = "KeyThreatened-${var.cluster_name}"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "key_in_danger" {
  count               = local.has_any_key ? 1 : 0
  alarm_name          = "drawbridge-${var.cluster_name}-key"
  alarm_description   = "Somebody tried to end or to loosen a key of ${var.cluster_name}; the log group has who and which"
  namespace           = "Drawbridge"
  metric_name         = "KeyThreatened-${var.cluster_name}"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
}

resource "aws_cloudwatch_metric_alarm" "repairs" {
  alarm_name          = "drawbridge-${var.cluster_name}-repairs"
  alarm_description   = "The sweeper of ${var.cluster_name} set about to end or remove what no other ending had; see the metric Found"
  namespace           = "Drawbridge"
  metric_name         = "Repairs"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  dimensions          = { Cluster = var.cluster_name }
}

resource "aws_cloudwatch_metric_alarm" "unrepaired" {
  alarm_name          = "drawbridge-${var.cluster_name}-unrepaired"
  alarm_description   = "The sweeper of ${var.cluster_name} found what it can only report, or could not judge a session; see the metric Found"
  namespace           = "Drawbridge"
  metric_name         = "Unrepaired"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  dimensions          = { Cluster = var.cluster_name }
}

resource "aws_cloudwatch_metric_alarm" "sweeper_absent" {
  alarm_name          = "drawbridge-${var.cluster_name}-sweeper-absent"
  alarm_description   = "The sweeper of ${var.cluster_name} has ended no sweep for three periods"
  namespace           = "Drawbridge"
  metric_name         = "Sweeps"
  statistic           = "Sum"
  period              = var.sweep_period_seconds
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarm_topic.arn]
  ok_actions          = [aws_sns_topic.alarm_topic.arn]
  dimensions          = { Cluster = var.cluster_name }
}
