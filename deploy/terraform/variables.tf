variable "name" {
  description = "Beginning of the names of everything that is made."
  type        = string
  default     = "rds-tether"

  validation {
    condition     = can(regex("^[A-Za-z]([A-Za-z0-9-]{0,18}[A-Za-z0-9])?$", var.name))
    error_message = "name has 1 to 20 letters, digits and hyphens, begins with a letter and does not end with a hyphen: \"orders\"."
  }
}

variable "endpoint" {
  description = "The endpoint to follow, HOST:PORT: of a cluster its writer endpoint, of an instance its own."
  type        = string

  validation {
    condition = (
      can(regex("^([A-Za-z0-9_-]{1,63}\\.)+[A-Za-z][A-Za-z0-9_-]*\\.?:[0-9]{1,5}$", var.endpoint)) &&
      try(tonumber(regex("[0-9]+$", var.endpoint)) >= 1 && tonumber(regex("[0-9]+$", var.endpoint)) <= 65535, false)
    )
    error_message = "endpoint is HOST:PORT with a DNS name, which follows a failover, and a port from 1 to 65535: orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432. An address does not follow anything."
  }
}

variable "follow_with" {
  description = "What follows the endpoint: \"function\" (a Lambda function; no host), \"hosts\" (two small hosts, seconds faster) or \"proxy\" (two small hosts that the traffic goes through; seconds instead of minutes at a failover)."
  type        = string

  validation {
    condition     = contains(["function", "hosts", "proxy"], var.follow_with)
    error_message = "follow_with is \"function\", \"hosts\" or \"proxy\"; README.md says which to choose."
  }
}

# What is wrong with them is said by modules/settings.
variable "discover" {
  description = "Accounts and regions whose target groups are followed, too, if their tags say so, each under a name of your choice: what modules/function and modules/hosts take. Not with proxies."
  type = map(object({
    region          = string
    allow_endpoints = list(string)
    allow_cidrs     = optional(list(string), [])
    every           = optional(string)
    assume_role = optional(object({
      arn         = string
      external_id = optional(string)
    }))
    defaults = optional(object({
      role           = optional(string)
      forget         = optional(string)
      patience       = optional(string)
      allow_cidrs    = optional(list(string), [])
      keep           = optional(list(string), [])
      upsert_only    = optional(bool, false)
      probe          = optional(string)
      probe_patience = optional(string)
      ca_bundle      = optional(string)
      observe        = optional(bool, false)
      lead = optional(object({
        user          = string
        iam           = optional(bool, false)
        password_file = optional(string)
        database      = optional(string)
        members       = optional(list(string), [])
        patience      = optional(string)
      }))
    }), {})
  }))
  default  = {}
  nullable = false
}

variable "package" {
  description = "What to install. The function's zip: `file`, or `s3_bucket` and `s3_key` (and `s3_object_version`). The hosts' .rpm: `s3_bucket`, `s3_key` (and `s3_object_version`) and `sha256`."
  type = object({
    file              = optional(string)
    s3_bucket         = optional(string)
    s3_key            = optional(string)
    s3_object_version = optional(string)
    sha256            = optional(string)
  })

  validation {
    condition     = (var.package.file != null) != (var.package.s3_bucket != null && var.package.s3_key != null)
    error_message = "package is { file = \"bootstrap.zip\" } or { s3_bucket = \"...\", s3_key = \"...\" }; hosts take the latter, with sha256."
  }
}

variable "architecture" {
  description = "The processor that the package is for: x86_64 or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture is \"x86_64\" or \"arm64\", whichever the package was built for."
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
  description = "Subnets of the load balancer: one in every zone that the database can be in, that is one for each zone of the database's subnet group."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids are IDs of subnets, at least one: [\"subnet-0123456789abcdef0\"]. Give one for each zone of the database's subnet group."
  }
}

variable "host_subnet_ids" {
  description = "Subnets of the hosts, in two zones, with a way to AWS's APIs; with proxies in zones of the load balancer, which sends nothing elsewhere. Empty: those of the load balancer."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.host_subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "host_subnet_ids are IDs of subnets: [\"subnet-0123456789abcdef0\", \"subnet-0fedcba9876543210\"]."
  }
}

variable "database_security_group_ids" {
  description = "Security groups of the database that shall let the load balancer in, or the proxies: a rule is added to each. Empty: you add it yourself."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.database_security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "database_security_group_ids are IDs of security groups: [\"sg-0123456789abcdef0\"]."
  }
}

variable "extra_security_group_ids" {
  description = "Further security groups of the hosts, such as one that the database lets in already."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.extra_security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "extra_security_group_ids are IDs of security groups: [\"sg-0123456789abcdef0\"]."
  }
}

variable "database_user_arns" {
  description = "Users of databases that lead logs in as with iam = true, each as ARN with the resource ID of its cluster or instance; `arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/rds_tether`."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.database_user_arns : can(regex("^arn:[A-Za-z0-9_-]+:rds-db:[a-z0-9-]+:[0-9]{12}:dbuser:(cluster|db)-[A-Z0-9]+/[^*?]+$", arn))])
    error_message = "Each of database_user_arns is the ARN of a database's user, with the resource ID of the cluster or instance: arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/rds_tether."
  }
}

variable "database_cidrs" {
  description = "Networks in which the database's addresses are: nothing else is let into the target group, or connected to by proxies. Empty: all private ones (RFC 1918, 100.64.0.0/10), which a VPC need not be in."
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
  description = "Other regions from which endpoints may be made, for consumers that are elsewhere. Empty: this region only."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for region in var.supported_regions : can(regex("^[a-z]{2,4}(-[a-z]+)+-[0-9]$", region))])
    error_message = "supported_regions are names of regions: [\"eu-central-1\"]."
  }
}

variable "consumer_cidrs" {
  description = "Networks that reach the load balancer without PrivateLink: your own VPC, a peered one."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.consumer_cidrs : cidr != "0.0.0.0/0" && try(cidrsubnet(cidr, 0, 0) == cidr && !strcontains(cidr, ":"), false)])
    error_message = "consumer_cidrs are IPv4 networks in CIDR form without host bits, and not everybody: \"10.0.0.0/16\", not \"10.0.0.5/16\" or \"0.0.0.0/0\"."
  }
}

variable "deregistration_delay" {
  description = "Seconds after which the connections to a removed target are ended. Who still uses it uses the wrong server."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.deregistration_delay >= 0 && var.deregistration_delay <= 3600
    error_message = "deregistration_delay is 0 to 3600 seconds."
  }
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted. If so, switch it off and apply before a destroy."
  type        = bool
  default     = false
  nullable    = false
}

variable "reserved_concurrency" {
  description = "Invocations of the function at a time, set aside for it from the account's; -1 sets none aside. AWS leaves 100 to everybody else, and new accounts have 10 in all, which leaves no room for any."
  type        = number
  default     = -1
  nullable    = false

  validation {
    condition     = var.reserved_concurrency == -1 || (var.reserved_concurrency >= 1 && var.reserved_concurrency <= 100)
    error_message = "reserved_concurrency is 1 to 100, or -1 to reserve nothing; 0 would keep the function from ever running."
  }
}

variable "vpc" {
  description = "Subnets and security groups for the function to run in, with a way to the Elastic Load Balancing API and DNS. Only for publicly accessible databases and names in private zones: everybody else leaves it out."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null

  validation {
    condition     = var.vpc == null || try(length(var.vpc.subnet_ids) > 0 && length(var.vpc.security_group_ids) > 0, false)
    error_message = "vpc needs at least one subnet and one security group."
  }
}

variable "session_manager" {
  description = "Whether people may open a shell on the hosts by AWS Systems Manager. There is no other way in: no key, no port."
  type        = bool
  default     = false
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the permissions boundary of the role that is made, where your account demands one."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary == null || can(regex("^arn:[A-Za-z0-9_-]+:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary))
    error_message = "permissions_boundary is the ARN of a policy: arn:aws:iam::111122223333:policy/boundary."
  }
}

variable "event_subscriptions" {
  description = "Whether RDS events reach the function through RDS event subscriptions and an SNS topic, too, besides EventBridge."
  type        = bool
  default     = false
  nullable    = false
}

variable "first_sync" {
  description = "Whether an apply that makes the function or changes it calls it at its end, and fails if the function does."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_topic_arns" {
  description = "SNS topics that the function's alarms tell."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:[A-Za-z0-9_-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))])
    error_message = "Each of alarm_topic_arns is the ARN of a standard SNS topic, not FIFO: arn:aws:sns:eu-west-1:111122223333:database."
  }
}

variable "notify" {
  description = "Whom rds-tether itself tells of changes and trouble: `topic_arn` (an SNS topic), `after` (how long trouble lasts before it is told)."
  type = object({
    topic_arn = string
    after     = optional(string)
  })
  default = null
}

variable "tags" {
  description = "Tags of everything that can have some."
  type        = map(string)
  default     = {}
  nullable    = false
}
