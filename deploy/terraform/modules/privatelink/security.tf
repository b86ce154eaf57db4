resource "aws_security_group" "this" {
  name_prefix = "${var.name}-nlb-"
  description = "Load balancer of rds-tether: ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge({ Name = "${var.name}-nlb" }, var.tags)

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "consumers" {
  for_each = toset(var.consumer_cidrs)

  security_group_id = aws_security_group.this.id
  description       = "Consumers"
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
  cidr_ipv4         = each.value
  tags              = var.tags
}

# To the database and to nothing else: to its security groups, if they are known, else to wherever a target can be. The way to
# hosts is the hosts module's.
resource "aws_vpc_security_group_egress_rule" "database_groups" {
  count = length(var.database_security_group_ids)

  security_group_id            = aws_security_group.this.id
  description                  = "The database"
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
  referenced_security_group_id = var.database_security_group_ids[count.index]
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "database_cidrs" {
  for_each = var.targets == "database" && length(var.database_security_group_ids) == 0 ? toset(local.database_cidrs) : toset([])

  security_group_id = aws_security_group.this.id
  description       = "The database"
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
  cidr_ipv4         = each.value
  tags              = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  count = length(var.database_security_group_ids)

  security_group_id            = var.database_security_group_ids[count.index]
  description                  = "rds-tether's load balancer ${var.name}"
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
  referenced_security_group_id = aws_security_group.this.id
  tags                         = var.tags
}
