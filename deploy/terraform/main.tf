locals {
  # What is wrong with an endpoint is said by its variable.
  port = try(tonumber(regex("[0-9]+$", var.endpoint)), 0)

  target_groups = {
    (var.name) = { arn = module.privatelink.target_group_arn, endpoints = [var.endpoint] }
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

  allowed_principals  = var.allowed_principals
  acceptance_required = var.acceptance_required
  supported_regions   = var.supported_regions
  consumer_cidrs      = var.consumer_cidrs

  tags = var.tags
}

module "function" {
  source = "./modules/function"
  count  = var.follow_with == "function" ? 1 : 0

  name          = var.name
  package       = var.package
  architecture  = var.architecture
  target_groups = local.target_groups

  event_subscriptions = var.event_subscriptions
  first_sync          = var.first_sync
  alarm_topic_arns    = var.alarm_topic_arns
  notify              = var.notify

  tags = var.tags
}

module "hosts" {
  source = "./modules/hosts"
  count  = var.follow_with == "function" ? 0 : 1

  name         = var.name
  package      = var.package
  architecture = var.architecture
  vpc_id       = var.vpc_id
  subnet_ids   = length(var.host_subnet_ids) > 0 ? var.host_subnet_ids : var.subnet_ids

  target_groups = var.follow_with == "hosts" ? local.target_groups : {}
  proxies       = var.follow_with == "proxy" ? { (var.name) = { endpoint = var.endpoint, port = local.port } } : {}

  load_balancer = var.follow_with != "proxy" ? null : {
    target_group_arns = [module.privatelink.target_group_arn]
    security_group_id = module.privatelink.security_group_id
  }
  database_security_group_ids = var.follow_with == "proxy" ? var.database_security_group_ids : []

  notify = var.notify
  tags   = var.tags
}
