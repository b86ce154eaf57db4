# A target group of your own, followed by the function. The group stays as it is; let its owner ignore the function's tag
# (README.md, "The tag").
terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region of the database."
  type        = string
}

variable "target_group_arn" {
  description = "The group, of type ip."
  type        = string
}

variable "endpoint" {
  description = "What it shall be equal to, HOST:PORT."
  type        = string
}

variable "zip" {
  description = "Path of the function's zip."
  type        = string
}

variable "alarm_topic_arn" {
  description = "SNS topic that the alarms tell."
  type        = string
}

variable "first_sync" {
  description = "Whether an apply calls the function."
  type        = bool
  default     = true
}

module "function" {
  source = "../../modules/function"

  name    = "orders-tether"
  package = { file = var.zip }

  target_groups = {
    orders = { arn = var.target_group_arn, endpoints = [var.endpoint] }
  }

  # Both ways for events: the one may be late where the other is not.
  event_subscriptions = true

  alarm_topic_arns = [var.alarm_topic_arn]
  notify           = { topic_arn = var.alarm_topic_arn }
  first_sync       = var.first_sync

  tags = { service = "orders" }
}

output "function_name" {
  value = module.function.function_name
}

output "first_sync" {
  value = module.function.first_sync
}
