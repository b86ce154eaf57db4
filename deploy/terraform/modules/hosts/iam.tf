data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "host" {
  dynamic "statement" {
    for_each = length(var.target_groups) == 0 ? [] : ["look"]

    content {
      sid       = "Look"
      actions   = ["elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = length(var.target_groups) == 0 ? [] : ["change"]

    content {
      sid       = "Change"
      actions   = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
      resources = [for group in var.target_groups : group.arn]
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

  # What the script that installs rds-tether does.
  statement {
    sid       = "Install"
    actions   = var.package.s3_object_version == null ? ["s3:GetObject"] : ["s3:GetObjectVersion"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${var.package.s3_bucket}/${var.package.s3_key}"]
  }

  statement {
    sid       = "SayThatItIsReady"
    actions   = ["autoscaling:CompleteLifecycleAction"]
    resources = ["arn:${data.aws_partition.current.partition}:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/${var.name}"]
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
