mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
}

variables {
  package = { s3_bucket = "packages", s3_key = "bootstrap.zip" }
  target_groups = {
    orders = {
      arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
      endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
    }
  }
}

run "file_and_object" {
  command = plan

  variables {
    package = { file = "main.tf", s3_bucket = "packages", s3_key = "bootstrap.zip" }
  }

  expect_failures = [var.package]
}

run "no_package" {
  command = plan

  variables {
    package = { s3_bucket = "packages" }
  }

  expect_failures = [var.package]
}

run "file_that_is_not_there" {
  command = plan

  variables {
    package = { file = "not-built.zip" }
  }

  expect_failures = [var.package]
}

run "odd_values" {
  command = plan

  variables {
    name                 = "rds_tether"
    architecture         = "arm"
    timeout              = 3
    memory               = 64
    reserved_concurrency = 0
    log_retention_days   = 31
    alarm_topic_arns     = ["database"]
    permissions_boundary = "boundary"
    database_user_arns   = ["arn:aws:iam::111122223333:user/rds_tether"]
    vpc                  = { subnet_ids = [], security_group_ids = ["sg-0123456789abcdef0"] }
  }

  expect_failures = [
    var.name,
    var.architecture,
    var.timeout,
    var.memory,
    var.reserved_concurrency,
    var.log_retention_days,
    var.alarm_topic_arns,
    var.permissions_boundary,
    var.database_user_arns,
    var.vpc,
  ]
}

run "settings_that_lambda_does_not_take" {
  command = plan

  variables {
    target_groups = {
      for number in range(30) : "group-${number}" => {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders-${number}/73e2d6bc24d8a067"
        endpoints = ["orders-${number}.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
      }
    }
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_probe_from_outside" {
  command = plan

  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
        endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
        probe     = "tcp"
      }
    }
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_lead_from_outside" {
  command = plan

  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
        endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
        ca_bundle = "/var/task/rds-ca.pem"
        lead      = { user = "tether", password_file = "/var/task/password" }
      }
    }
  }

  expect_failures = [aws_lambda_function.this]
}

run "tokens_of_iam_for_nobody" {
  command = plan

  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
        endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
        ca_bundle = "/var/task/rds-ca.pem"
        lead      = { user = "tether", iam = true }
      }
    }
    vpc = { subnet_ids = ["subnet-0123456789abcdef0"], security_group_ids = ["sg-0123456789abcdef0"] }
  }

  expect_failures = [aws_lambda_function.this]
}
