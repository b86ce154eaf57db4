data "aws_partition" "current" {}

module "settings" {
  source = "../settings"

  target_groups = var.target_groups
  discover      = var.discover
  dns           = var.dns
  notify        = var.notify
}

locals {
  file_hash = var.package.file == null ? null : filebase64sha256(var.package.file)

  # Lambda's limit for all variables together is 4 KB.
  settings_max_bytes = 4000
}

resource "aws_cloudwatch_log_group" "function" {
  #checkov:skip=CKV_AWS_338:A year of lines that each invocation writes anew is worth nothing; the retention is a variable
  #checkov:skip=CKV_AWS_158:The lines have addresses and names of databases, no secrets; CloudWatch Logs encrypts them with its own key
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

# Tells the function's own tag from everybody else's. Random once, and then as it is.
resource "terraform_data" "tag_key" {
  input = uuid()

  lifecycle {
    ignore_changes = [input]
  }
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116:Failed events go to the on-failure destination below, which tells the error, too
  #checkov:skip=CKV_AWS_50:The executable writes logs and metrics, and no traces
  #checkov:skip=CKV_AWS_173:Who may read the one secret may read the function; Lambda encrypts it with its own key
  #checkov:skip=CKV_AWS_272:The zip is one that its user has built or chosen; a signing profile is the account's business
  function_name = var.name
  description   = "Keeps target groups equal to the addresses that RDS endpoints have now"
  role          = aws_iam_role.function.arn

  runtime       = "provided.al2023"
  handler       = "bootstrap"
  architectures = [var.architecture]

  filename          = var.package.file
  source_code_hash  = local.file_hash
  s3_bucket         = var.package.s3_bucket
  s3_key            = var.package.s3_key
  s3_object_version = var.package.s3_object_version

  timeout                        = var.timeout
  memory_size                    = var.memory
  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = {
      RDS_TETHER_CONFIG  = module.settings.text
      RDS_TETHER_TAG_KEY = sensitive(terraform_data.tag_key.output)
    }
  }

  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  tags = var.tags

  lifecycle {
    precondition {
      condition     = length(module.settings.text) <= local.settings_max_bytes
      error_message = "The settings are longer than Lambda lets variables be: make a second function for some of the target groups, or let their tags say what they follow (discover)."
    }
    precondition {
      condition     = var.vpc != null || alltrue([for rules in concat(values(var.target_groups), values(var.discover)[*].defaults) : coalesce(rules.probe, "none") == "none" && rules.lead == null])
      error_message = "A function outside the VPC can neither probe a database nor ask its members who the writer is: give it vpc, or leave probe and lead out."
    }
    precondition {
      condition     = alltrue([for user in local.led_as : anytrue([for arn in var.database_user_arns : endswith(arn, "/${user}")])])
      error_message = "lead with iam = true may log in only as users that database_user_arns names (here ${join(", ", local.led_as)}): [\"arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/${try(local.led_as[0], "")}\"], with what aws rds describe-db-clusters --query 'DBClusters[].DbClusterResourceId' prints, or of an instance aws rds describe-db-instances --query 'DBInstances[].DbiResourceId'."
    }
  }

  # Without the group Lambda would make one of its own that keeps everything for ever; without the policy a VPC's network
  # interfaces cannot be made.
  depends_on = [
    aws_cloudwatch_log_group.function,
    aws_iam_role_policy.function,
  ]
}

# A failed event is not tried again: the next tick comes sooner than Lambda's retry.
resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = aws_lambda_function.this.function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 120

  destination_config {
    on_failure {
      destination = aws_sqs_queue.failed.arn
    }
  }
}

# What became of events that failed, for whoever looks for the cause.
resource "aws_sqs_queue" "failed" {
  name                      = "${var.name}-failed"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

# At the end, when everything it needs is there. If the function fails, so does the apply, and the next one calls again;
# meanwhile the schedule goes on trying.
resource "aws_lambda_invocation" "first_sync" {
  count = var.first_sync ? 1 : 0

  function_name = aws_lambda_function.this.function_name
  input         = jsonencode({ command = "sync" })

  triggers = {
    settings = sha256(module.settings.text)
    code     = var.package.file == null ? join("/", [var.package.s3_bucket, var.package.s3_key, coalesce(var.package.s3_object_version, "latest")]) : local.file_hash
  }

  depends_on = [
    aws_iam_role_policy.function,
    aws_lambda_function_event_invoke_config.this,
    aws_cloudwatch_event_target.schedule,
    aws_cloudwatch_metric_alarm.this,
    aws_cloudwatch_metric_alarm.function,
  ]
}
