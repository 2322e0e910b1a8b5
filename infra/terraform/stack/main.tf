# Written by infra/forms/write.py from infra/template.yaml and infra/policies/; change those.

resource "aws_vpc" "vpc" {
  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = false
  tags                 = { Name = "drawbridge-${var.cluster_name}" }
}

resource "aws_internet_gateway" "internet_gateway" {
  tags = { Name = "drawbridge-${var.cluster_name}" }
}

resource "aws_internet_gateway_attachment" "internet_gateway_attachment" {
  vpc_id              = aws_vpc.vpc.id
  internet_gateway_id = aws_internet_gateway.internet_gateway.id
}

resource "aws_subnet" "public_subnet" {
  vpc_id                  = aws_vpc.vpc.id
  cidr_block              = var.public_subnet_cidr
  availability_zone       = local.takes_first_zone ? data.aws_availability_zones.here.names[0] : var.availability_zone
  map_public_ip_on_launch = false
  tags                    = { Name = "drawbridge-${var.cluster_name}-public" }
}

resource "aws_route_table" "public_route_table" {
  vpc_id = aws_vpc.vpc.id
  tags   = { Name = "drawbridge-${var.cluster_name}-public" }
}

resource "aws_route_table_association" "public_subnet_routes" {
  subnet_id      = aws_subnet.public_subnet.id
  route_table_id = aws_route_table.public_route_table.id
}

resource "aws_route" "public_default_route" {
  route_table_id         = aws_route_table.public_route_table.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.internet_gateway.id
  depends_on             = [aws_internet_gateway_attachment.internet_gateway_attachment]
}

resource "aws_subnet" "private_subnet" {
  vpc_id                  = aws_vpc.vpc.id
  cidr_block              = var.private_subnet_cidr
  availability_zone       = aws_subnet.public_subnet.availability_zone
  map_public_ip_on_launch = false
  tags                    = { Name = "drawbridge-${var.cluster_name}-private" }
}

resource "aws_route_table" "private_route_table" {
  vpc_id = aws_vpc.vpc.id
  tags   = { Name = "drawbridge-${var.cluster_name}-private" }
}

resource "aws_route_table_association" "private_subnet_routes" {
  subnet_id      = aws_subnet.private_subnet.id
  route_table_id = aws_route_table.private_route_table.id
}

resource "aws_vpc_endpoint" "s3_endpoint" {
  vpc_id            = aws_vpc.vpc.id
  vpc_endpoint_type = "Gateway"
  service_name      = "com.amazonaws.${data.aws_region.here.region}.s3"
  route_table_ids   = [aws_route_table.private_route_table.id]

  policy = templatefile("${path.module}/../../policies/endpoint.json", {
    Partition    = data.aws_partition.here.partition
    BackupBucket = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
    Cluster      = var.cluster_name
    Account      = data.aws_caller_identity.here.account_id
    BoxRole      = "drawbridge-${var.cluster_name}-jumpbox"
    StateBucket  = "drawbridge-${var.cluster_name}-state-${data.aws_caller_identity.here.account_id}"
    CreateRole   = "drawbridge-${var.cluster_name}-create"
  })
}

resource "aws_network_acl" "private_acl" {
  vpc_id = aws_vpc.vpc.id
  tags   = { Name = "drawbridge-${var.cluster_name}-private" }
}

resource "aws_network_acl_association" "private_subnet_acl" {
  subnet_id      = aws_subnet.private_subnet.id
  network_acl_id = aws_network_acl.private_acl.id
}

resource "aws_network_acl_rule" "private_acl_to_s3" {
  network_acl_id = aws_network_acl.private_acl.id
  egress         = true
  rule_number    = 100
  rule_action    = "allow"
  protocol       = 6
  cidr_block     = "0.0.0.0/0"
  from_port      = 443
  to_port        = 443
}

resource "aws_network_acl_rule" "private_acl_from_s3" {
  network_acl_id = aws_network_acl.private_acl.id
  egress         = false
  rule_number    = 100
  rule_action    = "allow"
  protocol       = 6
  cidr_block     = "0.0.0.0/0"
  from_port      = 32768
  to_port        = 60999
}

resource "aws_network_acl_rule" "private_acl_not_to_vpc" {
  network_acl_id = aws_network_acl.private_acl.id
  egress         = true
  rule_number    = 90
  rule_action    = "deny"
  protocol       = -1
  cidr_block     = var.vpc_cidr
}

resource "aws_network_acl_rule" "private_acl_not_from_vpc" {
  network_acl_id = aws_network_acl.private_acl.id
  egress         = false
  rule_number    = 90
  rule_action    = "deny"
  protocol       = -1
  cidr_block     = var.vpc_cidr
}

resource "aws_route53_resolver_firewall_domain_list" "bucket_names" {
  name = "drawbridge-${var.cluster_name}-buckets"

  domains = [
    "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}.s3.${data.aws_region.here.region}.${data.aws_partition.here.dns_suffix}",
    "drawbridge-${var.cluster_name}-state-${data.aws_caller_identity.here.account_id}.s3.${data.aws_region.here.region}.${data.aws_partition.here.dns_suffix}",
  ]
}

resource "aws_route53_resolver_firewall_domain_list" "every_name" {
  name    = "drawbridge-${var.cluster_name}-every"
  domains = ["*"]
}

resource "aws_route53_resolver_firewall_rule_group" "dns_firewall" {
  name = "drawbridge-${var.cluster_name}"
}

resource "aws_route53_resolver_firewall_rule" "dns_firewall_rule_10" {
  name                               = "drawbridge-${var.cluster_name}"
  firewall_rule_group_id             = aws_route53_resolver_firewall_rule_group.dns_firewall.id
  firewall_domain_list_id            = aws_route53_resolver_firewall_domain_list.bucket_names.id
  priority                           = 10
  action                             = "ALLOW"
  firewall_domain_redirection_action = "TRUST_REDIRECTION_DOMAIN"
}

resource "aws_route53_resolver_firewall_rule" "dns_firewall_rule_20" {
  name                    = "drawbridge-${var.cluster_name}"
  firewall_rule_group_id  = aws_route53_resolver_firewall_rule_group.dns_firewall.id
  firewall_domain_list_id = aws_route53_resolver_firewall_domain_list.every_name.id
  priority                = 20
  action                  = "BLOCK"
  block_response          = "NXDOMAIN"
}

resource "aws_route53_resolver_firewall_rule_group_association" "dns_firewall_of_vpc" {
  name                   = "drawbridge-${var.cluster_name}"
  firewall_rule_group_id = aws_route53_resolver_firewall_rule_group.dns_firewall.id
  vpc_id                 = aws_vpc.vpc.id
  priority               = 101
}

resource "aws_security_group" "private_security_group" {
  name        = "drawbridge-${var.cluster_name}-private"
  description = "The private side of boxes, to S3 and nowhere else"
  vpc_id      = aws_vpc.vpc.id
  tags        = { Name = "drawbridge-${var.cluster_name}-private" }

  egress {
    protocol    = "tcp"
    from_port   = 443
    to_port     = 443
    description = "S3, the only thing that the private subnet has a route to"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_kms_key" "backup_key" {
  count                              = local.uses_key ? 1 : 0
  description                        = "Backups of ${var.cluster_name}"
  enable_key_rotation                = true
  deletion_window_in_days            = 30
  bypass_policy_lockout_safety_check = true

  policy = templatefile("${path.module}/../../policies/backup-key.json", {
    Partition  = data.aws_partition.here.partition
    Account    = data.aws_caller_identity.here.account_id
    BreakGlass = var.break_glass_arn
    Deployer   = var.deployer_arn
  })

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "backup_key_alias" {
  count         = local.uses_key ? 1 : 0
  name          = "alias/drawbridge-${var.cluster_name}-backup"
  target_key_id = one(aws_kms_key.backup_key[*].key_id)
}

resource "aws_s3_bucket" "backup_bucket" {
  bucket              = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
  object_lock_enabled = local.locks ? true : null
  depends_on          = [aws_lambda_permission.cleanup_from_backup_bucket]

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_public_access_block" "backup_bucket_access" {
  bucket                  = aws_s3_bucket.backup_bucket.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "backup_bucket_ownership" {
  bucket = aws_s3_bucket.backup_bucket.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "backup_bucket_encryption" {
  bucket = aws_s3_bucket.backup_bucket.id

  dynamic "rule" {
    for_each = local.uses_key ? [1] : []

    content {
      bucket_key_enabled = true

      apply_server_side_encryption_by_default {
        sse_algorithm     = "aws:kms"
        kms_master_key_id = one(aws_kms_key.backup_key[*].arn)
      }
    }
  }

  dynamic "rule" {
    for_each = !local.uses_key ? [1] : []

    content {
      apply_server_side_encryption_by_default {
        sse_algorithm = "AES256"
      }
    }
  }
}

resource "aws_s3_bucket_versioning" "backup_bucket_versioning" {
  count  = local.locks ? 1 : 0
  bucket = aws_s3_bucket.backup_bucket.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "backup_bucket_lock" {
  count               = local.locks ? 1 : 0
  bucket              = aws_s3_bucket.backup_bucket.id
  object_lock_enabled = "Enabled"

  rule {
    default_retention {
      mode = "COMPLIANCE"
      days = var.object_lock_days
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "backup_bucket_lifecycle" {
  bucket = aws_s3_bucket.backup_bucket.id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  rule {
    id     = "ended"
    status = "Enabled"

    filter {
      prefix = "clusters/${var.cluster_name}/ended/"
    }

    expiration {
      days = 7
    }
  }

  dynamic "rule" {
    for_each = local.expires ? [1] : []

    content {
      id     = "backups"
      status = "Enabled"

      filter {
        prefix = "clusters/${var.cluster_name}/"
      }

      expiration {
        days = var.expire_days
      }
    }
  }

  dynamic "rule" {
    for_each = local.locks ? [1] : []

    content {
      id     = "old-versions"
      status = "Enabled"

      filter {
        prefix = "clusters/${var.cluster_name}/"
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
        prefix = "clusters/${var.cluster_name}/"
      }

      expiration {
        expired_object_delete_marker = true
      }
    }
  }
}

resource "aws_s3_bucket_notification" "backup_bucket_notification" {
  bucket      = aws_s3_bucket.backup_bucket.id
  eventbridge = true

  lambda_function {
    lambda_function_arn = aws_lambda_function.marker_function.arn
    events              = ["s3:ObjectCreated:*"]
    filter_prefix       = "clusters/${var.cluster_name}/ended/"
  }
}

resource "aws_s3_bucket_policy" "backup_bucket_policy" {
  bucket = aws_s3_bucket.backup_bucket.id

  policy = templatefile("${path.module}/../../policies/backup-bucket.json", {
    Partition       = data.aws_partition.here.partition
    BackupBucket    = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
    Account         = data.aws_caller_identity.here.account_id
    BoxRole         = "drawbridge-${var.cluster_name}-jumpbox"
    S3Endpoint      = aws_vpc_endpoint.s3_endpoint.id
    LockDays        = var.object_lock_days
    Encryption      = local.uses_key ? "aws:kms" : "AES256"
    BackupKeyOrNone = local.uses_key ? one(aws_kms_key.backup_key[*].arn) : "none"
    Deployer        = var.deployer_arn
  })
}

resource "aws_s3_bucket" "state_bucket" {
  bucket = "drawbridge-${var.cluster_name}-state-${data.aws_caller_identity.here.account_id}"

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_public_access_block" "state_bucket_access" {
  bucket                  = aws_s3_bucket.state_bucket.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "state_bucket_ownership" {
  bucket = aws_s3_bucket.state_bucket.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state_bucket_encryption" {
  bucket = aws_s3_bucket.state_bucket.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "state_bucket_lifecycle" {
  bucket = aws_s3_bucket.state_bucket.id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  rule {
    id     = "baselines"
    status = "Enabled"

    filter {
      prefix = "baselines/"
    }

    expiration {
      days = 400
    }
  }

  rule {
    id     = "days"
    status = "Enabled"

    filter {
      prefix = "days/"
    }

    expiration {
      days = 2
    }
  }
}

resource "aws_s3_bucket_policy" "state_bucket_policy" {
  bucket = aws_s3_bucket.state_bucket.id

  policy = templatefile("${path.module}/../../policies/state-bucket.json", {
    Partition   = data.aws_partition.here.partition
    StateBucket = "drawbridge-${var.cluster_name}-state-${data.aws_caller_identity.here.account_id}"
    Account     = data.aws_caller_identity.here.account_id
    CreateRole  = "drawbridge-${var.cluster_name}-create"
    CleanupRole = "drawbridge-${var.cluster_name}-cleanup"
    PostureRole = "drawbridge-${var.cluster_name}-posture"
    S3Endpoint  = aws_vpc_endpoint.s3_endpoint.id
    Deployer    = var.deployer_arn
  })
}

resource "aws_kms_key" "receipt_signing_key" {
  count                    = local.makes_receipt_key ? 1 : 0
  description              = "Certifies the session keys of drawbridge-${var.cluster_name}"
  key_usage                = "SIGN_VERIFY"
  customer_master_key_spec = "ECC_NIST_P256"

  policy = templatefile("${path.module}/../../policies/receipt-key.json", {
    Partition  = data.aws_partition.here.partition
    Account    = data.aws_caller_identity.here.account_id
    CreateRole = "drawbridge-${var.cluster_name}-create"
  })

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_iam_role" "create_role" {
  name = "drawbridge-${var.cluster_name}-create"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Lambda"
        Effect    = "Allow"
        Principal = { Service = "lambda.amazonaws.com" }
        Action    = "sts:AssumeRole"
      },
    ]
  })
}

resource "aws_iam_role_policy" "create_role_create" {
  role = aws_iam_role.create_role.name
  name = "create"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      for s in jsondecode(replace(templatefile("${path.module}/../../policies/create.json", {
        Partition       = data.aws_partition.here.partition
        StateBucket     = "drawbridge-${var.cluster_name}-state-${data.aws_caller_identity.here.account_id}"
        BackupBucket    = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
        Cluster         = var.cluster_name
        Region          = data.aws_region.here.region
        Account         = data.aws_caller_identity.here.account_id
        Stack           = local.stack_name
        InstanceTypes   = "@InstanceTypes@"
        InstanceProfile = "drawbridge-${var.cluster_name}-jumpbox"
        Image           = nonsensitive(data.aws_ssm_parameter.image_id.value)
        PublicSubnet    = aws_subnet.public_subnet.id
        BoxRole         = "drawbridge-${var.cluster_name}-jumpbox"
        Vpc             = aws_vpc.vpc.id
        PrivateSubnet   = aws_subnet.private_subnet.id
        PrivateGroup    = aws_security_group.private_security_group.id
        ReceiptKey      = coalesce(one(aws_kms_key.receipt_signing_key[*].arn), "none")
        CreateFunction  = "drawbridge-${var.cluster_name}-create"
      }), "\"@InstanceTypes@\"", jsonencode(var.instance_types))).Statement : s if s.Sid != "CertifySessions" || local.makes_receipt_key
    ]
  })
}

resource "aws_iam_role" "cleanup_role" {
  name = "drawbridge-${var.cluster_name}-cleanup"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Lambda"
        Effect    = "Allow"
        Principal = { Service = "lambda.amazonaws.com" }
        Action    = "sts:AssumeRole"
      },
    ]
  })
}

resource "aws_iam_role_policy" "cleanup_role_cleanup" {
  role = aws_iam_role.cleanup_role.name
  name = "cleanup"

  policy = templatefile("${path.module}/../../policies/cleanup.json", {
    Partition       = data.aws_partition.here.partition
    StateBucket     = "drawbridge-${var.cluster_name}-state-${data.aws_caller_identity.here.account_id}"
    BackupBucket    = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
    Cluster         = var.cluster_name
    Region          = data.aws_region.here.region
    Account         = data.aws_caller_identity.here.account_id
    Stack           = local.stack_name
    CleanupFunction = "drawbridge-${var.cluster_name}-cleanup"
    SweepFunction   = "drawbridge-${var.cluster_name}-sweep"
    MarkerFunction  = "drawbridge-${var.cluster_name}-marker"
  })
}

resource "aws_iam_role" "posture_role" {
  name = "drawbridge-${var.cluster_name}-posture"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Lambda"
        Effect    = "Allow"
        Principal = { Service = "lambda.amazonaws.com" }
        Action    = "sts:AssumeRole"
      },
    ]
  })
}

resource "aws_iam_role_policy" "posture_role_posture" {
  role = aws_iam_role.posture_role.name
  name = "posture"

  policy = templatefile("${path.module}/../../policies/posture.json", {
    Partition       = data.aws_partition.here.partition
    BackupBucket    = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
    StateBucket     = "drawbridge-${var.cluster_name}-state-${data.aws_caller_identity.here.account_id}"
    Account         = data.aws_caller_identity.here.account_id
    CreateRole      = "drawbridge-${var.cluster_name}-create"
    CleanupRole     = "drawbridge-${var.cluster_name}-cleanup"
    PostureRole     = "drawbridge-${var.cluster_name}-posture"
    BoxRole         = "drawbridge-${var.cluster_name}-jumpbox"
    Operator        = "drawbridge-${var.cluster_name}-operator"
    InstanceProfile = "drawbridge-${var.cluster_name}-jumpbox"
    Region          = data.aws_region.here.region
    CreateFunction  = "drawbridge-${var.cluster_name}-create"
    CleanupFunction = "drawbridge-${var.cluster_name}-cleanup"
    SweepFunction   = "drawbridge-${var.cluster_name}-sweep"
    MarkerFunction  = "drawbridge-${var.cluster_name}-marker"
    PostureFunction = "drawbridge-${var.cluster_name}-posture"
    SweepRule       = "drawbridge-${var.cluster_name}-sweep"
    EndedRule       = "drawbridge-${var.cluster_name}-instance-ended"
  })
}

resource "aws_iam_role" "jump_box_role" {
  name = "drawbridge-${var.cluster_name}-jumpbox"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Instances"
        Effect    = "Allow"
        Principal = { Service = "ec2.amazonaws.com" }
        Action    = "sts:AssumeRole"
      },
    ]
  })
}

resource "aws_iam_role_policy" "jump_box_role_jumpbox" {
  role = aws_iam_role.jump_box_role.name
  name = "jumpbox"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      for s in jsondecode(templatefile("${path.module}/../../policies/jumpbox.json", {
        Partition    = data.aws_partition.here.partition
        BackupBucket = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
        Cluster      = var.cluster_name
        BackupKeyArn = coalesce(one(aws_kms_key.backup_key[*].arn), "none")
        Region       = data.aws_region.here.region
      })).Statement : s if s.Sid != "EncryptBackups" || local.uses_key
    ]
  })
}

resource "aws_iam_instance_profile" "jump_box_profile" {
  name = "drawbridge-${var.cluster_name}-jumpbox"
  role = aws_iam_role.jump_box_role.name
}

resource "aws_iam_user" "operator_user" {
  name = "drawbridge-${var.cluster_name}-operator"
}

resource "aws_iam_policy" "operator_policy" {
  name        = "drawbridge-${var.cluster_name}-operator"
  description = "What a cluster may do in AWS, all of it"

  policy = templatefile("${path.module}/../../policies/operator.json", {
    Partition       = data.aws_partition.here.partition
    Region          = data.aws_region.here.region
    Account         = data.aws_caller_identity.here.account_id
    CreateFunction  = "drawbridge-${var.cluster_name}-create"
    CleanupFunction = "drawbridge-${var.cluster_name}-cleanup"
    PostureFunction = "drawbridge-${var.cluster_name}-posture"
  })
}

resource "aws_iam_user_policy_attachment" "operator_policy_user_0" {
  user       = aws_iam_user.operator_user.name
  policy_arn = aws_iam_policy.operator_policy.arn
}

resource "aws_iam_openid_connect_provider" "oidc_provider" {
  count          = local.makes_provider ? 1 : 0
  url            = "https://${var.oidc_issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "operator_role" {
  count = local.knows_tokens ? 1 : 0
  name  = "drawbridge-${var.cluster_name}-operator"

  assume_role_policy = templatefile("${path.module}/../../policies/operator-web-identity.json", {
    Partition         = data.aws_partition.here.partition
    Account           = data.aws_caller_identity.here.account_id
    OidcIssuer        = var.oidc_issuer
    OperatorNamespace = var.operator_namespace
    OperatorAccount   = var.operator_account
  })
}

resource "aws_iam_role_policy_attachment" "operator_role_managed_0" {
  count      = local.knows_tokens ? 1 : 0
  role       = one(aws_iam_role.operator_role[*].name)
  policy_arn = aws_iam_policy.operator_policy.arn
}

resource "aws_iam_role" "operator_pod_role" {
  count = local.is_eks ? 1 : 0
  name  = "drawbridge-${var.cluster_name}-operator-pod"

  assume_role_policy = templatefile("${path.module}/../../policies/operator-pod-identity.json", {
    Partition         = data.aws_partition.here.partition
    Region            = data.aws_region.here.region
    Account           = data.aws_caller_identity.here.account_id
    EksCluster        = var.eks_cluster
    OperatorNamespace = var.operator_namespace
    OperatorAccount   = var.operator_account
  })
}

resource "aws_iam_role_policy_attachment" "operator_pod_role_managed_0" {
  count      = local.is_eks ? 1 : 0
  role       = one(aws_iam_role.operator_pod_role[*].name)
  policy_arn = aws_iam_policy.operator_policy.arn
}

resource "aws_eks_pod_identity_association" "operator_pod_identity" {
  count           = local.is_eks ? 1 : 0
  cluster_name    = var.eks_cluster
  namespace       = var.operator_namespace
  service_account = var.operator_account
  role_arn        = one(aws_iam_role.operator_pod_role[*].arn)
}

resource "aws_cloudwatch_log_group" "create_log" {
  name              = "/aws/lambda/drawbridge-${var.cluster_name}-create"
  retention_in_days = var.log_retention_days
}

resource "aws_cloudwatch_log_group" "cleanup_log" {
  name              = "/aws/lambda/drawbridge-${var.cluster_name}-cleanup"
  retention_in_days = var.log_retention_days
}

resource "aws_cloudwatch_log_group" "posture_log" {
  name              = "/aws/lambda/drawbridge-${var.cluster_name}-posture"
  retention_in_days = var.log_retention_days
}

resource "aws_cloudwatch_log_group" "sweep_log" {
  name              = "/aws/lambda/drawbridge-${var.cluster_name}-sweep"
  retention_in_days = var.log_retention_days
}

resource "aws_cloudwatch_log_group" "marker_log" {
  name              = "/aws/lambda/drawbridge-${var.cluster_name}-marker"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "create_function" {
  function_name                  = "drawbridge-${var.cluster_name}-create"
  description                    = "Lowers the bridge, asked by the cluster"
  runtime                        = "provided.al2023"
  architectures                  = ["x86_64"]
  handler                        = "bootstrap"
  role                           = aws_iam_role.create_role.arn
  memory_size                    = 512
  timeout                        = 60
  reserved_concurrent_executions = local.reserves_concurrency ? var.create_concurrency : null
  s3_bucket                      = var.code_bucket
  s3_key                         = var.create_code_key
  depends_on                     = [aws_cloudwatch_log_group.create_log]

  environment {
    variables = {
      DRAWBRIDGE_CLUSTER                   = var.cluster_name
      DRAWBRIDGE_STACK                     = local.stack_name
      DRAWBRIDGE_BACKUP_BUCKET             = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
      DRAWBRIDGE_STATE_BUCKET              = aws_s3_bucket.state_bucket.id
      DRAWBRIDGE_VPC_ID                    = aws_vpc.vpc.id
      DRAWBRIDGE_PUBLIC_SUBNET_ID          = aws_subnet.public_subnet.id
      DRAWBRIDGE_PRIVATE_SUBNET_ID         = aws_subnet.private_subnet.id
      DRAWBRIDGE_PRIVATE_SECURITY_GROUP_ID = aws_security_group.private_security_group.id
      DRAWBRIDGE_INSTANCE_PROFILE_ARN      = aws_iam_instance_profile.jump_box_profile.arn
      DRAWBRIDGE_IMAGE_ID                  = nonsensitive(data.aws_ssm_parameter.image_id.value)
      DRAWBRIDGE_INSTANCE_TYPES            = join(",", var.instance_types)
      DRAWBRIDGE_CLIENT_CIDRS              = join(",", var.client_cidrs)
      DRAWBRIDGE_MAX_BOXES                 = var.max_boxes
      DRAWBRIDGE_MAX_SESSIONS_PER_DAY      = var.max_sessions_per_day
      DRAWBRIDGE_SESSION_SECONDS           = var.session_seconds
      DRAWBRIDGE_GRACE_SECONDS             = var.grace_seconds
      DRAWBRIDGE_EXTRA_CA                  = var.extra_ca
      DRAWBRIDGE_MAX_SESSION_BYTES         = var.max_session_bytes
      DRAWBRIDGE_CHECKS                    = var.checks
      DRAWBRIDGE_RECEIPT_KEY_ARN           = local.makes_receipt_key ? one(aws_kms_key.receipt_signing_key[*].arn) : null
      DRAWBRIDGE_OBJECT_LOCK_DAYS          = var.object_lock_days
    }
  }
}

resource "aws_lambda_function" "cleanup_function" {
  function_name                  = "drawbridge-${var.cluster_name}-cleanup"
  description                    = "Raises the bridge, asked by the cluster"
  runtime                        = "provided.al2023"
  architectures                  = ["x86_64"]
  handler                        = "bootstrap"
  role                           = aws_iam_role.cleanup_role.arn
  memory_size                    = 512
  timeout                        = 120
  reserved_concurrent_executions = local.reserves_concurrency ? var.cleanup_concurrency : null
  s3_bucket                      = var.code_bucket
  s3_key                         = var.cleanup_code_key
  depends_on                     = [aws_cloudwatch_log_group.cleanup_log]

  environment {
    variables = {
      DRAWBRIDGE_CLUSTER       = var.cluster_name
      DRAWBRIDGE_STACK         = local.stack_name
      DRAWBRIDGE_BACKUP_BUCKET = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
      DRAWBRIDGE_STATE_BUCKET  = aws_s3_bucket.state_bucket.id
      DRAWBRIDGE_GRACE_SECONDS = var.grace_seconds
      DRAWBRIDGE_EXTRA_CA      = var.extra_ca
      DRAWBRIDGE_SERVES        = "requests"
    }
  }
}

resource "aws_lambda_function" "sweep_function" {
  function_name                  = "drawbridge-${var.cluster_name}-sweep"
  description                    = "Raises the bridge, asked by EC2's events and the clock"
  runtime                        = "provided.al2023"
  architectures                  = ["x86_64"]
  handler                        = "bootstrap"
  role                           = aws_iam_role.cleanup_role.arn
  memory_size                    = 512
  timeout                        = 120
  reserved_concurrent_executions = local.reserves_concurrency ? var.cleanup_concurrency : null
  s3_bucket                      = var.code_bucket
  s3_key                         = var.cleanup_code_key
  depends_on                     = [aws_cloudwatch_log_group.sweep_log]

  environment {
    variables = {
      DRAWBRIDGE_CLUSTER       = var.cluster_name
      DRAWBRIDGE_STACK         = local.stack_name
      DRAWBRIDGE_BACKUP_BUCKET = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
      DRAWBRIDGE_STATE_BUCKET  = aws_s3_bucket.state_bucket.id
      DRAWBRIDGE_GRACE_SECONDS = var.grace_seconds
      DRAWBRIDGE_EXTRA_CA      = var.extra_ca
      DRAWBRIDGE_SERVES        = "events"
    }
  }
}

resource "aws_lambda_function" "marker_function" {
  function_name                  = "drawbridge-${var.cluster_name}-marker"
  description                    = "Raises the bridge, asked by the box's marker"
  runtime                        = "provided.al2023"
  architectures                  = ["x86_64"]
  handler                        = "bootstrap"
  role                           = aws_iam_role.cleanup_role.arn
  memory_size                    = 512
  timeout                        = 120
  reserved_concurrent_executions = local.reserves_concurrency ? 2 : null
  s3_bucket                      = var.code_bucket
  s3_key                         = var.cleanup_code_key
  depends_on                     = [aws_cloudwatch_log_group.marker_log]

  environment {
    variables = {
      DRAWBRIDGE_CLUSTER       = var.cluster_name
      DRAWBRIDGE_STACK         = local.stack_name
      DRAWBRIDGE_BACKUP_BUCKET = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
      DRAWBRIDGE_STATE_BUCKET  = aws_s3_bucket.state_bucket.id
      DRAWBRIDGE_GRACE_SECONDS = var.grace_seconds
      DRAWBRIDGE_EXTRA_CA      = var.extra_ca
      DRAWBRIDGE_SERVES        = "markers"
    }
  }
}

resource "aws_lambda_function" "posture_function" {
  function_name                  = "drawbridge-${var.cluster_name}-posture"
  description                    = "Says whether the stack is what was shipped, asked by the cluster"
  runtime                        = "provided.al2023"
  architectures                  = ["x86_64"]
  handler                        = "bootstrap"
  role                           = aws_iam_role.posture_role.arn
  memory_size                    = 512
  timeout                        = 30
  reserved_concurrent_executions = local.reserves_concurrency ? var.posture_concurrency : null
  s3_bucket                      = var.code_bucket
  s3_key                         = var.posture_code_key
  depends_on                     = [aws_cloudwatch_log_group.posture_log]

  environment {
    variables = {
      DRAWBRIDGE_EXTRA_CA                = var.extra_ca
      DRAWBRIDGE_CREATE_CODE_SHA256      = var.create_code_sha256
      DRAWBRIDGE_CLEANUP_CODE_SHA256     = var.cleanup_code_sha256
      DRAWBRIDGE_CLIENT_CIDRS            = join(",", var.client_cidrs)
      DRAWBRIDGE_PARAM_Checks            = var.checks
      DRAWBRIDGE_NAME_Partition          = data.aws_partition.here.partition
      DRAWBRIDGE_NAME_Region             = data.aws_region.here.region
      DRAWBRIDGE_NAME_Account            = data.aws_caller_identity.here.account_id
      DRAWBRIDGE_NAME_Stack              = local.stack_name
      DRAWBRIDGE_NAME_Cluster            = var.cluster_name
      DRAWBRIDGE_NAME_BackupBucket       = "drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
      DRAWBRIDGE_NAME_StateBucket        = "drawbridge-${var.cluster_name}-state-${data.aws_caller_identity.here.account_id}"
      DRAWBRIDGE_NAME_CreateFunction     = "drawbridge-${var.cluster_name}-create"
      DRAWBRIDGE_NAME_CleanupFunction    = "drawbridge-${var.cluster_name}-cleanup"
      DRAWBRIDGE_NAME_PostureFunction    = "drawbridge-${var.cluster_name}-posture"
      DRAWBRIDGE_NAME_SweepFunction      = "drawbridge-${var.cluster_name}-sweep"
      DRAWBRIDGE_NAME_MarkerFunction     = "drawbridge-${var.cluster_name}-marker"
      DRAWBRIDGE_NAME_CreateRole         = "drawbridge-${var.cluster_name}-create"
      DRAWBRIDGE_NAME_CleanupRole        = "drawbridge-${var.cluster_name}-cleanup"
      DRAWBRIDGE_NAME_PostureRole        = "drawbridge-${var.cluster_name}-posture"
      DRAWBRIDGE_NAME_BoxRole            = "drawbridge-${var.cluster_name}-jumpbox"
      DRAWBRIDGE_NAME_InstanceProfile    = "drawbridge-${var.cluster_name}-jumpbox"
      DRAWBRIDGE_NAME_InstanceTypes      = join(",", var.instance_types)
      DRAWBRIDGE_NAME_Image              = nonsensitive(data.aws_ssm_parameter.image_id.value)
      DRAWBRIDGE_NAME_Vpc                = aws_vpc.vpc.id
      DRAWBRIDGE_NAME_PublicSubnet       = aws_subnet.public_subnet.id
      DRAWBRIDGE_NAME_PrivateSubnet      = aws_subnet.private_subnet.id
      DRAWBRIDGE_NAME_PrivateGroup       = aws_security_group.private_security_group.id
      DRAWBRIDGE_NAME_S3Endpoint         = aws_vpc_endpoint.s3_endpoint.id
      DRAWBRIDGE_NAME_OidcIssuer         = var.oidc_issuer
      DRAWBRIDGE_NAME_EksCluster         = var.eks_cluster
      DRAWBRIDGE_NAME_OperatorNamespace  = var.operator_namespace
      DRAWBRIDGE_NAME_OperatorAccount    = var.operator_account
      DRAWBRIDGE_NAME_ReceiptKey         = local.makes_receipt_key ? one(aws_kms_key.receipt_signing_key[*].arn) : ""
      DRAWBRIDGE_NAME_Operator           = "drawbridge-${var.cluster_name}-operator"
      DRAWBRIDGE_NAME_SweepRule          = "drawbridge-${var.cluster_name}-sweep"
      DRAWBRIDGE_NAME_EndedRule          = "drawbridge-${var.cluster_name}-instance-ended"
      DRAWBRIDGE_NAME_Deployer           = var.deployer_arn
      DRAWBRIDGE_NAME_BreakGlass         = var.break_glass_arn
      DRAWBRIDGE_NAME_LockDays           = var.object_lock_days
      DRAWBRIDGE_NAME_Encryption         = local.uses_key ? "aws:kms" : "AES256"
      DRAWBRIDGE_NAME_BackupKeyArn       = local.uses_key ? one(aws_kms_key.backup_key[*].arn) : ""
      DRAWBRIDGE_NAME_BackupKeyOrNone    = local.uses_key ? one(aws_kms_key.backup_key[*].arn) : "none"
      DRAWBRIDGE_PARAM_BreakGlassArn     = var.break_glass_arn
      DRAWBRIDGE_PARAM_ClusterName       = var.cluster_name
      DRAWBRIDGE_PARAM_DeployerArn       = var.deployer_arn
      DRAWBRIDGE_PARAM_EksCluster        = var.eks_cluster
      DRAWBRIDGE_PARAM_EncryptionKey     = var.encryption_key
      DRAWBRIDGE_PARAM_ExpireDays        = var.expire_days
      DRAWBRIDGE_PARAM_ObjectLockDays    = var.object_lock_days
      DRAWBRIDGE_PARAM_OidcIssuer        = var.oidc_issuer
      DRAWBRIDGE_PARAM_OperatorAccount   = var.operator_account
      DRAWBRIDGE_PARAM_OperatorNamespace = var.operator_namespace
      DRAWBRIDGE_PARAM_ReceiptKey        = var.receipt_key
      DRAWBRIDGE_PARAM_SweepSchedule     = var.sweep_schedule
      DRAWBRIDGE_PARAM_VpcCidr           = var.vpc_cidr
      DRAWBRIDGE_OMITTED = join(",", [
        local.makes_receipt_key ? "" : "create/CertifySessions",
        local.uses_key ? "" : "jumpbox/EncryptBackups",
      ])
    }
  }
}

resource "aws_lambda_function_event_invoke_config" "create_queue" {
  function_name                = aws_lambda_function.create_function.function_name
  qualifier                    = "$LATEST"
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}

resource "aws_lambda_function_event_invoke_config" "cleanup_queue" {
  function_name                = aws_lambda_function.cleanup_function.function_name
  qualifier                    = "$LATEST"
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}

resource "aws_lambda_function_event_invoke_config" "posture_queue" {
  function_name                = aws_lambda_function.posture_function.function_name
  qualifier                    = "$LATEST"
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}

resource "aws_lambda_permission" "cleanup_from_backup_bucket" {
  function_name  = aws_lambda_function.marker_function.function_name
  action         = "lambda:InvokeFunction"
  principal      = "s3.amazonaws.com"
  source_account = data.aws_caller_identity.here.account_id
  source_arn     = "arn:${data.aws_partition.here.partition}:s3:::drawbridge-${var.cluster_name}-backup-${data.aws_caller_identity.here.account_id}"
}

resource "aws_cloudwatch_event_rule" "instance_ended" {
  name        = "drawbridge-${var.cluster_name}-instance-ended"
  description = "A box that went down by itself is cleaned up after"

  event_pattern = jsonencode({
    source        = ["aws.ec2"]
    "detail-type" = ["EC2 Instance State-change Notification"]
    detail        = { state = ["stopped", "terminated"] }
  })
}

resource "aws_cloudwatch_event_target" "instance_ended_sweep" {
  rule      = aws_cloudwatch_event_rule.instance_ended.name
  target_id = "sweep"
  arn       = aws_lambda_function.sweep_function.arn
}

resource "aws_lambda_permission" "cleanup_from_instance_ended" {
  function_name = aws_lambda_function.sweep_function.function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.instance_ended.arn
}

resource "aws_cloudwatch_event_rule" "sweep" {
  name                = "drawbridge-${var.cluster_name}-sweep"
  description         = "Whatever every other ending missed"
  schedule_expression = var.sweep_schedule
}

resource "aws_cloudwatch_event_target" "sweep_sweep" {
  rule      = aws_cloudwatch_event_rule.sweep.name
  target_id = "sweep"
  arn       = aws_lambda_function.sweep_function.arn
  input     = "{\"sweep\":true}"
}

resource "aws_lambda_permission" "cleanup_from_sweep" {
  function_name = aws_lambda_function.sweep_function.function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.sweep.arn
}
