locals {
  # A group cannot change these; with them in its name, a new one can be there before the old one goes.
  target_group_name = "${var.name}-${var.port}-${var.targets == "hosts" ? "hosts" : "db"}"

  # Where IPv4 targets of a load balancer are, but for those of a VPC with addresses of its own choice.
  private_cidrs  = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"]
  database_cidrs = length(var.database_cidrs) == 0 ? local.private_cidrs : var.database_cidrs
}

data "aws_subnet" "this" {
  count = length(var.subnet_ids)

  id = var.subnet_ids[count.index]
}

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:A load balancer with a TCP listener writes no access logs
  #checkov:skip=CKV_AWS_150:A destroy is to work in one go; who wants protection sets deletion_protection
  name               = var.name
  load_balancer_type = "network"
  internal           = true
  subnets            = var.subnet_ids
  security_groups    = [aws_security_group.this.id]

  # The database is in one zone; without this the nodes of the others have no target.
  enable_cross_zone_load_balancing = true

  # Said on purpose: left out, the rules hold for PrivateLink, and nobody gets in.
  enforce_security_group_inbound_rules_on_private_link_traffic = var.enforce_rules_on_privatelink ? "on" : "off"

  enable_deletion_protection = var.deletion_protection
  tags                       = var.tags

  lifecycle {
    precondition {
      condition     = !var.enforce_rules_on_privatelink || length(var.consumer_cidrs) > 0
      error_message = "enforce_rules_on_privatelink without consumer_cidrs lets nobody in: name the networks of the consumers' VPCs."
    }
    precondition {
      condition     = var.targets != "hosts" || length(var.database_security_group_ids) == 0
      error_message = "Behind hosts the load balancer needs no way to the database: give database_security_group_ids to the hosts module."
    }
    precondition {
      condition     = length(distinct(data.aws_subnet.this[*].availability_zone)) == length(var.subnet_ids)
      error_message = "Two of subnet_ids are in the same zone: a load balancer takes one subnet of each zone."
    }
  }
}

# The targets are rds-tether's or the Auto Scaling group's, never Terraform's, which would put an old address back.
resource "aws_lb_target_group" "this" {
  name        = local.target_group_name
  vpc_id      = var.vpc_id
  target_type = var.targets == "hosts" ? "instance" : "ip"
  protocol    = "TCP"
  port        = var.port

  # Who is still connected to a removed target is connected to the wrong server.
  deregistration_delay   = var.deregistration_delay
  connection_termination = true

  # The targets see the load balancer, which their security groups let in; preserved addresses are not reachable from
  # everywhere. A database does not understand the header.
  preserve_client_ip = false
  proxy_protocol_v2  = false

  # Of hosts the readiness of this port's proxy: another's database may be down meanwhile.
  health_check {
    protocol            = var.targets == "hosts" ? "HTTP" : "TCP"
    port                = var.targets == "hosts" ? tostring(var.health_port) : "traffic-port"
    path                = var.targets == "hosts" ? "/readyz/${var.port}" : null
    matcher             = var.targets == "hosts" ? "200" : null
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  tags = var.tags

  lifecycle {
    create_before_destroy = true

    # The function's, in which it keeps since when DNS has not named a target.
    ignore_changes = [tags["rds-tether:absent"]]
  }
}

resource "aws_lb_listener" "this" {
  load_balancer_arn = aws_lb.this.arn
  protocol          = "TCP"
  port              = var.port

  tcp_idle_timeout_seconds = var.idle_timeout

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }

  tags = var.tags
}

resource "aws_vpc_endpoint_service" "this" {
  network_load_balancer_arns = [aws_lb.this.arn]
  allowed_principals         = var.allowed_principals
  acceptance_required        = var.acceptance_required

  # The load balancer's own region is one of them, whether it is named or not.
  supported_regions = length(var.supported_regions) == 0 ? null : distinct(concat([split(":", aws_lb.this.arn)[3]], var.supported_regions))

  tags = merge({ Name = var.name }, var.tags)
}
