data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "function" {
  statement {
    sid       = "Look"
    actions   = ["elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth"]
    resources = ["*"]
  }

  statement {
    sid       = "Change"
    actions   = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
    resources = [for group in var.target_groups : group.arn]
  }

  statement {
    sid       = "OptionalReadClocks"
    actions   = ["elasticloadbalancing:DescribeTags"]
    resources = ["*"]
  }

  statement {
    sid       = "OptionalKeepClocks"
    actions   = ["elasticloadbalancing:AddTags"]
    resources = [for group in var.target_groups : group.arn]

    condition {
      test     = "ForAllValues:StringEquals"
      variable = "aws:TagKeys"
      values   = ["rds-tether:absent"]
    }
  }

  dynamic "statement" {
    for_each = var.notify == null ? [] : [var.notify.topic_arn]

    content {
      sid       = "OptionalNotify"
      actions   = ["sns:Publish"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = anytrue([for group in var.target_groups : group.assume_role != null]) ? ["roles"] : []

    content {
      sid       = "AssumeRoles"
      actions   = ["sts:AssumeRole"]
      resources = distinct([for group in var.target_groups : group.assume_role.arn if group.assume_role != null])
    }
  }

  # What Lambda itself does in the function's name.
  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function.arn}:*"]
  }

  statement {
    sid       = "KeepFailedEvents"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.failed.arn]
  }
}

resource "aws_iam_role" "function" {
  name_prefix          = substr("${var.name}-", 0, 38)
  description          = "rds-tether's function ${var.name}"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
}

resource "aws_iam_role_policy" "function" {
  name   = "rds-tether"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.function.json
}

resource "aws_iam_role_policy_attachment" "vpc" {
  count = var.vpc == null ? 0 : 1

  role       = aws_iam_role.function.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
}
