# Texts and lists are written as JSON writes them: each is TOML, too.
locals {
  target_groups = [
    for group in var.target_groups : join("\n", compact([
      "[[target_group]]",
      "arn = ${jsonencode(group.arn)}",
      "endpoints = ${jsonencode(group.endpoints)}",
      group.role == null ? "" : "role = ${jsonencode(group.role)}",
      group.forget == null ? "" : "forget = ${jsonencode(group.forget)}",
      group.patience == null ? "" : "patience = ${jsonencode(group.patience)}",
      length(group.allow_cidrs) == 0 ? "" : "allow_cidrs = ${jsonencode(group.allow_cidrs)}",
      length(group.keep) == 0 ? "" : "keep = ${jsonencode(group.keep)}",
      group.upsert_only ? "upsert_only = true" : "",
      group.probe == null ? "" : "probe = ${jsonencode(group.probe)}",
      group.probe_patience == null ? "" : "probe_patience = ${jsonencode(group.probe_patience)}",
      group.ca_bundle == null ? "" : "ca_bundle = ${jsonencode(group.ca_bundle)}",
      group.observe ? "observe = true" : "",
      group.assume_role == null ? "" : format("assume_role = { %s }", join(", ", compact([
        "arn = ${jsonencode(group.assume_role.arn)}",
        group.assume_role.external_id == null ? "" : "external_id = ${jsonencode(group.assume_role.external_id)}",
      ]))),
      group.lead == null ? "" : format("lead = { %s }", join(", ", compact([
        "user = ${jsonencode(group.lead.user)}",
        group.lead.iam ? "iam = true" : "",
        group.lead.password_file == null ? "" : "password_file = ${jsonencode(group.lead.password_file)}",
        group.lead.database == null ? "" : "database = ${jsonencode(group.lead.database)}",
        length(group.lead.members) == 0 ? "" : "members = ${jsonencode(group.lead.members)}",
        group.lead.patience == null ? "" : "patience = ${jsonencode(group.lead.patience)}",
      ]))),
    ]))
  ]

  discover = [
    for name, place in var.discover : join("\n", compact([
      "[[discover]]",
      "region = ${jsonencode(place.region)}",
      "allow_endpoints = ${jsonencode(place.allow_endpoints)}",
      length(place.allow_cidrs) == 0 ? "" : "allow_cidrs = ${jsonencode(place.allow_cidrs)}",
      place.every == null ? "" : "every = ${jsonencode(place.every)}",
      place.assume_role == null ? "" : format("assume_role = { %s }", join(", ", compact([
        "arn = ${jsonencode(place.assume_role.arn)}",
        place.assume_role.external_id == null ? "" : "external_id = ${jsonencode(place.assume_role.external_id)}",
      ]))),
      length(local.defaults[name]) == 0 ? "" : "defaults = { ${join(", ", local.defaults[name])} }",
    ]))
  ]

  # What holds where a tag says nothing, of each place.
  defaults = {
    for name, place in var.discover : name => compact([
      place.defaults.role == null ? "" : "role = ${jsonencode(place.defaults.role)}",
      place.defaults.forget == null ? "" : "forget = ${jsonencode(place.defaults.forget)}",
      place.defaults.patience == null ? "" : "patience = ${jsonencode(place.defaults.patience)}",
      length(place.defaults.allow_cidrs) == 0 ? "" : "allow_cidrs = ${jsonencode(place.defaults.allow_cidrs)}",
      length(place.defaults.keep) == 0 ? "" : "keep = ${jsonencode(place.defaults.keep)}",
      place.defaults.upsert_only ? "upsert_only = true" : "",
      place.defaults.probe == null ? "" : "probe = ${jsonencode(place.defaults.probe)}",
      place.defaults.probe_patience == null ? "" : "probe_patience = ${jsonencode(place.defaults.probe_patience)}",
      place.defaults.ca_bundle == null ? "" : "ca_bundle = ${jsonencode(place.defaults.ca_bundle)}",
      place.defaults.observe ? "observe = true" : "",
      place.defaults.lead == null ? "" : format("lead = { %s }", join(", ", compact([
        "user = ${jsonencode(place.defaults.lead.user)}",
        place.defaults.lead.iam ? "iam = true" : "",
        place.defaults.lead.password_file == null ? "" : "password_file = ${jsonencode(place.defaults.lead.password_file)}",
        place.defaults.lead.database == null ? "" : "database = ${jsonencode(place.defaults.lead.database)}",
        length(place.defaults.lead.members) == 0 ? "" : "members = ${jsonencode(place.defaults.lead.members)}",
        place.defaults.lead.patience == null ? "" : "patience = ${jsonencode(place.defaults.lead.patience)}",
      ]))),
    ])
  }

  proxies = [
    for proxy in var.proxies : join("\n", compact([
      "[[proxy]]",
      "listen = ${jsonencode(proxy.listen)}",
      "endpoint = ${jsonencode(proxy.endpoint)}",
      proxy.role == null ? "" : "role = ${jsonencode(proxy.role)}",
      proxy.linger == null ? "" : "linger = ${jsonencode(proxy.linger)}",
      proxy.drain == null ? "" : "drain = ${jsonencode(proxy.drain)}",
      proxy.dial_timeout == null ? "" : "dial_timeout = ${jsonencode(proxy.dial_timeout)}",
      proxy.readiness == null ? "" : "readiness = ${jsonencode(proxy.readiness)}",
      proxy.probe_interval == null ? "" : "probe_interval = ${jsonencode(proxy.probe_interval)}",
      proxy.max_sessions == null ? "" : "max_sessions = ${proxy.max_sessions}",
      length(proxy.allow_peers) == 0 ? "" : "allow_peers = ${jsonencode(proxy.allow_peers)}",
      length(proxy.allow_cidrs) == 0 ? "" : "allow_cidrs = ${jsonencode(proxy.allow_cidrs)}",
      proxy.accept_proxy_protocol ? "accept_proxy_protocol = true" : "",
      proxy.ip_family == null ? "" : "ip_family = ${jsonencode(proxy.ip_family)}",
      proxy.ca_bundle == null ? "" : "ca_bundle = ${jsonencode(proxy.ca_bundle)}",
      proxy.lead == null ? "" : format("lead = { %s }", join(", ", compact([
        "user = ${jsonencode(proxy.lead.user)}",
        proxy.lead.iam ? "iam = true" : "",
        proxy.lead.password_file == null ? "" : "password_file = ${jsonencode(proxy.lead.password_file)}",
        proxy.lead.database == null ? "" : "database = ${jsonencode(proxy.lead.database)}",
        length(proxy.lead.members) == 0 ? "" : "members = ${jsonencode(proxy.lead.members)}",
        proxy.lead.patience == null ? "" : "patience = ${jsonencode(proxy.lead.patience)}",
      ]))),
    ]))
  ]

  dns = compact([
    length(var.dns.nameservers) == 0 ? "" : "nameservers = ${jsonencode(var.dns.nameservers)}",
    var.dns.timeout == null ? "" : "timeout = ${jsonencode(var.dns.timeout)}",
    var.dns.interval == null ? "" : "interval = ${jsonencode(var.dns.interval)}",
    var.dns.quorum == null ? "" : "quorum = ${jsonencode(var.dns.quorum)}",
  ])

  notify = var.notify == null ? [] : compact([
    "sns_topic_arn = ${jsonencode(var.notify.topic_arn)}",
    var.notify.after == null ? "" : "after = ${jsonencode(var.notify.after)}",
  ])

  tables = concat(
    local.target_groups,
    local.discover,
    local.proxies,
    length(local.dns) == 0 ? [] : [join("\n", concat(["[dns]"], local.dns))],
    var.http_listen == null ? [] : ["[http]\nlisten = ${jsonencode(var.http_listen)}"],
    length(local.notify) == 0 ? [] : [join("\n", concat(["[notify]"], local.notify))],
  )
}
