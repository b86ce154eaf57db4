data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

# As `rds-tether iam --for lambda` has it. What a role is assumed for, that role is allowed.
locals {
  own          = [for group in var.target_groups : group if group.assume_role == null]
  written      = [for group in local.own : group.arn if !group.observe]
  removed_from = [for group in local.own : group.arn if !group.observe && !group.upsert_only]

  # Their numbers are known before an apply, the ARNs may not be.
  is_one_statement = length(local.written) == length(local.removed_from)

  # All target groups of a place: which of them are changed, their tags say.
  tagged = distinct([
    for place in var.discover : "arn:${data.aws_partition.current.partition}:elasticloadbalancing:${place.region}:*:targetgroup/*/*" if place.assume_role == null
  ])

  # The users of databases that a token of IAM is for.
  led_as = distinct([for lead in concat(values(var.target_groups)[*].lead, values(var.discover)[*].defaults.lead) : lead.user if try(lead.iam, false)])
}

data "aws_iam_policy_document" "function" {
  dynamic "statement" {
    for_each = length(local.own) + length(local.tagged) == 0 ? [] : ["look"]

    content {
      sid       = "Look"
      actions   = ["elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = length(local.written) == 0 ? [] : ["change"]

    content {
      sid       = local.is_one_statement ? "Change" : "RegisterTargets"
      actions   = local.is_one_statement ? ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"] : ["elasticloadbalancing:RegisterTargets"]
      resources = local.written
    }
  }

  dynamic "statement" {
    for_each = local.is_one_statement || length(local.removed_from) == 0 ? [] : ["remove"]

    content {
      sid       = "DeregisterTargets"
      actions   = ["elasticloadbalancing:DeregisterTargets"]
      resources = local.removed_from
    }
  }

  dynamic "statement" {
    for_each = length(local.own) + length(local.tagged) == 0 ? [] : ["read"]

    content {
      sid       = "OptionalReadClocks"
      actions   = ["elasticloadbalancing:DescribeTags"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = length(local.written) == 0 ? [] : ["keep"]

    content {
      sid       = "OptionalKeepClocks"
      actions   = ["elasticloadbalancing:AddTags"]
      resources = local.written

      condition {
        test     = "ForAllValues:StringEquals"
        variable = "aws:TagKeys"
        values   = ["rds-tether:absent"]
      }
    }
  }

  dynamic "statement" {
    for_each = length(local.tagged) == 0 ? [] : ["tagged"]

    content {
      sid       = "LookForTagged"
      actions   = ["elasticloadbalancing:DescribeTags"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = length(local.tagged) == 0 ? [] : ["tagged"]

    content {
      sid       = "ChangeTagged"
      actions   = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
      resources = local.tagged

      condition {
        test     = "Null"
        variable = "aws:ResourceTag/rds-tether:endpoint"
        values   = ["false"]
      }
    }
  }

  dynamic "statement" {
    for_each = length(local.tagged) == 0 ? [] : ["tagged"]

    content {
      sid       = "OptionalKeepClocksOfTagged"
      actions   = ["elasticloadbalancing:AddTags"]
      resources = local.tagged

      condition {
        test     = "Null"
        variable = "aws:ResourceTag/rds-tether:endpoint"
        values   = ["false"]
      }
      condition {
        test     = "ForAllValues:StringEquals"
        variable = "aws:TagKeys"
        values   = ["rds-tether:absent"]
      }
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
    for_each = anytrue([for one in concat(values(var.target_groups)[*].assume_role, values(var.discover)[*].assume_role) : one != null]) ? ["roles"] : []

    content {
      sid       = "AssumeRoles"
      actions   = ["sts:AssumeRole"]
      resources = distinct([for one in concat(values(var.target_groups)[*].assume_role, values(var.discover)[*].assume_role) : one.arn if one != null])
    }
  }

  dynamic "statement" {
    for_each = length(var.database_user_arns) == 0 ? [] : ["lead"]

    content {
      sid       = "OptionalLead"
      actions   = ["rds-db:connect"]
      resources = var.database_user_arns
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

  # AWS's managed policy for this also allows every log group to be made, and so that of a destroyed function again.
  dynamic "statement" {
    for_each = var.vpc == null ? [] : ["vpc"]

    content {
      sid = "BeInTheVpc"
      actions = [
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
      ]
      resources = ["*"]
    }
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
