variable "name" {
  description = "Name of the load balancer, and the beginning of the names of everything that belongs to it."
  type        = string
  default     = "rds-tether"

  validation {
    condition     = can(regex("^[A-Za-z]([A-Za-z0-9-]{0,18}[A-Za-z0-9])?$", var.name))
    error_message = "name has 1 to 20 letters, digits and hyphens, begins with a letter and does not end with a hyphen: \"orders\"."
  }
}

variable "vpc_id" {
  description = "The database's VPC."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id is the ID of a VPC: vpc-0123456789abcdef0."
  }
}

variable "subnet_ids" {
  description = "Subnets of the load balancer: one in every zone that the database can be in, that is one for each zone of the database's subnet group. Consumers reach it through these zones."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids are IDs of subnets, at least one: [\"subnet-0123456789abcdef0\"]. Give one for each zone of the database's subnet group."
  }
  validation {
    condition     = length(distinct(var.subnet_ids)) == length(var.subnet_ids)
    error_message = "subnet_ids names a subnet twice."
  }
}

variable "port" {
  description = "Port that consumers connect to, and that of the database or the hosts behind."
  type        = number

  validation {
    condition     = var.port >= 1 && var.port <= 65535 && floor(var.port) == var.port
    error_message = "port is the database's, from 1 to 65535: 5432."
  }
}

variable "targets" {
  description = "What will be in the target group: \"database\" (addresses, which rds-tether registers) or \"hosts\" (instances that run its proxy)."
  type        = string
  default     = "database"

  validation {
    condition     = contains(["database", "hosts"], var.targets)
    error_message = "targets is \"database\" or \"hosts\"."
  }
}

variable "health_port" {
  description = "Port on which hosts answer /readyz/PORT. Not for databases: whether they accept connections is seen on their own port."
  type        = number
  default     = 9477
  nullable    = false

  validation {
    condition     = var.health_port >= 1 && var.health_port <= 65535 && floor(var.health_port) == var.health_port
    error_message = "health_port is from 1 to 65535; the hosts module says 9477."
  }
}

variable "database_security_group_ids" {
  description = "Security groups of the database that shall let the load balancer in: a rule is added to each. Empty: you add it yourself (security_group_id of the outputs). Not for hosts, which have their own."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.database_security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "database_security_group_ids are IDs of security groups: [\"sg-0123456789abcdef0\"]."
  }
}

variable "database_cidrs" {
  description = "Networks in which the database's addresses are, to which the load balancer goes if database_security_group_ids is empty. Empty: all private ones (RFC 1918, 100.64.0.0/10), which a VPC need not be in."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.database_cidrs : cidr != "0.0.0.0/0" && try(cidrsubnet(cidr, 0, 0) == cidr && !strcontains(cidr, ":"), false)])
    error_message = "database_cidrs are IPv4 networks in CIDR form without host bits, and not everything: \"11.0.0.0/16\"."
  }
}

variable "allowed_principals" {
  description = "Who may make endpoints to the service: ARNs of accounts, users or roles. ClickPipes is arn:aws:iam::072088201116:root."
  type        = list(string)

  validation {
    condition     = alltrue([for arn in var.allowed_principals : can(regex("^arn:[A-Za-z0-9_-]+:iam::[0-9]{12}:(root|user/.+|role/.+)$", arn))])
    error_message = "Each of allowed_principals is the ARN of an account, user or role: arn:aws:iam::072088201116:root. \"*\", everybody, is refused."
  }
}

variable "acceptance_required" {
  description = "Whether somebody has to accept each endpoint before it works. The allowed principals alone can ask."
  type        = bool
  default     = true
  nullable    = false
}

variable "supported_regions" {
  description = "Other regions from which endpoints may be made, for consumers that are elsewhere. Empty: the load balancer's region only."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for region in var.supported_regions : can(regex("^[a-z]{2,4}(-[a-z]+)+-[0-9]$", region))])
    error_message = "supported_regions are names of regions: [\"eu-central-1\"]."
  }
}

variable "consumer_cidrs" {
  description = "Networks that reach the load balancer without PrivateLink (your own VPC, a peered one), or through it if enforce_rules_on_privatelink says so."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.consumer_cidrs : try(cidrsubnet(cidr, 0, 0) == cidr && !strcontains(cidr, ":"), false)])
    error_message = "consumer_cidrs are IPv4 networks in CIDR form without host bits: \"10.0.0.0/16\", not \"10.0.0.5/16\"."
  }
  validation {
    condition     = !contains(var.consumer_cidrs, "0.0.0.0/0")
    error_message = "consumer_cidrs has 0.0.0.0/0: name the networks of the consumers."
  }
}

variable "enforce_rules_on_privatelink" {
  description = "Whether consumer_cidrs holds for traffic through PrivateLink, too. The addresses there are those of the consumer's VPC, which one seldom knows; without it, the allowed principals and acceptance decide."
  type        = bool
  default     = false
  nullable    = false
}

variable "deregistration_delay" {
  description = "Seconds after which the connections to a removed target are ended. A target is removed only when DNS has not named it for `forget`, so who still uses it uses the wrong server."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.deregistration_delay >= 0 && var.deregistration_delay <= 3600
    error_message = "deregistration_delay is 0 to 3600 seconds."
  }
}

variable "idle_timeout" {
  description = "Seconds that a connection may be silent before the load balancer drops it without a word to either side. A replication stream is silent while nothing changes."
  type        = number
  default     = 6000
  nullable    = false

  validation {
    condition     = var.idle_timeout >= 60 && var.idle_timeout <= 6000
    error_message = "idle_timeout is 60 to 6000 seconds."
  }
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted. If so, switch it off and apply before a destroy."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags of everything that can have some."
  type        = map(string)
  default     = {}
  nullable    = false
}
