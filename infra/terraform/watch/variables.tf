# Written by infra/forms/write.py from infra/watch.yaml and infra/policies/; change those.

variable "cluster_name" {
  type        = string
  description = "As in the cluster's stack."

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", var.cluster_name))
    error_message = "cluster_name: expected 1 to 32 of a-z, 0-9 and '-', neither first nor last a '-'."
  }
}

variable "alarm_email" {
  type        = string
  description = "Who is told; empty for nobody yet. The address has to confirm."
  default     = ""
}

variable "silence_hours" {
  type        = number
  description = "Hours without a sealed manifest after which the alarm is raised."
  default     = 26

  validation {
    condition     = var.silence_hours >= 1
    error_message = "silence_hours: expected at least 1."
  }

  validation {
    condition     = var.silence_hours <= 168
    error_message = "silence_hours: expected at most 168."
  }
}

variable "silence_period_seconds" {
  type        = number
  description = "What SilenceHours counts. Other than 3600 only where a test cannot wait."
  default     = 3600

  validation {
    condition     = contains([60, 3600], var.silence_period_seconds)
    error_message = "silence_period_seconds: expected one of 60, 3600."
  }
}

variable "sweep_period_seconds" {
  type        = number
  description = "The sweeper's schedule in seconds, a multiple of 60; three of them without a sweep raise the alarm."
  default     = 300

  validation {
    condition     = var.sweep_period_seconds >= 60
    error_message = "sweep_period_seconds: expected at least 60."
  }

  validation {
    condition     = var.sweep_period_seconds <= 3600
    error_message = "sweep_period_seconds: expected at most 3600."
  }
}

variable "backup_key_arn" {
  type        = string
  description = "The output BackupKeyArn of the cluster's stack, if it has one."
  default     = "none"
}

variable "receipt_key_arn" {
  type        = string
  description = "The output ReceiptKeyArn of the cluster's stack, if it has one."
  default     = "none"
}

variable "data_events" {
  type        = string
  description = "Whether every request to an object of both buckets is recorded."
  default     = "yes"

  validation {
    condition     = contains(["yes", "no"], var.data_events)
    error_message = "data_events: expected one of yes, no."
  }
}

variable "management_events" {
  type        = string
  description = "Whether changes in the account are recorded too; \"no\" where another trail does so already."
  default     = "yes"

  validation {
    condition     = contains(["yes", "no"], var.management_events)
    error_message = "management_events: expected one of yes, no."
  }
}

variable "log_lock_days" {
  type        = number
  description = "Days for which nobody, root included, can delete a record; 0 for no lock."
  default     = 0

  validation {
    condition     = var.log_lock_days >= 0
    error_message = "log_lock_days: expected at least 0."
  }

  validation {
    condition     = var.log_lock_days <= 3650
    error_message = "log_lock_days: expected at most 3650."
  }
}

variable "log_expire_days" {
  type        = number
  description = "Days after which records go."
  default     = 400

  validation {
    condition     = var.log_expire_days >= 1
    error_message = "log_expire_days: expected at least 1."
  }

  validation {
    condition     = var.log_expire_days <= 36500
    error_message = "log_expire_days: expected at most 36500."
  }
}

variable "log_retention_days" {
  type        = number
  description = "Days for which the events behind the alarms are kept."
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653], var.log_retention_days)
    error_message = "log_retention_days: expected one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653."
  }
}

variable "deployer_arn" {
  type        = string
  description = "As in the cluster's stack."
}
