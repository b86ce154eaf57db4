variable "name" {
  description = "Name of the Auto Scaling group, and the beginning of the names of everything that belongs to it."
  type        = string
  default     = "rds-tether"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,39}$", var.name))
    error_message = "name has 1 to 40 letters, digits and hyphens, and begins with a letter: \"rds-tether\"."
  }
}

variable "package" {
  description = "rds-tether's .rpm in S3: `s3_bucket`, `s3_key`, `s3_object_version` (optional) and its `sha256`, without which it is not installed."
  type = object({
    s3_bucket         = string
    s3_key            = string
    s3_object_version = optional(string)
    sha256            = string
  })

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.package.s3_bucket))
    error_message = "package.s3_bucket is the name of a bucket: \"orders-packages\"."
  }
  validation {
    condition     = can(regex("^[A-Za-z0-9!_./+=@-]+\\.rpm$", var.package.s3_key))
    error_message = "package.s3_key is that of an .rpm, which Amazon Linux installs: \"rds-tether-0.1.0-1.aarch64.rpm\"."
  }
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.package.sha256))
    error_message = "package.sha256 is what `sha256sum` prints for the .rpm: 64 digits and small letters a to f."
  }
  validation {
    condition     = var.package.s3_object_version == null || can(regex("^[A-Za-z0-9._-]+$", var.package.s3_object_version))
    error_message = "package.s3_object_version is the version ID of the object."
  }
}

variable "architecture" {
  description = "The processor that the .rpm is for: x86_64 or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture is \"x86_64\" or \"arm64\", whichever the .rpm was built for."
  }
}

variable "instance_type" {
  description = "Type of the instances, of the same architecture; null: t3.micro or t4g.micro."
  type        = string
  default     = null

  validation {
    condition     = var.instance_type == null || can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", var.instance_type))
    error_message = "instance_type is like \"t4g.micro\"."
  }
}

variable "vpc_id" {
  description = "VPC of the hosts, from which the database is reached."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id is the ID of a VPC: vpc-0123456789abcdef0."
  }
}

variable "subnet_ids" {
  description = "Subnets of the hosts, in at least two zones, with a way to the APIs that they call."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2 && alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids are IDs of at least two subnets, in two zones: [\"subnet-0123456789abcdef0\", \"subnet-0fedcba9876543210\"]."
  }
}

# What is wrong with them is said by ../settings.
variable "target_groups" {
  description = "Target groups to follow, each under a name of your choice: `arn` and `endpoints` (a list of HOST:PORT), and what the settings file knows besides. A `ca_bundle` must be on the hosts' image."
  type = map(object({
    arn            = string
    endpoints      = list(string)
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
    assume_role = optional(object({
      arn         = string
      external_id = optional(string)
    }))
    lead = optional(object({
      user          = string
      iam           = optional(bool, false)
      password_file = optional(string)
      database      = optional(string)
      members       = optional(list(string), [])
      patience      = optional(string)
    }))
  }))
  default  = {}
  nullable = false
}

variable "discover" {
  description = "Accounts and regions whose target groups say by their tags what they follow, each under a name of your choice: `region` and `allow_endpoints` (patterns of endpoints that a tag may name), and what the settings file knows besides. A `ca_bundle` must be on the hosts' image."
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

variable "proxies" {
  description = "Proxies to run, each under a name of your choice: `endpoint` (HOST:PORT), `port` to listen on, and what the settings file knows besides. The port is that of the load balancer's target group."
  type = map(object({
    endpoint              = string
    port                  = number
    role                  = optional(string)
    linger                = optional(string)
    drain                 = optional(string)
    dial_timeout          = optional(string)
    readiness             = optional(string)
    probe_interval        = optional(string)
    max_sessions          = optional(number)
    allow_peers           = optional(list(string), [])
    allow_cidrs           = optional(list(string), [])
    accept_proxy_protocol = optional(bool, false)
    ip_family             = optional(string)
    ca_bundle             = optional(string)
    lead = optional(object({
      user          = string
      iam           = optional(bool, false)
      password_file = optional(string)
      database      = optional(string)
      members       = optional(list(string), [])
      patience      = optional(string)
    }))
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for proxy in var.proxies : proxy.port >= 1024 && proxy.port <= 65535 && proxy.port != 9477 && floor(proxy.port) == proxy.port])
    error_message = "port is from 1024 to 65535, because lower ones are for root, and not 9477, which is that of health and metrics."
  }
}

variable "load_balancer" {
  description = "The load balancer in front of the proxies: `target_group_arns` (of target type instance, health check HTTP on port 9477, /readyz/PORT with the port of its proxy) and its `security_group_id`. Without proxies leave it out."
  type = object({
    target_group_arns = list(string)
    security_group_id = string
  })
  default = null

  validation {
    condition = try(alltrue([
      for arn in var.load_balancer.target_group_arns :
      can(regex("^arn:[A-Za-z0-9_-]+:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]+/[A-Za-z0-9]+$", arn))
    ]), var.load_balancer == null)
    error_message = "load_balancer.target_group_arns are ARNs of target groups: arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/NAME/0123456789abcdef."
  }
  validation {
    condition     = try(can(regex("^sg-[0-9a-f]+$", var.load_balancer.security_group_id)), false) || var.load_balancer == null
    error_message = "load_balancer.security_group_id is the ID of a security group: sg-0123456789abcdef0."
  }
}

variable "database_security_group_ids" {
  description = "Security groups of the database that shall let the hosts in, whose proxies connect to it, or which probe it or ask its members: a rule is added to each. Empty: you add it yourself (security_group_id of the outputs)."
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

variable "dns" {
  description = "How names are looked up: `nameservers` (default: the VPC's), `timeout`, `interval`, `quorum`. To name servers of your own the hosts need another rule out of security_group_id."
  type = object({
    nameservers = optional(list(string), [])
    timeout     = optional(string)
    interval    = optional(string)
    quorum      = optional(string)
  })
  default  = {}
  nullable = false
}

variable "notify" {
  description = "Whom to tell of changes and trouble: `topic_arn` (an SNS topic), `after` (how long trouble lasts before it is told)."
  type = object({
    topic_arn = string
    after     = optional(string)
  })
  default = null
}

variable "session_manager" {
  description = "Whether people may open a shell by AWS Systems Manager. There is no other way in: no key, no port."
  type        = bool
  default     = false
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the permissions boundary of the hosts' role, where your account demands one."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary == null || can(regex("^arn:[A-Za-z0-9_-]+:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary))
    error_message = "permissions_boundary is the ARN of a policy: arn:aws:iam::111122223333:policy/boundary."
  }
}

variable "tags" {
  description = "Tags of everything that can have some."
  type        = map(string)
  default     = {}
  nullable    = false
}
