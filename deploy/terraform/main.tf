locals {
  # What is wrong with an endpoint is said by its variable.
  port = try(tonumber(regex("[0-9]+$", var.endpoint)), 0)

  target_groups = {
    (var.name) = { arn = module.privatelink.target_group_arn, endpoints = [var.endpoint], allow_cidrs = var.database_cidrs }
  }

  # Proxies get their connections from the load balancer.
  proxy_subnet_ids = var.follow_with == "proxy" ? var.host_subnet_ids : []
}

data "aws_subnet" "proxy" {
  count = length(local.proxy_subnet_ids)

  id = local.proxy_subnet_ids[count.index]

  lifecycle {
    postcondition {
      condition     = contains(module.privatelink.zone_ids, self.availability_zone_id)
      error_message = "host_subnet_ids: ${self.id} is in zone ${self.availability_zone_id}, where the load balancer has no subnet and sends nothing to a host. Give subnet_ids one of this zone, too, or take hosts in ${join(", ", module.privatelink.zone_ids)}."
    }
  }
}

module "privatelink" {
  source = "./modules/privatelink"

  name       = var.name
  vpc_id     = var.vpc_id
  subnet_ids = var.subnet_ids
  port       = local.port
  targets    = var.follow_with == "proxy" ? "hosts" : "database"

  database_security_group_ids = var.follow_with == "proxy" ? [] : var.database_security_group_ids
  database_cidrs              = var.database_cidrs

  allowed_principals  = var.allowed_principals
  acceptance_required = var.acceptance_required
  supported_regions   = var.supported_regions
  consumer_cidrs      = var.consumer_cidrs

  deregistration_delay = var.deregistration_delay
  deletion_protection  = var.deletion_protection

  tags = var.tags
}

module "function" {
  source = "./modules/function"
  count  = var.follow_with == "function" ? 1 : 0

  name          = var.name
  package       = var.package
  architecture  = var.architecture
  target_groups = local.target_groups
  discover      = var.discover

  event_subscriptions = var.event_subscriptions
  first_sync          = var.first_sync
  alarm_topic_arns    = var.alarm_topic_arns
  notify              = var.notify

  reserved_concurrency = var.reserved_concurrency
  vpc                  = var.vpc
  database_user_arns   = var.database_user_arns
  permissions_boundary = var.permissions_boundary

  tags = var.tags
}

module "hosts" {
  source = "./modules/hosts"
  count  = var.follow_with == "function" ? 0 : 1

  name         = var.name
  package      = var.package
  architecture = var.architecture
  vpc_id       = var.vpc_id
  subnet_ids = (
    length(var.host_subnet_ids) == 0 ? var.subnet_ids :
    var.follow_with == "proxy" ? data.aws_subnet.proxy[*].id : var.host_subnet_ids
  )

  target_groups = var.follow_with == "hosts" ? local.target_groups : {}
  discover      = var.discover
  proxies       = var.follow_with == "proxy" ? { (var.name) = { endpoint = var.endpoint, port = local.port, allow_cidrs = var.database_cidrs } } : {}

  load_balancer = var.follow_with != "proxy" ? null : {
    target_group_arns = [module.privatelink.target_group_arn]
    security_group_id = module.privatelink.security_group_id
  }
  database_security_group_ids = var.follow_with == "proxy" ? var.database_security_group_ids : []
  extra_security_group_ids    = var.extra_security_group_ids

  database_user_arns   = var.database_user_arns
  session_manager      = var.session_manager
  permissions_boundary = var.permissions_boundary

  notify = var.notify
  tags   = var.tags
}
