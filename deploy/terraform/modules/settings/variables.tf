variable "target_groups" {
  description = "Target groups to follow, each under a name of your choice: `arn` and `endpoints` (a list of HOST:PORT), and what the settings file knows besides."
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

  validation {
    condition = alltrue([
      for group in var.target_groups :
      can(regex("^arn:[A-Za-z0-9_-]+:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]+/[A-Za-z0-9]+$", group.arn))
    ])
    error_message = "Each arn is that of a target group: arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/NAME/0123456789abcdef. The ARN of a load balancer or listener is not."
  }
  validation {
    condition     = length(distinct([for group in var.target_groups : group.arn])) == length(var.target_groups)
    error_message = "Two entries have the same arn: list all endpoints of a target group in one entry."
  }
  validation {
    condition     = alltrue([for group in var.target_groups : length(group.endpoints) > 0])
    error_message = "A target group has no endpoints: list at least one HOST:PORT."
  }
  validation {
    condition = alltrue(flatten([
      for group in var.target_groups : [
        for endpoint in group.endpoints :
        can(regex("^([A-Za-z0-9_-]{1,63}\\.)+[A-Za-z][A-Za-z0-9_-]*\\.?:[0-9]{1,5}$", endpoint)) &&
        try(tonumber(regex("[0-9]+$", endpoint)) >= 1 && tonumber(regex("[0-9]+$", endpoint)) <= 65535, false)
      ]
    ]))
    error_message = "Each endpoint is HOST:PORT with a DNS name, which follows a failover, and a port from 1 to 65535: orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432. An address does not follow anything."
  }
  validation {
    condition     = alltrue([for group in var.target_groups : contains(["writer", "reader"], coalesce(group.role, "writer"))])
    error_message = "role is \"writer\" or \"reader\"; leave it out to have it read off the endpoint's name."
  }
  validation {
    condition = alltrue(flatten([
      for group in var.target_groups : [
        for duration in [group.forget, group.patience] :
        duration == null || can(regex("^([0-9]+(ms|s|m|h))+$", duration))
      ]
    ]))
    error_message = "forget and patience are durations with a unit: \"30s\", \"5m\"."
  }
  validation {
    condition     = alltrue([for group in var.target_groups : contains(["none", "tcp", "tls"], coalesce(group.probe, "none"))])
    error_message = "probe is \"none\", \"tcp\" or \"tls\"."
  }
  validation {
    condition     = alltrue([for group in var.target_groups : group.probe != "tls" || group.ca_bundle != null])
    error_message = "probe = \"tls\" needs ca_bundle, the path of the file with the CAs that sign the database's certificate, where rds-tether runs."
  }
  validation {
    condition = alltrue([
      for group in var.target_groups :
      group.probe_patience == null || can(regex("^(forever|([0-9]+(ms|s|m|h))+)$", group.probe_patience))
    ])
    error_message = "probe_patience is a duration with a unit, \"30s\", or \"forever\"."
  }
  validation {
    condition = alltrue(flatten([
      for group in var.target_groups : [
        for cidr in concat(group.allow_cidrs, group.keep) : try(cidrsubnet(cidr, 0, 0) == cidr, false)
      ]
    ]))
    error_message = "allow_cidrs and keep are networks in CIDR form without host bits: \"10.0.0.0/16\", not \"10.0.0.5/16\"."
  }
  validation {
    condition = alltrue([
      for group in var.target_groups :
      group.assume_role == null || can(regex("^arn:[A-Za-z0-9_-]+:iam::[0-9]{12}:role/.+$", group.assume_role.arn))
    ])
    error_message = "assume_role.arn is the ARN of a role: arn:aws:iam::111122223333:role/tether."
  }
  validation {
    condition     = alltrue([for group in var.target_groups : group.lead == null || group.ca_bundle != null])
    error_message = "lead needs ca_bundle, the path of the file with the CAs that sign the database's certificate, where rds-tether runs."
  }
  validation {
    condition     = alltrue([for group in var.target_groups : try(group.lead.iam != (group.lead.password_file != null), group.lead == null)])
    error_message = "lead logs in with either iam = true or password_file, the path of a file where rds-tether runs."
  }
  validation {
    condition     = alltrue([for group in var.target_groups : try(can(regex("^([0-9]+(ms|s|m|h))+$", group.lead.patience)) || group.lead.patience == null, group.lead == null)])
    error_message = "lead.patience is a duration with a unit: \"30s\"."
  }
}

variable "discover" {
  description = "Places to look for target groups that say by their tags what they follow, each under a name of your choice: `region` and `allow_endpoints` (patterns of endpoints that a tag may name), and what the settings file knows besides."
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

  validation {
    condition     = alltrue([for place in var.discover : length(place.allow_endpoints) > 0])
    error_message = "allow_endpoints is empty: list the endpoints that a tag may name, such as \"*.cluster-abc123.eu-west-1.rds.amazonaws.com\"."
  }
  validation {
    condition = alltrue(flatten([
      for place in var.discover : [
        for pattern in place.allow_endpoints :
        can(regex("^([A-Za-z0-9_.*-]*\\*[A-Za-z0-9_-]*\\.)?[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)+\\.?(:[0-9]{1,5})?$", pattern))
      ]
    ]))
    error_message = "Each of allow_endpoints is a pattern that ends in a domain: \"*.cluster-abc123.eu-west-1.rds.amazonaws.com\"."
  }
  validation {
    condition     = alltrue([for place in var.discover : can(regex("^[a-z]{2,}(-[a-z]+)+-[0-9]+$", place.region))])
    error_message = "region is the name of a region: \"eu-west-1\"."
  }
  validation {
    condition     = length(distinct([for place in var.discover : [place.region, try(place.assume_role.arn, "")]])) == length(var.discover)
    error_message = "Two places of discover are the same account and region: list all their allow_endpoints in one."
  }
  validation {
    condition = alltrue([
      for place in var.discover :
      place.assume_role == null || can(regex("^arn:[A-Za-z0-9_-]+:iam::[0-9]{12}:role/.+$", place.assume_role.arn))
    ])
    error_message = "assume_role.arn is the ARN of a role: arn:aws:iam::111122223333:role/tether."
  }
  validation {
    condition = alltrue(flatten([
      for place in var.discover : [
        for duration in [place.every, place.defaults.forget, place.defaults.patience, try(place.defaults.lead.patience, null)] :
        duration == null || can(regex("^([0-9]+(ms|s|m|h))+$", duration))
      ]
    ]))
    error_message = "every, forget and patience are durations with a unit: \"30s\", \"5m\"."
  }
  validation {
    condition = alltrue(flatten([
      for place in var.discover : [
        for cidr in concat(place.allow_cidrs, place.defaults.allow_cidrs, place.defaults.keep) : try(cidrsubnet(cidr, 0, 0) == cidr, false)
      ]
    ]))
    error_message = "allow_cidrs and keep are networks in CIDR form without host bits: \"10.0.0.0/16\", not \"10.0.0.5/16\"."
  }
  validation {
    condition = alltrue([
      for place in var.discover :
      contains(["writer", "reader"], coalesce(place.defaults.role, "writer")) &&
      contains(["none", "tcp", "tls"], coalesce(place.defaults.probe, "none")) &&
      (place.defaults.probe_patience == null || can(regex("^(forever|([0-9]+(ms|s|m|h))+)$", place.defaults.probe_patience)))
    ])
    error_message = "role is \"writer\" or \"reader\", probe is \"none\", \"tcp\" or \"tls\", probe_patience a duration with a unit or \"forever\"."
  }
  validation {
    condition = alltrue([
      for place in var.discover :
      place.defaults.ca_bundle != null || (place.defaults.lead == null && coalesce(place.defaults.probe, "none") != "tls")
    ])
    error_message = "lead and probe = \"tls\" need ca_bundle, the path of the file with the CAs that sign the databases' certificates, where rds-tether runs."
  }
  validation {
    condition = alltrue([
      for place in var.discover :
      try(place.defaults.lead.iam != (place.defaults.lead.password_file != null), place.defaults.lead == null)
    ])
    error_message = "lead logs in with either iam = true or password_file, the path of a file where rds-tether runs."
  }
}

variable "proxies" {
  description = "Proxies to run, each under a name of your choice: `listen` (ADDR:PORT) and `endpoint` (HOST:PORT), and what the settings file knows besides."
  type = map(object({
    listen                = string
    endpoint              = string
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
    condition     = alltrue([for proxy in var.proxies : can(regex("^([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$", proxy.listen))])
    error_message = "listen is ADDR:PORT: \"0.0.0.0:5432\"."
  }
  validation {
    condition     = length(distinct([for proxy in var.proxies : proxy.listen])) == length(var.proxies)
    error_message = "Two proxies listen on the same address and port: give each its own port."
  }
  validation {
    condition = alltrue([
      for proxy in var.proxies :
      can(regex("^([A-Za-z0-9_-]{1,63}\\.)+[A-Za-z][A-Za-z0-9_-]*\\.?:[0-9]{1,5}$", proxy.endpoint)) &&
      try(tonumber(regex("[0-9]+$", proxy.endpoint)) >= 1 && tonumber(regex("[0-9]+$", proxy.endpoint)) <= 65535, false)
    ])
    error_message = "Each endpoint is HOST:PORT with a DNS name, which follows a failover, and a port from 1 to 65535: orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432. An address does not follow anything."
  }
  validation {
    condition     = alltrue([for proxy in var.proxies : contains(["writer", "reader"], coalesce(proxy.role, "writer"))])
    error_message = "role is \"writer\" or \"reader\"; leave it out to have it read off the endpoint's name."
  }
  validation {
    condition = alltrue(flatten([
      for proxy in var.proxies : [
        for duration in [
          proxy.linger == "never" ? null : proxy.linger, proxy.drain, proxy.dial_timeout,
          proxy.probe_interval == "never" ? null : proxy.probe_interval,
        ] :
        duration == null || can(regex("^([0-9]+(ms|s|m|h))+$", duration))
      ]
    ]))
    error_message = "linger, drain, dial_timeout and probe_interval are durations with a unit: \"30s\", \"5m\"; linger and probe_interval may be \"never\"."
  }
  validation {
    condition     = alltrue([for proxy in var.proxies : contains(["postgres", "tcp"], coalesce(proxy.readiness, "postgres"))])
    error_message = "readiness is \"postgres\" or \"tcp\"; leave it out to have it told by the endpoint's port."
  }
  validation {
    condition     = alltrue([for proxy in var.proxies : try(proxy.max_sessions >= 1 && floor(proxy.max_sessions) == proxy.max_sessions, proxy.max_sessions == null)])
    error_message = "max_sessions is a whole number from 1 on."
  }
  validation {
    condition = alltrue(flatten([
      for proxy in var.proxies : [
        for cidr in concat(proxy.allow_peers, proxy.allow_cidrs) : try(cidrsubnet(cidr, 0, 0) == cidr, false)
      ]
    ]))
    error_message = "allow_peers and allow_cidrs are networks in CIDR form without host bits: \"10.0.0.0/16\", not \"10.0.0.5/16\"."
  }
  validation {
    condition     = alltrue([for proxy in var.proxies : contains(["ipv4", "ipv6"], coalesce(proxy.ip_family, "ipv4"))])
    error_message = "ip_family is \"ipv4\" or \"ipv6\"."
  }
  validation {
    condition     = alltrue([for proxy in var.proxies : proxy.lead == null || proxy.ca_bundle != null])
    error_message = "lead needs ca_bundle, the path of the file with the CAs that sign the database's certificate, where rds-tether runs."
  }
  validation {
    condition     = alltrue([for proxy in var.proxies : try(proxy.lead.iam != (proxy.lead.password_file != null), proxy.lead == null)])
    error_message = "lead logs in with either iam = true or password_file, the path of a file where rds-tether runs."
  }
  validation {
    condition     = alltrue([for proxy in var.proxies : try(can(regex("^([0-9]+(ms|s|m|h))+$", proxy.lead.patience)) || proxy.lead.patience == null, proxy.lead == null)])
    error_message = "lead.patience is a duration with a unit: \"30s\"."
  }
}

variable "dns" {
  description = "How names are looked up: `nameservers` (default: those of the machine), `timeout`, `interval`, `quorum`."
  type = object({
    nameservers = optional(list(string), [])
    timeout     = optional(string)
    interval    = optional(string)
    quorum      = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for server in var.dns.nameservers : can(regex("^([0-9.]+(:[0-9]{1,5})?|[0-9A-Fa-f:]+|\\[[0-9A-Fa-f:]+\\](:[0-9]{1,5})?)$", server))])
    error_message = "nameservers are addresses, with or without a port: \"10.0.0.2\", \"10.0.0.2:53\"."
  }
  validation {
    condition = alltrue([
      for duration in [var.dns.timeout, var.dns.interval] : duration == null || can(regex("^([0-9]+(ms|s|m|h))+$", duration))
    ])
    error_message = "timeout and interval are durations with a unit: \"2s\"."
  }
  validation {
    condition     = contains(["any", "majority"], coalesce(var.dns.quorum, "any"))
    error_message = "quorum is \"any\" or \"majority\"."
  }
}

variable "http_listen" {
  description = "Where to serve metrics, status and health (ADDR:PORT); null: nowhere."
  type        = string
  default     = null

  validation {
    condition     = var.http_listen == null || can(regex("^([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$", var.http_listen))
    error_message = "http_listen is ADDR:PORT: \"127.0.0.1:9477\"."
  }
}

variable "notify" {
  description = "Whom to tell of changes and trouble: `topic_arn` (an SNS topic), `after` (how long trouble lasts before it is told)."
  type = object({
    topic_arn = string
    after     = optional(string)
  })
  default = null

  validation {
    condition     = try(can(regex("^arn:[A-Za-z0-9_-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.notify.topic_arn)), false) || var.notify == null
    error_message = "notify.topic_arn is the ARN of a standard SNS topic, not FIFO: arn:aws:sns:eu-west-1:111122223333:database."
  }
  validation {
    condition     = try(var.notify.after, null) == null || can(regex("^([0-9]+(ms|s|m|h))+$", var.notify.after))
    error_message = "notify.after is a duration with a unit: \"3m\"."
  }
}
