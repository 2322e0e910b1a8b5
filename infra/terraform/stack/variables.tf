# Written by infra/forms/write.py from infra/template.yaml and infra/policies/; change those.

variable "cluster_name" {
  type        = string
  description = "Names the cluster. Its backups lie under clusters/<name>/. Unique in the account."

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", var.cluster_name))
    error_message = "cluster_name: expected 1 to 32 of a-z, 0-9 and '-', neither first nor last a '-'."
  }
}

variable "client_cidrs" {
  type        = list(string)
  description = "The addresses that the cluster's connections come from, as CIDRs. Only these reach a box's port 22. A prefix length of 0 is refused and every other taken; two networks of /1 are everybody."

  validation {
    condition     = alltrue([for one in var.client_cidrs : can(regex("^\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}/([1-9]|[12]\\d|3[0-2])$", one))])
    error_message = "client_cidrs: expected IPv4 CIDRs, such as 192.0.2.10/32, with a prefix length of 1 to 32."
  }
}

variable "code_bucket" {
  type        = string
  description = "The bucket that holds the functions' code, in this region."
}

variable "create_code_key" {
  type        = string
  description = "The key of create.zip in the code bucket."
}

variable "cleanup_code_key" {
  type        = string
  description = "The key of cleanup.zip in the code bucket."
}

variable "posture_code_key" {
  type        = string
  description = "The key of posture.zip in the code bucket."
}

variable "create_code_sha256" {
  type        = string
  description = "What create must run, as `openssl dgst -sha256 -binary create.zip | base64` prints it."

  validation {
    condition     = can(regex("^[A-Za-z0-9+/]{43}=$", var.create_code_sha256))
    error_message = "create_code_sha256: expected a SHA-256 digest in base64."
  }
}

variable "cleanup_code_sha256" {
  type        = string
  description = "The same of cleanup.zip."

  validation {
    condition     = can(regex("^[A-Za-z0-9+/]{43}=$", var.cleanup_code_sha256))
    error_message = "cleanup_code_sha256: expected a SHA-256 digest in base64."
  }
}

variable "vpc_cidr" {
  type    = string
  default = "10.0.0.0/16"
}

variable "public_subnet_cidr" {
  type    = string
  default = "10.0.1.0/24"
}

variable "private_subnet_cidr" {
  type    = string
  default = "10.0.2.0/24"
}

variable "availability_zone" {
  type        = string
  description = "Where both subnets lie. Empty for the region's first zone."
  default     = ""
}

variable "instance_types" {
  type        = list(string)
  description = "What a box may be, x86_64, tried in this order."
  default     = ["t3.small", "t3a.small"]
}

variable "image_id" {
  type        = string
  description = "The SSM parameter that names the boxes' image. Read when the stack is created or updated."
  default     = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}

variable "max_boxes" {
  type        = number
  description = "Boxes at once; 0 stops the stack."
  default     = 4

  validation {
    condition     = var.max_boxes >= 0
    error_message = "max_boxes: expected at least 0."
  }

  validation {
    condition     = var.max_boxes <= 100
    error_message = "max_boxes: expected at most 100."
  }
}

variable "max_sessions_per_day" {
  type        = number
  description = "Sessions that may be opened on one UTC day."
  default     = 1000

  validation {
    condition     = var.max_sessions_per_day >= 1
    error_message = "max_sessions_per_day: expected at least 1."
  }

  validation {
    condition     = var.max_sessions_per_day <= 100000
    error_message = "max_sessions_per_day: expected at most 100000."
  }
}

variable "session_seconds" {
  type        = number
  description = "How long a box may live."
  default     = 3600

  validation {
    condition     = var.session_seconds >= 120
    error_message = "session_seconds: expected at least 120."
  }

  validation {
    condition     = var.session_seconds <= 43200
    error_message = "session_seconds: expected at most 43200."
  }
}

variable "grace_seconds" {
  type        = number
  description = "How long after its deadline a session's remains may stand before the sweeper takes them."
  default     = 600

  validation {
    condition     = var.grace_seconds >= 0
    error_message = "grace_seconds: expected at least 0."
  }

  validation {
    condition     = var.grace_seconds <= 3600
    error_message = "grace_seconds: expected at most 3600."
  }
}

variable "max_session_bytes" {
  type        = number
  description = "Bytes that one session may store."
  default     = 53687091200

  validation {
    condition     = var.max_session_bytes >= 1
    error_message = "max_session_bytes: expected at least 1."
  }
}

variable "checks" {
  type        = string
  description = "What boxes check, as check=off|flag|reject and limit=number by commas (docs/checks.md). Empty for the defaults."
  default     = ""

  validation {
    condition     = length(var.checks) <= 4096
    error_message = "checks: expected at most 4096 characters."
  }
}

variable "sweep_schedule" {
  type        = string
  description = "When the sweeper looks for what was left behind."
  default     = "rate(5 minutes)"
}

variable "create_concurrency" {
  type        = number
  description = "Calls of create at once, at most. 0 in accounts that cannot reserve concurrency."
  default     = 20

  validation {
    condition     = var.create_concurrency >= 0
    error_message = "create_concurrency: expected at least 0."
  }

  validation {
    condition     = ((var.create_concurrency == 0) && (var.cleanup_concurrency == 0) && (var.posture_concurrency == 0)) || ((var.create_concurrency != 0) && (var.cleanup_concurrency != 0) && (var.posture_concurrency != 0))
    error_message = "Concurrency: CreateConcurrency, CleanupConcurrency and PostureConcurrency are all 0, or none is."
  }
}

variable "cleanup_concurrency" {
  type        = number
  description = "Concurrency kept for cleanup, and as much for the sweeper; 2 more for boxes' markers. 0 in accounts that cannot reserve it."
  default     = 5

  validation {
    condition     = var.cleanup_concurrency >= 0
    error_message = "cleanup_concurrency: expected at least 0."
  }

  validation {
    condition     = var.cleanup_concurrency != 1
    error_message = "Concurrency: CleanupConcurrency is not 1, which one long event would hold."
  }
}

variable "posture_concurrency" {
  type        = number
  description = "Calls of posture at once, at most. 0 in accounts that cannot reserve concurrency."
  default     = 2

  validation {
    condition     = var.posture_concurrency >= 0
    error_message = "posture_concurrency: expected at least 0."
  }
}

variable "log_retention_days" {
  type    = number
  default = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653], var.log_retention_days)
    error_message = "log_retention_days: expected one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653."
  }
}

variable "deployer_arn" {
  type        = string
  description = "Who besides CloudFormation may change the buckets' settings; a role's ARN, * allowed in it."
}

variable "break_glass_arn" {
  type        = string
  description = "Who may disable or delete the backup bucket's key; a role's ARN, * allowed in it."
  default     = "none"
}

variable "object_lock_days" {
  type        = number
  description = "Days for which nobody, root included, can delete a backup; 0 for no lock."
  default     = 0

  validation {
    condition     = var.object_lock_days >= 0
    error_message = "object_lock_days: expected at least 0."
  }

  validation {
    condition     = var.object_lock_days <= 3650
    error_message = "object_lock_days: expected at most 3650."
  }
}

variable "expire_days" {
  type        = number
  description = "Days after which backups go by themselves; 0 for never."
  default     = 0

  validation {
    condition     = var.expire_days >= 0
    error_message = "expire_days: expected at least 0."
  }

  validation {
    condition     = var.expire_days <= 36500
    error_message = "expire_days: expected at most 36500."
  }
}

variable "encryption_key" {
  type        = string
  description = "Whether the backup bucket has a KMS key of its own."
  default     = "no"

  validation {
    condition     = contains(["yes", "no"], var.encryption_key)
    error_message = "encryption_key: expected one of yes, no."
  }
}

variable "receipt_key" {
  type        = string
  description = "A KMS key (1 USD a month) that vouches for receipts."
  default     = "yes"

  validation {
    condition     = contains(["yes", "no"], var.receipt_key)
    error_message = "receipt_key: expected one of yes, no."
  }
}

variable "oidc_issuer" {
  type        = string
  description = "The issuer of the cluster's tokens, without https://. Makes a role that the operator assumes by its token."
  default     = ""

  validation {
    condition     = can(regex("^([a-z0-9].*)?$", var.oidc_issuer))
    error_message = "oidc_issuer: expected the issuer without https://."
  }
}

variable "make_oidc_provider" {
  type        = string
  description = "\"false\" where the account has an IAM OIDC provider for the issuer already."
  default     = "true"

  validation {
    condition     = contains(["true", "false"], var.make_oidc_provider)
    error_message = "make_oidc_provider: expected one of true, false."
  }
}

variable "eks_cluster" {
  type        = string
  description = "The EKS cluster's name. Makes a role and its association for EKS Pod Identity."
  default     = ""
}

variable "operator_namespace" {
  type    = string
  default = "drawbridge-system"
}

variable "operator_account" {
  type        = string
  description = "The operator's service account."
  default     = "drawbridge"
}

variable "extra_ca" {
  type        = string
  description = "CA certificates, PEM, that functions and boxes trust besides the system's. For private endpoints and tests."
  default     = ""

  validation {
    condition     = length(var.extra_ca) <= 2048
    error_message = "extra_ca: expected at most 2048 characters."
  }
}
