variables {
  discover = {
    here = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"] }
  }
}

run "one_place" {
  command = plan

  assert {
    condition     = output.text == <<-TOML
      [[discover]]
      region = "eu-west-1"
      allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"]
    TOML
    error_message = output.text
  }
}

run "everything_of_a_place" {
  command = plan

  variables {
    discover = {
      there = {
        region          = "eu-west-1"
        allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com:5432", "orders.example.com"]
        allow_cidrs     = ["10.0.0.0/8"]
        every           = "1m30s"
        assume_role     = { arn = "arn:aws:iam::444455556666:role/tether", external_id = "or\"ders" }
        defaults = {
          role           = "writer"
          forget         = "5m"
          patience       = "90s"
          allow_cidrs    = ["10.0.0.0/16"]
          keep           = ["10.0.9.0/24"]
          upsert_only    = true
          probe          = "tls"
          probe_patience = "forever"
          ca_bundle      = "/etc/rds-tether/rds-ca.pem"
          observe        = true
          lead           = { user = "te\"ther", iam = true, database = "orders", members = ["orders-2.abc123.eu-west-1.rds.amazonaws.com"], patience = "20s" }
        }
      }
    }
  }

  assert {
    condition     = output.text == <<-TOML
      [[discover]]
      region = "eu-west-1"
      allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com:5432","orders.example.com"]
      allow_cidrs = ["10.0.0.0/8"]
      every = "1m30s"
      assume_role = { arn = "arn:aws:iam::444455556666:role/tether", external_id = "or\"ders" }
      defaults = { role = "writer", forget = "5m", patience = "90s", allow_cidrs = ["10.0.0.0/16"], keep = ["10.0.9.0/24"], upsert_only = true, probe = "tls", probe_patience = "forever", ca_bundle = "/etc/rds-tether/rds-ca.pem", observe = true, lead = { user = "te\"ther", iam = true, database = "orders", members = ["orders-2.abc123.eu-west-1.rds.amazonaws.com"], patience = "20s" } }
    TOML
    error_message = output.text
  }
}

run "several_regions_and_accounts" {
  command = plan

  variables {
    discover = {
      here  = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"] }
      there = { region = "us-gov-west-1", allow_endpoints = ["*.rds.amazonaws.com"] }
      other = { region = "eu-west-1", allow_endpoints = ["*.rds.amazonaws.com"], assume_role = { arn = "arn:aws:iam::444455556666:role/tether" } }
    }
  }

  assert {
    condition     = length(split("[[discover]]", output.text)) == 4
    error_message = output.text
  }
}

run "no_pattern" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = [] } }
  }

  expect_failures = [var.discover]
}

run "a_pattern_of_everything" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*"] } }
  }

  expect_failures = [var.discover]
}

run "a_pattern_that_ends_in_no_domain" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["orders.*.com"] } }
  }

  expect_failures = [var.discover]
}

run "a_pattern_of_a_label_that_anybody_may_have" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*orders.com"] } }
  }

  expect_failures = [var.discover]
}

run "a_zone_for_a_region" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1a", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"] } }
  }

  expect_failures = [var.discover]
}

run "every_without_unit" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"], every = "300" } }
  }

  expect_failures = [var.discover]
}

run "networks_with_host_bits" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"], allow_cidrs = ["10.0.0.5/16"] } }
  }

  expect_failures = [var.discover]
}

run "a_user_for_a_role" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"], assume_role = { arn = "arn:aws:iam::444455556666:user/tether" } } }
  }

  expect_failures = [var.discover]
}

run "an_unknown_probe_by_default" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"], defaults = { probe = "icmp" } } }
  }

  expect_failures = [var.discover]
}

run "forget_without_unit_by_default" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"], defaults = { forget = "60" } } }
  }

  expect_failures = [var.discover]
}

run "tls_without_cas_by_default" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"], defaults = { probe = "tls" } } }
  }

  expect_failures = [var.discover]
}

run "a_lead_without_a_secret_by_default" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"], defaults = { ca_bundle = "/etc/rds-tether/rds-ca.pem", lead = { user = "tether" } } } }
  }

  expect_failures = [var.discover]
}

run "the_same_place_twice" {
  command = plan

  variables {
    discover = {
      here  = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"] }
      again = { region = "eu-west-1", allow_endpoints = ["*.rds.amazonaws.com"] }
    }
  }

  expect_failures = [var.discover]
}
