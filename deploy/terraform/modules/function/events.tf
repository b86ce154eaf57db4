# RDS events may come late, twice or never, a removal may fall due long after the last one, and a failed invocation is made
# good for by the next tick. So there is always a schedule.
resource "aws_cloudwatch_event_rule" "schedule" {
  name                = "${var.name}-schedule"
  description         = "Wakes ${var.name} every minute"
  schedule_expression = "rate(1 minute)"
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "schedule" {
  rule = aws_cloudwatch_event_rule.schedule.name
  arn  = aws_lambda_function.this.arn

  # A tick that is late is worth nothing.
  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = 0
  }
}

resource "aws_lambda_permission" "schedule" {
  statement_id  = "schedule"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.schedule.arn
}

# Not by database: blue/green events name the deployment only.
resource "aws_cloudwatch_event_rule" "rds" {
  count = var.eventbridge ? 1 : 0

  name        = "${var.name}-rds"
  description = "Wakes ${var.name} when something happens to a database"
  event_pattern = jsonencode({
    source        = ["aws.rds"]
    "detail-type" = ["RDS DB Instance Event", "RDS DB Cluster Event", "RDS Blue Green Deployment Event"]
  })
  tags = var.tags
}

resource "aws_cloudwatch_event_target" "rds" {
  count = var.eventbridge ? 1 : 0

  rule = aws_cloudwatch_event_rule.rds[0].name
  arn  = aws_lambda_function.this.arn

  retry_policy {
    maximum_event_age_in_seconds = 120
    maximum_retry_attempts       = 5
  }
}

resource "aws_lambda_permission" "rds" {
  count = var.eventbridge ? 1 : 0

  statement_id  = "rds"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.rds[0].arn
}

# Tags say what is followed: whoever changes one waits for no look.
resource "aws_cloudwatch_event_rule" "tags" {
  count = length(var.discover) == 0 ? 0 : 1

  name        = "${var.name}-tags"
  description = "Wakes ${var.name} when the tags of a target group change"
  event_pattern = jsonencode({
    source        = ["aws.tag"]
    "detail-type" = ["Tag Change on Resource"]
    detail = {
      service         = ["elasticloadbalancing"]
      "resource-type" = ["targetgroup"]
      # Not what the function itself writes, which would wake it again.
      "changed-tag-keys" = formatlist("rds-tether:%s", [
        "endpoint", "role", "forget", "patience", "allow-cidrs", "keep", "upsert-only", "probe", "probe-patience", "observe",
      ])
    }
  })
  tags = var.tags
}

resource "aws_cloudwatch_event_target" "tags" {
  count = length(var.discover) == 0 ? 0 : 1

  rule = aws_cloudwatch_event_rule.tags[0].name
  arn  = aws_lambda_function.this.arn

  retry_policy {
    maximum_event_age_in_seconds = 120
    maximum_retry_attempts       = 5
  }
}

resource "aws_lambda_permission" "tags" {
  count = length(var.discover) == 0 ? 0 : 1

  statement_id  = "tags"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.tags[0].arn
}

resource "aws_sns_topic" "events" {
  #checkov:skip=CKV_AWS_26:RDS publishes to unencrypted topics only; its events have names of databases, no secrets
  count = var.event_subscriptions ? 1 : 0

  name = "${var.name}-events"
  tags = var.tags
}

locals {
  # arn:PARTITION:sns:REGION:ACCOUNT:NAME
  topic_arn = try(split(":", aws_sns_topic.events[0].arn), null)
}

data "aws_iam_policy_document" "events" {
  count = var.event_subscriptions ? 1 : 0

  statement {
    sid       = "RdsOfThisAccount"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.events[0].arn]

    principals {
      type        = "Service"
      identifiers = ["events.rds.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.topic_arn[4]]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.topic_arn[1]}:rds:${local.topic_arn[3]}:${local.topic_arn[4]}:*"]
    }
  }
}

resource "aws_sns_topic_policy" "events" {
  count = var.event_subscriptions ? 1 : 0

  arn    = aws_sns_topic.events[0].arn
  policy = data.aws_iam_policy_document.events[0].json
}

resource "aws_sns_topic_subscription" "events" {
  count = var.event_subscriptions ? 1 : 0

  topic_arn = aws_sns_topic.events[0].arn
  protocol  = "lambda"
  endpoint  = aws_lambda_function.this.arn
}

resource "aws_lambda_permission" "events" {
  count = var.event_subscriptions ? 1 : 0

  statement_id  = "event-subscriptions"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  principal     = "sns.amazonaws.com"
  source_arn    = aws_sns_topic.events[0].arn
}

# Every category: what moves a database has many names.
resource "aws_db_event_subscription" "this" {
  for_each = var.event_subscriptions ? toset(["db-instance", "db-cluster", "blue-green-deployment"]) : toset([])

  name        = "${var.name}-${each.key}"
  sns_topic   = aws_sns_topic.events[0].arn
  source_type = each.key
  tags        = var.tags

  # RDS publishes a trial to a topic before it accepts the subscription.
  depends_on = [aws_sns_topic_policy.events]
}
