mock_provider "aws" {
  mock_data "aws_ec2_instance_type_offerings" {
    defaults = { locations = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/rds-tether" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/lambda/rds-tether" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-west-1:111122223333:function:rds-tether" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-west-1:111122223333:rds-tether-failed" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:eu-west-1:111122223333:rule/rds-tether" }
  }
  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/orders/0a1b2c3d4e5f6071" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders-5432-db/73e2d6bc24d8a067" }
  }
  mock_resource "aws_security_group" {
    defaults = {
      id  = "sg-0123456789abcdef0"
      arn = "arn:aws:ec2:eu-west-1:111122223333:security-group/sg-0123456789abcdef0"
    }
  }
  mock_resource "aws_vpc_endpoint_service" {
    defaults = { service_name = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::111122223333:instance-profile/rds-tether" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0" }
  }
}

override_data {
  target = module.privatelink.data.aws_subnet.this[0]
  values = { availability_zone = "eu-west-1a", availability_zone_id = "euw1-az2" }
}

override_data {
  target = module.privatelink.data.aws_subnet.this[1]
  values = { availability_zone = "eu-west-1b", availability_zone_id = "euw1-az1" }
}

override_data {
  target = module.hosts[0].data.aws_subnet.this[0]
  values = { availability_zone = "eu-west-1a" }
}

override_data {
  target = module.hosts[0].data.aws_subnet.this[1]
  values = { availability_zone = "eu-west-1b" }
}

variables {
  name                        = "orders"
  endpoint                    = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"
  vpc_id                      = "vpc-0123456789abcdef0"
  subnet_ids                  = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
  database_security_group_ids = ["sg-0000000000000000d"]
  allowed_principals          = ["arn:aws:iam::072088201116:root"]
  package = {
    s3_bucket = "orders-packages"
    s3_key    = "rds-tether-0.1.0-1.x86_64.rpm"
    sha256    = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  }
}

run "function" {
  variables {
    follow_with = "function"
  }

  assert {
    condition     = length(module.function) == 1 && length(module.hosts) == 0 && output.function_name == "orders" && output.autoscaling_group_name == null
    error_message = "A function and no host."
  }
  assert {
    condition     = module.function[0].settings == <<-TOML
      [[target_group]]
      arn = "${output.target_group_arn}"
      endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
    TOML
    error_message = module.function[0].settings
  }
  assert {
    condition     = length(module.function[0].alarm_names) == 6
    error_message = "With its alarms."
  }
  assert {
    condition     = output.consumer.port == 5432 && output.service_name == "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"
    error_message = "What the consumer is told."
  }
}

run "hosts" {
  variables {
    follow_with = "hosts"
  }

  assert {
    condition     = length(module.function) == 0 && output.function_name == null && output.first_sync == null && output.autoscaling_group_name == "orders"
    error_message = "Hosts and no function."
  }
  assert {
    condition     = strcontains(module.hosts[0].settings, "[[target_group]]\narn = \"${output.target_group_arn}\"\n") && !strcontains(module.hosts[0].settings, "[[proxy]]")
    error_message = module.hosts[0].settings
  }
}

run "proxy" {
  variables {
    follow_with = "proxy"
  }

  assert {
    condition     = length(module.function) == 0 && output.autoscaling_group_name == "orders"
    error_message = "Hosts and no function."
  }
  assert {
    condition     = module.hosts[0].settings == <<-TOML
      [[proxy]]
      listen = "0.0.0.0:5432"
      endpoint = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"

      [http]
      listen = "0.0.0.0:9477"
    TOML
    error_message = module.hosts[0].settings
  }
}

run "a_vpc_with_addresses_of_its_own" {
  variables {
    follow_with    = "function"
    database_cidrs = ["11.0.0.0/16"]
  }

  assert {
    condition     = strcontains(module.function[0].settings, "allow_cidrs = [\"11.0.0.0/16\"]")
    error_message = module.function[0].settings
  }
}

run "proxies_to_a_vpc_with_addresses_of_its_own" {
  variables {
    follow_with    = "proxy"
    database_cidrs = ["11.0.0.0/16"]
  }

  assert {
    condition     = strcontains(module.hosts[0].settings, "allow_cidrs = [\"11.0.0.0/16\"]")
    error_message = module.hosts[0].settings
  }
}

run "a_function_and_tagged_groups" {
  variables {
    follow_with = "function"
    discover    = { here = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"] } }
  }

  assert {
    condition     = strcontains(module.function[0].settings, "[[target_group]]") && strcontains(module.function[0].settings, "[[discover]]")
    error_message = module.function[0].settings
  }
}

# A module refuses it if it is not given the way to the databases, or their users.
run "a_function_that_logs_in_to_what_tags_name" {
  variables {
    follow_with = "function"
    discover = {
      here = {
        region          = "eu-west-1"
        allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"]
        defaults        = { ca_bundle = "/var/task/rds-ca.pem", lead = { user = "tether", iam = true } }
      }
    }
    vpc                = { subnet_ids = ["subnet-0123456789abcdef0"], security_group_ids = ["sg-0123456789abcdef0"] }
    database_user_arns = ["arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/tether"]
  }

  assert {
    condition     = strcontains(module.function[0].settings, "user = \"tether\"")
    error_message = module.function[0].settings
  }
}

run "hosts_that_probe_and_log_in_to_what_tags_name" {
  variables {
    follow_with = "hosts"
    discover = {
      here = {
        region          = "eu-west-1"
        allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"]
        defaults        = { ca_bundle = "/etc/rds-tether/rds-ca.pem", probe = "tls", lead = { user = "tether", iam = true } }
      }
    }
    extra_security_group_ids = ["sg-0000000000000000e"]
    database_user_arns       = ["arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/tether"]
  }

  assert {
    condition     = strcontains(module.hosts[0].settings, "probe = \"tls\"") && strcontains(module.hosts[0].settings, "user = \"tether\"")
    error_message = module.hosts[0].settings
  }
}

# Of the load balancer's zones two are enough for two hosts.
run "proxies_in_subnets_of_their_own" {
  command = plan

  variables {
    follow_with     = "proxy"
    host_subnet_ids = ["subnet-0000000000000000a", "subnet-0000000000000000b"]
  }

  override_data {
    target = data.aws_subnet.proxy[0]
    values = { id = "subnet-0000000000000000a", availability_zone_id = "euw1-az1" }
  }
  override_data {
    target = data.aws_subnet.proxy[1]
    values = { id = "subnet-0000000000000000b", availability_zone_id = "euw1-az2" }
  }

  assert {
    condition     = length(data.aws_subnet.proxy) == 2 && output.autoscaling_group_name == "orders"
    error_message = "They are looked at, and found good."
  }
}

run "proxies_where_the_load_balancer_is_not" {
  command = plan

  variables {
    follow_with     = "proxy"
    host_subnet_ids = ["subnet-0000000000000000a", "subnet-0000000000000000c"]
  }

  override_data {
    target = data.aws_subnet.proxy[0]
    values = { id = "subnet-0000000000000000a", availability_zone_id = "euw1-az1" }
  }
  override_data {
    target = data.aws_subnet.proxy[1]
    values = { id = "subnet-0000000000000000c", availability_zone_id = "euw1-az3" }
  }

  expect_failures = [data.aws_subnet.proxy[1]]
}

run "hosts_where_the_load_balancer_is_not" {
  command = plan

  variables {
    follow_with     = "hosts"
    host_subnet_ids = ["subnet-0000000000000000a", "subnet-0000000000000000c"]
  }

  assert {
    condition     = length(data.aws_subnet.proxy) == 0
    error_message = "No connection comes to them: any zone will do."
  }
}

run "odd_values" {
  command = plan

  variables {
    name                        = "orders-"
    endpoint                    = "10.0.1.5:5432"
    follow_with                 = "daemon"
    package                     = { s3_bucket = "orders-packages" }
    architecture                = "arm"
    vpc_id                      = "orders"
    subnet_ids                  = []
    host_subnet_ids             = ["a"]
    database_security_group_ids = ["database"]
    extra_security_group_ids    = ["database"]
    database_user_arns          = ["arn:aws:iam::111122223333:user/tether"]
    allowed_principals          = ["*"]
    supported_regions           = ["Ireland"]
    consumer_cidrs              = ["0.0.0.0/0"]
    alarm_topic_arns            = ["database"]
    database_cidrs              = ["0.0.0.0/0"]
    deregistration_delay        = 3601
    reserved_concurrency        = 0
    vpc                         = { subnet_ids = ["subnet-0123456789abcdef0"], security_group_ids = [] }
    permissions_boundary        = "boundary"
  }

  expect_failures = [
    var.name,
    var.endpoint,
    var.follow_with,
    var.package,
    var.architecture,
    var.vpc_id,
    var.subnet_ids,
    var.host_subnet_ids,
    var.database_security_group_ids,
    var.extra_security_group_ids,
    var.database_user_arns,
    var.allowed_principals,
    var.supported_regions,
    var.consumer_cidrs,
    var.database_cidrs,
    var.alarm_topic_arns,
    var.deregistration_delay,
    var.reserved_concurrency,
    var.vpc,
    var.permissions_boundary,
  ]
}
