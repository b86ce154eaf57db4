locals {
  # Where IPv4 databases behind a load balancer are, and what else the settings allow: a VPC may have addresses of its own choice.
  private_cidrs = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"]
  allowed_cidrs = flatten(concat(
    [for proxy in var.proxies : proxy.allow_cidrs],
    [for group in local.asked : group.allow_cidrs],
  ))
  database_cidrs = concat(local.private_cidrs, [for cidr in local.allowed_cidrs : cidr if !strcontains(cidr, ":")])

  # What the hosts connect to: the proxies' databases, and those that are probed or asked who the writer is. As one range of
  # ports, because before an apply their number is known, and the ports may not be.
  asked          = [for group in var.target_groups : group if coalesce(group.probe, "none") != "none" || group.lead != null]
  databases      = concat([for proxy in var.proxies : proxy.endpoint], flatten(local.asked[*].endpoints))
  database_ports = [for endpoint in local.databases : try(tonumber(regex("[0-9]+$", endpoint)), 0)]

  load_balancer_ports = var.load_balancer == null ? {} : merge(
    { for name, proxy in var.proxies : "proxy ${name}" => proxy.port },
    { health = local.health_port },
  )
}

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-hosts-"
  description = "Hosts of rds-tether: ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge({ Name = "${var.name}-hosts" }, var.tags)

  lifecycle {
    create_before_destroy = true
  }
}

# Nobody else may connect, neither to the proxies nor to /readyz, /metrics and /status.
resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  for_each = local.load_balancer_ports

  security_group_id            = aws_security_group.this.id
  description                  = "From the load balancer: ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = var.load_balancer.security_group_id
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  for_each = local.load_balancer_ports

  security_group_id            = var.load_balancer.security_group_id
  description                  = "To rds-tether's hosts ${var.name}: ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.this.id
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "database_groups" {
  count = length(local.databases) == 0 ? 0 : length(var.database_security_group_ids)

  security_group_id            = aws_security_group.this.id
  description                  = "The database"
  ip_protocol                  = "tcp"
  from_port                    = min(local.database_ports...)
  to_port                      = max(local.database_ports...)
  referenced_security_group_id = var.database_security_group_ids[count.index]
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  count = length(local.databases) == 0 ? 0 : length(var.database_security_group_ids)

  security_group_id            = var.database_security_group_ids[count.index]
  description                  = "rds-tether's hosts ${var.name}"
  ip_protocol                  = "tcp"
  from_port                    = min(local.database_ports...)
  to_port                      = max(local.database_ports...)
  referenced_security_group_id = aws_security_group.this.id
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "database_cidrs" {
  for_each = length(local.databases) > 0 && length(var.database_security_group_ids) == 0 ? toset(local.database_cidrs) : toset([])

  security_group_id = aws_security_group.this.id
  description       = "The database"
  ip_protocol       = "tcp"
  from_port         = min(local.database_ports...)
  to_port           = max(local.database_ports...)
  cidr_ipv4         = each.value
  tags              = var.tags
}

# The package in S3, and the APIs of Auto Scaling, Elastic Load Balancing, SNS and Systems Manager; their addresses change.
resource "aws_vpc_security_group_egress_rule" "apis" {
  security_group_id = aws_security_group.this.id
  description       = "AWS's APIs"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
  tags              = var.tags
}
