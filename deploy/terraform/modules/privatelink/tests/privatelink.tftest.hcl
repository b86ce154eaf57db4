mock_provider "aws" {
  mock_resource "aws_lb" {
    defaults = {
      arn      = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/orders/0a1b2c3d4e5f6071"
      dns_name = "orders-0a1b2c3d4e5f6071.elb.eu-west-1.amazonaws.com"
    }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders-5432-db/73e2d6bc24d8a067" }
  }
  mock_resource "aws_vpc_endpoint_service" {
    defaults = { service_name = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0" }
  }
}

override_data {
  target = data.aws_subnet.this[0]
  values = { availability_zone = "eu-west-1a", availability_zone_id = "euw1-az2" }
}

override_data {
  target = data.aws_subnet.this[1]
  values = { availability_zone = "eu-west-1b", availability_zone_id = "euw1-az1" }
}

variables {
  name                        = "orders"
  vpc_id                      = "vpc-0123456789abcdef0"
  subnet_ids                  = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
  port                        = 5432
  database_security_group_ids = ["sg-0123456789abcdef0"]
  allowed_principals          = ["arn:aws:iam::072088201116:root"]
}

run "defaults" {
  assert {
    condition     = aws_lb.this.internal && aws_lb.this.load_balancer_type == "network" && aws_lb.this.subnets == toset(var.subnet_ids)
    error_message = "Internal, in every zone."
  }
  assert {
    condition     = aws_lb.this.enable_cross_zone_load_balancing
    error_message = "The database is in one zone; without it the nodes of the others have no target."
  }
  assert {
    condition     = aws_lb.this.enforce_security_group_inbound_rules_on_private_link_traffic == "off" && aws_lb.this.security_groups == toset([aws_security_group.this.id])
    error_message = "The consumer's addresses are not known."
  }
  assert {
    condition     = aws_lb_listener.this.protocol == "TCP" && aws_lb_listener.this.port == 5432 && aws_lb_listener.this.tcp_idle_timeout_seconds == 6000
    error_message = "A replication stream may be silent."
  }
  assert {
    condition     = aws_lb_target_group.this.target_type == "ip" && aws_lb_target_group.this.protocol == "TCP" && aws_lb_target_group.this.port == 5432
    error_message = "rds-tether follows groups of addresses."
  }
  assert {
    condition     = aws_lb_target_group.this.connection_termination && tonumber(aws_lb_target_group.this.deregistration_delay) == 30
    error_message = "Who is connected to a removed target is connected to the wrong server."
  }
  assert {
    condition     = aws_lb_target_group.this.preserve_client_ip == "false" && !aws_lb_target_group.this.proxy_protocol_v2
    error_message = "The database sees the load balancer, and no header."
  }
  assert {
    condition     = aws_lb_target_group.this.health_check[0].protocol == "TCP" && aws_lb_target_group.this.health_check[0].port == "traffic-port" && aws_lb_target_group.this.health_check[0].interval == 10
    error_message = "Whether the database accepts connections."
  }
  assert {
    condition     = aws_lb_target_group.this.name == "orders-5432-db"
    error_message = aws_lb_target_group.this.name
  }
  assert {
    condition     = aws_vpc_endpoint_service.this.acceptance_required && aws_vpc_endpoint_service.this.allowed_principals == toset(["arn:aws:iam::072088201116:root"])
    error_message = "These may ask, and somebody says yes."
  }
  assert {
    condition     = aws_vpc_endpoint_service.this.network_load_balancer_arns == toset([aws_lb.this.arn])
    error_message = "It is the load balancer's."
  }
  assert {
    condition = output.consumer == {
      service_name = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"
      port         = 5432
      zone_ids     = tolist(["euw1-az1", "euw1-az2"])
      dns_name     = "orders-0a1b2c3d4e5f6071.elb.eu-west-1.amazonaws.com"
    }
    error_message = jsonencode(output.consumer)
  }
  assert {
    condition     = output.zone_ids == output.consumer.zone_ids
    error_message = "Where hosts get traffic."
  }
}

run "who_is_let_in" {
  variables {
    consumer_cidrs = ["10.0.0.0/16"]
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.consumers) == 1 && aws_vpc_security_group_ingress_rule.consumers["10.0.0.0/16"].from_port == 5432
    error_message = "One network, one port."
  }
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.database[0].security_group_id == "sg-0123456789abcdef0" &&
      aws_vpc_security_group_ingress_rule.database[0].referenced_security_group_id == aws_security_group.this.id &&
      aws_vpc_security_group_ingress_rule.database[0].from_port == 5432 && aws_vpc_security_group_ingress_rule.database[0].to_port == 5432
    )
    error_message = "The database lets the load balancer in."
  }
  assert {
    condition     = aws_vpc_security_group_egress_rule.database_groups[0].referenced_security_group_id == "sg-0123456789abcdef0" && length(aws_vpc_security_group_egress_rule.database_cidrs) == 0
    error_message = "The load balancer goes to the database and nowhere else."
  }
}

run "a_database_whose_groups_are_not_known" {
  variables {
    database_security_group_ids = []
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.database) == 0 && length(aws_vpc_security_group_ingress_rule.consumers) == 0
    error_message = "Nothing is opened that nobody asked for."
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_egress_rule.database_cidrs : rule.from_port == 5432 && rule.to_port == 5432]) && length(aws_vpc_security_group_egress_rule.database_cidrs) == 4
    error_message = "On its port, to where targets can be."
  }
}

run "a_database_of_a_vpc_with_addresses_of_its_own" {
  command = plan

  variables {
    database_security_group_ids = []
    database_cidrs              = ["11.0.0.0/16"]
  }

  assert {
    condition     = keys(aws_vpc_security_group_egress_rule.database_cidrs) == ["11.0.0.0/16"]
    error_message = "To where it is."
  }
}

run "in_the_sovereign_cloud" {
  command = plan

  variables {
    allowed_principals = ["arn:aws-eusc:iam::111122223333:root"]
    supported_regions  = ["eusc-de-east-1", "us-gov-west-1", "us-isob-east-1"]
  }

  assert {
    condition     = aws_vpc_endpoint_service.this.allowed_principals == toset(["arn:aws-eusc:iam::111122223333:root"])
    error_message = "Partitions and regions have longer names there."
  }
}

run "in_front_of_hosts" {
  variables {
    targets                     = "hosts"
    database_security_group_ids = []
  }

  assert {
    condition     = aws_lb_target_group.this.target_type == "instance" && aws_lb_target_group.this.name == "orders-5432-hosts"
    error_message = "An Auto Scaling group's instances."
  }
  assert {
    condition = (
      aws_lb_target_group.this.health_check[0].protocol == "HTTP" && aws_lb_target_group.this.health_check[0].path == "/readyz/5432" &&
      aws_lb_target_group.this.health_check[0].port == "9477" && aws_lb_target_group.this.health_check[0].matcher == "200"
    )
    error_message = "Whether this port's proxy reaches its database, whatever becomes of others."
  }
  assert {
    condition     = aws_lb_target_group.this.preserve_client_ip == "false"
    error_message = "The hosts let the load balancer in, not every consumer."
  }
  assert {
    condition     = length(aws_vpc_security_group_egress_rule.database_groups) + length(aws_vpc_security_group_egress_rule.database_cidrs) == 0
    error_message = "The way to the hosts is their module's."
  }
}

run "enforced_rules_and_another_region" {
  variables {
    supported_regions            = ["eu-central-1"]
    enforce_rules_on_privatelink = true
    consumer_cidrs               = ["10.7.0.0/16"]
  }

  assert {
    condition     = aws_lb.this.enforce_security_group_inbound_rules_on_private_link_traffic == "on"
    error_message = "As asked for."
  }
  assert {
    condition     = aws_vpc_endpoint_service.this.supported_regions == toset(["eu-west-1", "eu-central-1"])
    error_message = "The other region, and its own."
  }
}

run "enforced_rules_without_a_network" {
  command = plan

  variables {
    enforce_rules_on_privatelink = true
  }

  expect_failures = [aws_lb.this]
}

run "a_database_behind_hosts" {
  command = plan

  variables {
    targets = "hosts"
  }

  expect_failures = [aws_lb.this]
}

run "odd_values" {
  command = plan

  variables {
    name                        = "a-name-that-is-too-long"
    vpc_id                      = "orders"
    subnet_ids                  = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef0"]
    port                        = 0
    targets                     = "instances"
    health_port                 = 70000
    database_security_group_ids = ["database"]
    allowed_principals          = ["*"]
    supported_regions           = ["eu-central-1a"]
    consumer_cidrs              = ["10.0.0.5/16"]
    database_cidrs              = ["11.0.0.5/16"]
    deregistration_delay        = -1
    idle_timeout                = 30
  }

  expect_failures = [
    var.name,
    var.vpc_id,
    var.subnet_ids,
    var.port,
    var.targets,
    var.health_port,
    var.database_security_group_ids,
    var.allowed_principals,
    var.supported_regions,
    var.consumer_cidrs,
    var.database_cidrs,
    var.deregistration_delay,
    var.idle_timeout,
  ]
}

run "everybody" {
  command = plan

  variables {
    consumer_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.consumer_cidrs]
}

run "an_account_alone" {
  command = plan

  variables {
    allowed_principals = ["072088201116"]
  }

  expect_failures = [var.allowed_principals]
}
