variable "name" {
  description = "Name of the function, and the beginning of the names of everything that belongs to it."
  type        = string
  default     = "rds-tether"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,39}$", var.name))
    error_message = "name has 1 to 40 letters, digits and hyphens, and begins with a letter: \"rds-tether\"."
  }
}

variable "package" {
  description = "The function's zip: `file` (a path), or `s3_bucket` and `s3_key` (and `s3_object_version`, without which a new zip under the same key is not noticed)."
  type = object({
    file              = optional(string)
    s3_bucket         = optional(string)
    s3_key            = optional(string)
    s3_object_version = optional(string)
  })

  validation {
    condition     = (var.package.file != null) != (var.package.s3_bucket != null && var.package.s3_key != null)
    error_message = "package is either { file = \"bootstrap.zip\" } or { s3_bucket = \"...\", s3_key = \"...\" }."
  }
  validation {
    condition     = var.package.file == null || try(fileexists(var.package.file), false)
    error_message = "package.file does not exist: build the zip first (lambda/README.md), or name an object in S3."
  }
}

variable "architecture" {
  description = "The processor that the zip is for: x86_64 or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture is \"x86_64\" or \"arm64\", whichever the zip was built for."
  }
}

# What is wrong with them is said by ../settings.
variable "target_groups" {
  description = "Target groups to follow, each under a name of your choice: `arn` and `endpoints` (a list of HOST:PORT), and what the settings file knows besides. A `ca_bundle` lies in the zip, below /var/task."
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
  description = "Accounts and regions whose target groups say by their tags what they follow, each under a name of your choice: `region` and `allow_endpoints` (patterns of endpoints that a tag may name), and what the settings file knows besides. A `ca_bundle` lies in the zip, below /var/task."
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
  description = "How names are looked up: `nameservers` (default: the VPC's or Lambda's), `timeout`, `interval`, `quorum`."
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

variable "eventbridge" {
  description = "Whether RDS events wake the function straight from EventBridge."
  type        = bool
  default     = true
  nullable    = false
}

variable "event_subscriptions" {
  description = "Whether RDS events wake the function through RDS event subscriptions and an SNS topic. Besides EventBridge it is a second way for the same news; they may come twice without harm."
  type        = bool
  default     = false
  nullable    = false
}

variable "first_sync" {
  description = "Whether to call the function at the end of an apply that makes it or changes its settings or code, so that the target groups are right at once and the apply fails if they cannot be."
  type        = bool
  default     = true
  nullable    = false
}

variable "timeout" {
  description = "Seconds that an invocation may take. A failover is waited for until 120 s after its start, and the old target's removal is due 60 s later."
  type        = number
  default     = 180
  nullable    = false

  validation {
    condition     = var.timeout >= 30 && var.timeout <= 900
    error_message = "timeout is 30 to 900 seconds; 180 is enough for a failover."
  }
}

variable "memory" {
  description = "Memory in MB."
  type        = number
  default     = 128
  nullable    = false

  validation {
    condition     = var.memory >= 128 && var.memory <= 10240
    error_message = "memory is 128 to 10240 MB; the function needs 9."
  }
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

variable "log_retention_days" {
  description = "Days after which log lines go."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one of the numbers that CloudWatch Logs takes: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731 and so on."
  }
}

variable "alarms" {
  description = "Whether to make the CloudWatch alarms: six for each of target_groups, and with discover two for the function itself."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_topic_arns" {
  description = "SNS topics that the alarms tell."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:[A-Za-z0-9_-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))])
    error_message = "Each of alarm_topic_arns is the ARN of a standard SNS topic, not FIFO: arn:aws:sns:eu-west-1:111122223333:database."
  }
}

variable "vpc" {
  description = "Subnets and security groups to run in, with a way to the Elastic Load Balancing API and DNS. Only for publicly accessible databases, names in private zones, probes and lead: everybody else leaves it out."
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

variable "permissions_boundary" {
  description = "ARN of the permissions boundary of the function's role, where your account demands one."
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
