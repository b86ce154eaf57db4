data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

# As `rds-tether iam` has it. What a role is assumed for, that role is allowed.
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
  led_as = distinct([for lead in concat(values(var.target_groups)[*].lead, values(var.discover)[*].defaults.lead, values(var.proxies)[*].lead) : lead.user if try(lead.iam, false)])

  # arn:PARTITION:ec2:REGION:ACCOUNT:security-group/ID
  group_arn = split(":", aws_security_group.this.arn)
}

data "aws_iam_policy_document" "host" {
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

  # What the script that installs rds-tether does.
  statement {
    sid       = "Install"
    actions   = var.package.s3_object_version == null ? ["s3:GetObject"] : ["s3:GetObjectVersion"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${var.package.s3_bucket}/${var.package.s3_key}"]
  }

  statement {
    sid       = "SayHowItGoes"
    actions   = ["autoscaling:CompleteLifecycleAction"]
    resources = ["arn:${local.group_arn[1]}:autoscaling:${local.group_arn[3]}:${local.group_arn[4]}:autoScalingGroup:*:autoScalingGroupName/${var.name}"]
  }
}

resource "aws_iam_role" "host" {
  name_prefix          = substr("${var.name}-", 0, 38)
  description          = "rds-tether's hosts ${var.name}"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
}

resource "aws_iam_role_policy" "host" {
  name   = "rds-tether"
  role   = aws_iam_role.host.id
  policy = data.aws_iam_policy_document.host.json
}

resource "aws_iam_role_policy_attachment" "session_manager" {
  count = var.session_manager ? 1 : 0

  role       = aws_iam_role.host.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "host" {
  name_prefix = "${var.name}-"
  role        = aws_iam_role.host.name
  tags        = var.tags
}
