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
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::111122223333:instance-profile/rds-tether" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0" }
  }
  mock_resource "aws_security_group" {
    defaults = {
      id  = "sg-0123456789abcdef0"
      arn = "arn:aws:ec2:eu-west-1:111122223333:security-group/sg-0123456789abcdef0"
    }
  }
}

override_data {
  target = data.aws_subnet.this[0]
  values = { availability_zone = "eu-west-1a" }
}

override_data {
  target = data.aws_subnet.this[1]
  values = { availability_zone = "eu-west-1b" }
}

variables {
  package = {
    s3_bucket = "orders-packages"
    s3_key    = "rds-tether-0.1.0-1.x86_64.rpm"
    sha256    = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  }
  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]

  discover = {
    here  = { region = "eu-west-1", allow_endpoints = ["*.cluster-abc123.eu-west-1.rds.amazonaws.com"] }
    there = { region = "eu-central-1", allow_endpoints = ["*.eu-central-1.rds.amazonaws.com"] }
    other = {
      region          = "eu-west-1"
      allow_endpoints = ["*.eu-west-1.rds.amazonaws.com"]
      assume_role     = { arn = "arn:aws:iam::444455556666:role/tether" }
    }
  }
}

run "without_a_list_of_groups" {
  assert {
    condition     = length(split("[[discover]]", output.settings)) == 4 && !strcontains(output.settings, "[[target_group]]")
    error_message = output.settings
  }
  assert {
    condition = {
      for statement in data.aws_iam_policy_document.host.statement : statement.sid => join(" ", sort(statement.actions))
      } == {
      Look          = "elasticloadbalancing:DescribeTargetGroups elasticloadbalancing:DescribeTargetHealth"
      LookForTagged = "elasticloadbalancing:DescribeTags"
      ChangeTagged  = "elasticloadbalancing:DeregisterTargets elasticloadbalancing:RegisterTargets"
      AssumeRoles   = "sts:AssumeRole"
      Install       = "s3:GetObject"
      SayHowItGoes  = "autoscaling:CompleteLifecycleAction"
    }
    error_message = "No more than it needs."
  }
  assert {
    condition = [
      for statement in data.aws_iam_policy_document.host.statement : statement.resources if statement.sid == "ChangeTagged"
      ] == [toset([
        "arn:aws:elasticloadbalancing:eu-west-1:*:targetgroup/*/*",
        "arn:aws:elasticloadbalancing:eu-central-1:*:targetgroup/*/*",
    ])]
    error_message = "Where it looks without a role."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.host.statement :
      contains([for condition in statement.condition : "${condition.test} ${condition.variable} ${one(condition.values)}"], "Null aws:ResourceTag/rds-tether:endpoint false")
      if endswith(statement.sid, "Tagged") && statement.sid != "LookForTagged"
    ])
    error_message = "No target group is changed that is not tagged."
  }
  assert {
    condition = [
      for statement in data.aws_iam_policy_document.host.statement : statement.resources if statement.sid == "AssumeRoles"
    ] == [toset(["arn:aws:iam::444455556666:role/tether"])]
    error_message = "What the role is for, the role is allowed."
  }
  assert {
    condition     = length(aws_vpc_security_group_egress_rule.database_cidrs) + length(aws_vpc_security_group_egress_rule.database_groups) == 0
    error_message = "It connects to no database."
  }
}

run "a_probe_of_nobody_knows_which_port" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*.eu-west-1.rds.amazonaws.com"], defaults = { probe = "tcp" } } }
  }

  expect_failures = [aws_autoscaling_group.this]
}

run "a_probe_with_a_way_to_the_databases" {
  command = plan

  variables {
    discover                 = { here = { region = "eu-west-1", allow_endpoints = ["*.eu-west-1.rds.amazonaws.com"], defaults = { probe = "tcp" } } }
    extra_security_group_ids = ["sg-0000000000000000d"]
  }

  assert {
    condition     = contains(aws_launch_template.this.network_interfaces[0].security_groups, "sg-0000000000000000d")
    error_message = "It is the hosts'."
  }
}

run "tokens_of_iam_for_nobody" {
  command = plan

  variables {
    discover = {
      here = {
        region          = "eu-west-1"
        allow_endpoints = ["*.eu-west-1.rds.amazonaws.com"]
        defaults        = { ca_bundle = "/etc/rds-tether/rds-ca.pem", lead = { user = "tether", iam = true } }
      }
    }
    extra_security_group_ids = ["sg-0000000000000000d"]
  }

  expect_failures = [aws_autoscaling_group.this]
}

run "proxies_and_tagged_groups" {
  command = plan

  variables {
    proxies = { orders = { endpoint = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432", port = 5432 } }
    load_balancer = {
      target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"]
      security_group_id = "sg-0000000000000001b"
    }
  }

  expect_failures = [aws_autoscaling_group.this]
}
