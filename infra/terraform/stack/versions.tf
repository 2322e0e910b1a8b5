# Written by infra/forms/write.py from infra/template.yaml and infra/policies/; change those.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.0" }
  }
}

locals {
  makes_receipt_key    = var.receipt_key == "yes"
  takes_first_zone     = var.availability_zone == ""
  reserves_concurrency = var.cleanup_concurrency != 0
  knows_tokens         = var.oidc_issuer != ""
  makes_provider       = (local.knows_tokens) && (var.make_oidc_provider == "true")
  is_eks               = var.eks_cluster != ""
  locks                = var.object_lock_days != 0
  expires              = var.expire_days != 0
  uses_key             = var.encryption_key == "yes"
  stack_name           = "drawbridge-${var.cluster_name}"
}

data "aws_partition" "here" {}

data "aws_region" "here" {}

data "aws_caller_identity" "here" {}

data "aws_availability_zones" "here" {
  state = "available"
}

data "aws_ssm_parameter" "image_id" {
  name = var.image_id
}
