# One function for every target group that is tagged, in this account and region and in those of members; no list of groups is
# kept anywhere. Members send their events to its bus. Without members it is the function of one account and region.
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
  description = "Region of the function."
  type        = string
}

variable "organization_id" {
  description = "The organization whose accounts may send events."
  type        = string
}

variable "allow_endpoints" {
  description = "Patterns of the endpoints that tags in this account and region may name."
  type        = list(string)
}

variable "members" {
  description = "Other accounts and regions, where ../../../cloudformation/member.yaml is deployed: to begin with none, because its roles name that of the function."
  type = map(object({
    account         = string
    region          = string
    allow_endpoints = list(string)
  }))
  default = {}
}

variable "zip" {
  description = "Path of the function's zip."
  type        = string
}

variable "alarm_topic_arn" {
  description = "SNS topic that the function tells of changes and trouble, and its alarms."
  type        = string
}

variable "first_sync" {
  description = "Whether an apply calls the function."
  type        = bool
  default     = true
}

locals {
  name = "fleet-tether"
  tags = { service = "rds-tether" }
}

data "aws_partition" "current" {}

module "function" {
  source = "../../modules/function"

  name    = local.name
  package = { file = var.zip }

  discover = merge(
    { here = { region = var.region, allow_endpoints = var.allow_endpoints } },
    { for name, member in var.members : name => {
      region          = member.region
      allow_endpoints = member.allow_endpoints
      assume_role     = { arn = "arn:${data.aws_partition.current.partition}:iam::${member.account}:role/rds-tether-${member.region}" }
    } },
  )

  # The alarms are on the function; of each target group it tells itself.
  alarm_topic_arns = [var.alarm_topic_arn]
  notify           = { topic_arn = var.alarm_topic_arn }
  first_sync       = var.first_sync

  tags = local.tags
}

resource "aws_cloudwatch_event_bus" "members" {
  name = local.name
  tags = local.tags
}

data "aws_iam_policy_document" "members" {
  statement {
    sid       = "EventsOfTheOrganization"
    actions   = ["events:PutEvents"]
    resources = [aws_cloudwatch_event_bus.members.arn]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalOrgID"
      values   = [var.organization_id]
    }
  }
}

resource "aws_cloudwatch_event_bus_policy" "members" {
  event_bus_name = aws_cloudwatch_event_bus.members.name
  policy         = data.aws_iam_policy_document.members.json
}

# The rules of members choose what is sent.
resource "aws_cloudwatch_event_rule" "members" {
  name           = "${local.name}-members"
  description    = "Wakes ${local.name} when members send something"
  event_bus_name = aws_cloudwatch_event_bus.members.name
  event_pattern  = jsonencode({ source = ["aws.rds", "aws.tag"] })
  tags           = local.tags
}

resource "aws_cloudwatch_event_target" "members" {
  rule           = aws_cloudwatch_event_rule.members.name
  event_bus_name = aws_cloudwatch_event_bus.members.name
  arn            = module.function.function_arn

  retry_policy {
    maximum_event_age_in_seconds = 120
    maximum_retry_attempts       = 5
  }
}

resource "aws_lambda_permission" "members" {
  statement_id  = "members"
  action        = "lambda:InvokeFunction"
  function_name = module.function.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.members.arn
}

output "hub_role_arn" {
  description = "HubRoleArn of member.yaml."
  value       = module.function.role_arn
}

output "hub_bus_arn" {
  description = "HubBusArn of member.yaml."
  value       = aws_cloudwatch_event_bus.members.arn
}
