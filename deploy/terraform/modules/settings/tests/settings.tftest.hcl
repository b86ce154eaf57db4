variables {
  target_groups = {
    orders = {
      arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
      endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
    }
  }
}

run "one_group" {
  command = plan

  assert {
    condition     = output.text == <<-TOML
      [[target_group]]
      arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
      endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
    TOML
    error_message = output.text
  }
}

run "everything" {
  command = plan

  variables {
    target_groups = {
      orders = {
        arn            = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
        endpoints      = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432", "blue.cluster-abc123.eu-west-1.rds.amazonaws.com:5433"]
        role           = "writer"
        forget         = "5m"
        patience       = "1m30s"
        allow_cidrs    = ["10.0.0.0/16"]
        keep           = ["10.0.9.0/24"]
        upsert_only    = true
        probe          = "tls"
        probe_patience = "forever"
        ca_bundle      = "/etc/rds-tether/rds-ca.pem"
        observe        = true
        assume_role    = { arn = "arn:aws:iam::444455556666:role/tether", external_id = "or\"ders" }
        lead           = { user = "te\"ther", iam = true, database = "orders", members = ["orders-2.abc123.eu-west-1.rds.amazonaws.com"], patience = "20s" }
      }
    }
    proxies = {
      orders = {
        listen                = "0.0.0.0:5432"
        endpoint              = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"
        role                  = "writer"
        linger                = "never"
        drain                 = "5s"
        dial_timeout          = "10s"
        readiness             = "tcp"
        probe_interval        = "never"
        max_sessions          = 10000
        allow_peers           = ["10.0.0.0/16"]
        allow_cidrs           = ["10.0.0.0/16"]
        accept_proxy_protocol = true
        ip_family             = "ipv4"
        ca_bundle             = "/etc/rds-tether/rds-ca.pem"
        lead                  = { user = "te\"ther", iam = true, database = "orders", members = ["orders-2.abc123.eu-west-1.rds.amazonaws.com"], patience = "20s" }
      }
    }
    dns         = { nameservers = ["10.0.0.2", "10.0.1.2:53"], timeout = "2s", interval = "5s", quorum = "majority" }
    http_listen = "127.0.0.1:9477"
    notify      = { topic_arn = "arn:aws:sns:eu-west-1:111122223333:database", after = "3m" }
  }

  assert {
    condition     = output.text == <<-TOML
      [[target_group]]
      arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
      endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432","blue.cluster-abc123.eu-west-1.rds.amazonaws.com:5433"]
      role = "writer"
      forget = "5m"
      patience = "1m30s"
      allow_cidrs = ["10.0.0.0/16"]
      keep = ["10.0.9.0/24"]
      upsert_only = true
      probe = "tls"
      probe_patience = "forever"
      ca_bundle = "/etc/rds-tether/rds-ca.pem"
      observe = true
      assume_role = { arn = "arn:aws:iam::444455556666:role/tether", external_id = "or\"ders" }
      lead = { user = "te\"ther", iam = true, database = "orders", members = ["orders-2.abc123.eu-west-1.rds.amazonaws.com"], patience = "20s" }

      [[proxy]]
      listen = "0.0.0.0:5432"
      endpoint = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"
      role = "writer"
      linger = "never"
      drain = "5s"
      dial_timeout = "10s"
      readiness = "tcp"
      probe_interval = "never"
      max_sessions = 10000
      allow_peers = ["10.0.0.0/16"]
      allow_cidrs = ["10.0.0.0/16"]
      accept_proxy_protocol = true
      ip_family = "ipv4"
      ca_bundle = "/etc/rds-tether/rds-ca.pem"
      lead = { user = "te\"ther", iam = true, database = "orders", members = ["orders-2.abc123.eu-west-1.rds.amazonaws.com"], patience = "20s" }

      [dns]
      nameservers = ["10.0.0.2","10.0.1.2:53"]
      timeout = "2s"
      interval = "5s"
      quorum = "majority"

      [http]
      listen = "127.0.0.1:9477"

      [notify]
      sns_topic_arn = "arn:aws:sns:eu-west-1:111122223333:database"
      after = "3m"
    TOML
    error_message = output.text
  }
}

run "nothing_to_follow" {
  command = plan

  variables {
    target_groups = {}
  }

  expect_failures = [output.text]
}

run "arn_of_a_listener" {
  command = plan

  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/net/orders/73e2d6bc24d8a067/1"
        endpoints = ["orders.example.com:5432"]
      }
    }
  }

  expect_failures = [var.target_groups]
}

run "same_group_twice" {
  command = plan

  variables {
    target_groups = {
      a = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["a.example.com:5432"] }
      b = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["b.example.com:5432"] }
    }
  }

  expect_failures = [var.target_groups]
}

run "no_endpoints" {
  command = plan

  variables {
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = [] }
    }
  }

  expect_failures = [var.target_groups]
}

run "endpoint_without_port" {
  command = plan

  variables {
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com"] }
    }
  }

  expect_failures = [var.target_groups]
}

run "endpoint_is_an_address" {
  command = plan

  variables {
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["10.0.1.5:5432"] }
    }
  }

  expect_failures = [var.target_groups]
}

run "port_too_high" {
  command = plan

  variables {
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:70000"] }
    }
  }

  expect_failures = [var.target_groups]
}

run "unknown_role" {
  command = plan

  variables {
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"], role = "primary" }
    }
  }

  expect_failures = [var.target_groups]
}

run "duration_without_unit" {
  command = plan

  variables {
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"], forget = "60" }
    }
  }

  expect_failures = [var.target_groups]
}

run "unknown_probe" {
  command = plan

  variables {
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"], probe = "ping" }
    }
  }

  expect_failures = [var.target_groups]
}

run "tls_without_cas" {
  command = plan

  variables {
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"], probe = "tls" }
    }
  }

  expect_failures = [var.target_groups]
}

run "probe_patience_without_unit" {
  command = plan

  variables {
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"], probe_patience = "30" }
    }
  }

  expect_failures = [var.target_groups]
}

run "cidr_with_host_bits" {
  command = plan

  variables {
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"], keep = ["10.0.0.5/16"] }
    }
  }

  expect_failures = [var.target_groups]
}

run "role_that_is_a_user" {
  command = plan

  variables {
    target_groups = {
      orders = {
        arn         = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1"
        endpoints   = ["orders.example.com:5432"]
        assume_role = { arn = "arn:aws:iam::444455556666:user/tether" }
      }
    }
  }

  expect_failures = [var.target_groups]
}

run "group_led_without_cas" {
  command = plan

  variables {
    target_groups = { orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"], lead = { user = "tether", iam = true } } }
  }

  expect_failures = [var.target_groups]
}

run "group_led_without_a_secret" {
  command = plan

  variables {
    target_groups = { orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"], ca_bundle = "/ca.pem", lead = { user = "tether" } } }
  }

  expect_failures = [var.target_groups]
}

run "group_led_with_two_secrets" {
  command = plan

  variables {
    target_groups = { orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"], ca_bundle = "/ca.pem", lead = { user = "tether", iam = true, password_file = "/password" } } }
  }

  expect_failures = [var.target_groups]
}

run "group_led_with_patience_without_a_unit" {
  command = plan

  variables {
    target_groups = { orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"], ca_bundle = "/ca.pem", lead = { user = "tether", iam = true, patience = "20" } } }
  }

  expect_failures = [var.target_groups]
}

run "listen_without_address" {
  command = plan

  variables {
    proxies = { orders = { listen = "5432", endpoint = "orders.example.com:5432" } }
  }

  expect_failures = [var.proxies]
}

run "two_proxies_on_one_port" {
  command = plan

  variables {
    proxies = {
      a = { listen = "0.0.0.0:5432", endpoint = "a.example.com:5432" }
      b = { listen = "0.0.0.0:5432", endpoint = "b.example.com:5432" }
    }
  }

  expect_failures = [var.proxies]
}

run "proxy_to_an_address" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "10.0.1.5:5432" } }
  }

  expect_failures = [var.proxies]
}

run "unknown_linger" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", linger = "ever" } }
  }

  expect_failures = [var.proxies]
}

run "drain_without_unit" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", drain = "5" } }
  }

  expect_failures = [var.proxies]
}

run "readiness_by_the_engines_name" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", readiness = "mysql" } }
  }

  expect_failures = [var.proxies]
}

run "a_probe_interval_without_unit" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", probe_interval = "10" } }
  }

  expect_failures = [var.proxies]
}

run "half_a_session" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", max_sessions = 0.5 } }
  }

  expect_failures = [var.proxies]
}

run "peers_in_words" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", allow_peers = ["everybody"] } }
  }

  expect_failures = [var.proxies]
}

run "unknown_family" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", ip_family = "6" } }
  }

  expect_failures = [var.proxies]
}

run "led_without_cas" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", lead = { user = "tether", iam = true } } }
  }

  expect_failures = [var.proxies]
}

run "led_without_a_secret" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", ca_bundle = "/ca.pem", lead = { user = "tether" } } }
  }

  expect_failures = [var.proxies]
}

run "led_with_two_secrets" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", ca_bundle = "/ca.pem", lead = { user = "tether", iam = true, password_file = "/password" } } }
  }

  expect_failures = [var.proxies]
}

run "led_with_patience_without_a_unit" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", ca_bundle = "/ca.pem", lead = { user = "tether", iam = true, patience = "20" } } }
  }

  expect_failures = [var.proxies]
}

run "unknown_role_of_a_proxy" {
  command = plan

  variables {
    proxies = { orders = { listen = "0.0.0.0:5432", endpoint = "orders.example.com:5432", role = "primary" } }
  }

  expect_failures = [var.proxies]
}

run "name_server_by_name" {
  command = plan

  variables {
    dns = { nameservers = ["dns.example.com"] }
  }

  expect_failures = [var.dns]
}

run "unknown_quorum" {
  command = plan

  variables {
    dns = { quorum = "most" }
  }

  expect_failures = [var.dns]
}

run "http_on_a_port_alone" {
  command = plan

  variables {
    http_listen = "9477"
  }

  expect_failures = [var.http_listen]
}

run "fifo_topic" {
  command = plan

  variables {
    notify = { topic_arn = "arn:aws:sns:eu-west-1:111122223333:database.fifo" }
  }

  expect_failures = [var.notify]
}
