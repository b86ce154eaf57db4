data "aws_partition" "current" {}

data "aws_subnet" "this" {
  count = length(var.subnet_ids)

  id = var.subnet_ids[count.index]
}

# Not every zone has every type. Auto Scaling would start both hosts where it can.
data "aws_ec2_instance_type_offerings" "this" {
  location_type = "availability-zone"

  filter {
    name   = "instance-type"
    values = [local.instance_type]
  }
}

module "settings" {
  source = "../settings"

  target_groups = var.target_groups
  discover      = var.discover
  proxies = {
    for name, proxy in var.proxies : name => merge(proxy, { listen = "0.0.0.0:${proxy.port}" })
  }
  dns    = var.dns
  notify = var.notify

  # The security group lets the load balancer reach it, and nobody else. Without one it is for the host itself.
  http_listen = "${var.load_balancer == null ? "127.0.0.1" : "0.0.0.0"}:${local.health_port}"
}

locals {
  health_port   = 9477
  hook          = "installed"
  instance_type = coalesce(var.instance_type, var.architecture == "arm64" ? "t4g.micro" : "t3.micro")

  # How long a host may take to install and to find its databases, in seconds; after that it is thrown away.
  start_max = 600

  # How long a new host is in its place, in seconds, before the next old one goes. ELB takes 3 to 5 minutes until it sends
  # connections to a new target, and begins when the host is in its place: nothing can be waited for before.
  settle = var.load_balancer == null ? 30 : 600
}

resource "aws_launch_template" "this" {
  name_prefix   = "${var.name}-"
  description   = "Hosts of rds-tether: ${var.name}"
  instance_type = local.instance_type

  # Auto Scaling reads the parameter when it starts a host: a new image is no change here, and replaces nothing by itself.
  image_id = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${var.architecture}"

  user_data = base64encode(templatefile("${path.module}/user-data.sh.tftpl", {
    settings    = base64encode(module.settings.text)
    bucket      = var.package.s3_bucket
    key         = var.package.s3_key
    version     = var.package.s3_object_version
    sha256      = var.package.sha256
    group       = var.name
    hook        = local.hook
    health_port = local.health_port
    ready_max   = local.start_max - 60
  }))

  update_default_version = true

  iam_instance_profile {
    arn = aws_iam_instance_profile.host.arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  network_interfaces {
    associate_public_ip_address = false
    delete_on_termination       = true
    security_groups             = concat([aws_security_group.this.id], var.extra_security_group_ids)
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = 8
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = ["instance", "volume", "network-interface"]

    content {
      resource_type = tag_specifications.value
      tags          = merge({ Name = var.name }, var.tags)
    }
  }

  tags = var.tags
}

resource "aws_autoscaling_group" "this" {
  name                = var.name
  min_size            = 2
  desired_capacity    = 2
  max_size            = 3
  vpc_zone_identifier = var.subnet_ids
  target_group_arns   = var.load_balancer == null ? [] : var.load_balancer.target_group_arns

  # The load balancer's check is red while the database is down; hosts that are thrown away then are missing when it is back.
  health_check_type = "EC2"

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  # A host takes part when it is installed and ready, and says so itself. One that cannot never takes the place of one that can.
  initial_lifecycle_hook {
    name                 = local.hook
    lifecycle_transition = "autoscaling:EC2_INSTANCE_LAUNCHING"
    default_result       = "ABANDON"
    heartbeat_timeout    = local.start_max
  }

  # Other settings, another package: a new host first, then an old one goes, when the load balancer can do without it.
  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 150
      instance_warmup        = local.settle
      auto_rollback          = false
    }
  }

  # Longer than a host may take to be ready.
  wait_for_capacity_timeout = "15m"

  dynamic "tag" {
    for_each = merge({ Name = var.name }, var.tags)

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = false
    }
  }

  lifecycle {
    precondition {
      condition     = length(distinct(data.aws_subnet.this[*].availability_zone)) >= 2
      error_message = "All of subnet_ids are in one zone: the hosts are to survive the loss of a zone, so give subnets of two."
    }
    precondition {
      condition     = length(setintersection(data.aws_subnet.this[*].availability_zone, data.aws_ec2_instance_type_offerings.this.locations)) >= 2
      error_message = "Of the zones of subnet_ids (${join(", ", distinct(data.aws_subnet.this[*].availability_zone))}) fewer than two have ${local.instance_type}: give another instance_type, or subnets of other zones."
    }
    precondition {
      condition     = (var.load_balancer == null) == (length(var.proxies) == 0)
      error_message = "Proxies and load_balancer go together: the one is what the other sends its clients to."
    }
    precondition {
      condition     = length(var.proxies) == 0 || length(var.discover) == 0
      error_message = "Hosts that are targets follow no tagged groups: leave discover out, and give it to a modules/function or to a modules/hosts without proxies."
    }
    precondition {
      condition     = length(var.extra_security_group_ids) > 0 || alltrue([for rules in values(var.discover)[*].defaults : coalesce(rules.probe, "none") == "none" && rules.lead == null])
      error_message = "Nobody knows the ports of databases that tags name: where discover has probe or lead, give extra_security_group_ids that let the hosts out to them."
    }
    precondition {
      condition     = alltrue([for user in local.led_as : anytrue([for arn in var.database_user_arns : endswith(arn, "/${user}")])])
      error_message = "lead with iam = true may log in only as users that database_user_arns names (here ${join(", ", local.led_as)}): [\"arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/${try(local.led_as[0], "")}\"], with what aws rds describe-db-clusters --query 'DBClusters[].DbClusterResourceId' prints, or of an instance aws rds describe-db-instances --query 'DBInstances[].DbiResourceId'."
    }
  }

  depends_on = [
    aws_iam_role_policy.host,
    aws_vpc_security_group_egress_rule.apis,
    aws_vpc_security_group_egress_rule.database_groups,
    aws_vpc_security_group_egress_rule.database_cidrs,
    aws_vpc_security_group_ingress_rule.database,
  ]
}
