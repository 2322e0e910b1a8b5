# Written by infra/forms/write.py from infra/watch.yaml and infra/policies/; change those.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.0" }
  }
}

locals {
  has_email          = var.alarm_email != ""
  has_key            = var.backup_key_arn != "none"
  has_receipt_key    = var.receipt_key_arn != "none"
  has_any_key        = (local.has_key) || (local.has_receipt_key)
  locks              = var.log_lock_days != 0
  records_data       = var.data_events == "yes"
  records_management = var.management_events == "yes"
  records            = (local.records_data) || (local.records_management)
}

data "aws_partition" "here" {}

data "aws_region" "here" {}

data "aws_caller_identity" "here" {}
