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
}

run "proxies" {
  variables {
    proxies = {
      orders = { endpoint = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432", port = 6432 }
    }
    load_balancer = {
      target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"]
      security_group_id = "sg-0000000000000001b"
    }
    database_security_group_ids = ["sg-0000000000000000d"]
  }

  assert {
    condition     = output.settings == <<-TOML
      [[proxy]]
      listen = "0.0.0.0:6432"
      endpoint = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"

      [http]
      listen = "0.0.0.0:9477"
    TOML
    error_message = output.settings
  }
  assert {
    condition     = { for name, rule in aws_vpc_security_group_ingress_rule.load_balancer : name => rule.from_port } == { "proxy orders" = 6432, health = 9477 }
    error_message = "The proxy's port and that of health."
  }
  assert {
    condition = alltrue([
      for rule in aws_vpc_security_group_ingress_rule.load_balancer :
      rule.security_group_id == aws_security_group.this.id && rule.referenced_security_group_id == "sg-0000000000000001b" && rule.cidr_ipv4 == null && rule.from_port == rule.to_port
    ])
    error_message = "From the load balancer, and from nobody else."
  }
  assert {
    condition = alltrue([
      for rule in aws_vpc_security_group_egress_rule.load_balancer :
      rule.security_group_id == "sg-0000000000000001b" && rule.referenced_security_group_id == aws_security_group.this.id
    ]) && length(aws_vpc_security_group_egress_rule.load_balancer) == 2
    error_message = "The load balancer may go there."
  }
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.database[0].security_group_id == "sg-0000000000000000d" &&
      aws_vpc_security_group_ingress_rule.database[0].from_port == 5432 && aws_vpc_security_group_ingress_rule.database[0].to_port == 5432 &&
      aws_vpc_security_group_egress_rule.database_groups[0].referenced_security_group_id == "sg-0000000000000000d" &&
      length(aws_vpc_security_group_egress_rule.database_cidrs) == 0
    )
    error_message = "The database lets the hosts in."
  }
  assert {
    condition     = aws_autoscaling_group.this.target_group_arns == toset(var.load_balancer.target_group_arns)
    error_message = "The Auto Scaling group registers its hosts."
  }
  assert {
    condition     = aws_autoscaling_group.this.health_check_type == "EC2"
    error_message = "A database that is down must not cost the hosts."
  }
  assert {
    condition     = tonumber(aws_autoscaling_group.this.instance_refresh[0].preferences[0].instance_warmup) == 600
    error_message = "ELB takes 3 to 5 minutes until a new host gets connections; until then the old ones are needed."
  }
  assert {
    condition = {
      for statement in data.aws_iam_policy_document.host.statement : one(statement.actions) => one(statement.resources)
      } == {
      "s3:GetObject"                        = "arn:aws:s3:::orders-packages/rds-tether-0.1.0-1.x86_64.rpm"
      "autoscaling:CompleteLifecycleAction" = "arn:aws:autoscaling:eu-west-1:111122223333:autoScalingGroup:*:autoScalingGroupName/rds-tether"
    }
    error_message = "A proxy needs nothing of AWS but its package."
  }
}

run "target_groups" {
  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
        endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
      }
    }
    notify          = { topic_arn = "arn:aws:sns:eu-west-1:111122223333:database" }
    session_manager = true
    package = {
      s3_bucket         = "orders-packages"
      s3_key            = "rds-tether-0.1.0-1.x86_64.rpm"
      s3_object_version = "3HL4kqtJlcpXroDTDmJ"
      sha256            = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    }
  }

  assert {
    condition     = output.settings == <<-TOML
      [[target_group]]
      arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
      endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]

      [http]
      listen = "127.0.0.1:9477"

      [notify]
      sns_topic_arn = "arn:aws:sns:eu-west-1:111122223333:database"
    TOML
    error_message = output.settings
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.load_balancer) + length(aws_vpc_security_group_ingress_rule.database) == 0
    error_message = "Nobody connects to it, and it connects to no database."
  }
  assert {
    condition     = length(aws_autoscaling_group.this.target_group_arns) == 0
    error_message = "The hosts are in no target group."
  }
  assert {
    condition     = tonumber(aws_autoscaling_group.this.instance_refresh[0].preferences[0].instance_warmup) == 30
    error_message = "No load balancer is waited for."
  }
  assert {
    condition = {
      for statement in data.aws_iam_policy_document.host.statement : statement.sid => join(" ", sort(statement.actions))
      } == {
      Look           = "elasticloadbalancing:DescribeTargetGroups elasticloadbalancing:DescribeTargetHealth"
      Change         = "elasticloadbalancing:DeregisterTargets elasticloadbalancing:RegisterTargets"
      OptionalNotify = "sns:Publish"
      Install        = "s3:GetObjectVersion"
      SayHowItGoes   = "autoscaling:CompleteLifecycleAction"
    }
    error_message = "No more than it needs."
  }
  assert {
    condition     = length(aws_iam_role_policy_attachment.session_manager) == 1
    error_message = "Session Manager, as asked for."
  }
  assert {
    condition     = strcontains(base64decode(aws_launch_template.this.user_data), "--version-id '3HL4kqtJlcpXroDTDmJ'")
    error_message = "The version that was asked for."
  }
}

run "the_hosts" {
  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
        endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
      }
    }
  }

  assert {
    condition     = aws_autoscaling_group.this.min_size == 2 && aws_autoscaling_group.this.desired_capacity == 2 && aws_autoscaling_group.this.vpc_zone_identifier == toset(var.subnet_ids)
    error_message = "Two hosts in two zones."
  }
  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required" && aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "IMDSv2 only."
  }
  assert {
    condition     = aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted == "true"
    error_message = "The disk is encrypted."
  }
  assert {
    condition     = aws_launch_template.this.key_name == null && length(aws_iam_role_policy_attachment.session_manager) == 0 && aws_launch_template.this.network_interfaces[0].associate_public_ip_address == "false"
    error_message = "No way in."
  }
  assert {
    condition     = aws_launch_template.this.image_id == "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64" && aws_launch_template.this.instance_type == "t3.micro"
    error_message = "Amazon Linux 2023."
  }
  assert {
    condition     = aws_autoscaling_group.this.instance_refresh[0].strategy == "Rolling" && aws_autoscaling_group.this.instance_refresh[0].preferences[0].min_healthy_percentage == 100
    error_message = "A new host first, then an old one goes."
  }
  assert {
    condition     = one(aws_autoscaling_group.this.initial_lifecycle_hook).default_result == "ABANDON" && one(aws_autoscaling_group.this.initial_lifecycle_hook).lifecycle_transition == "autoscaling:EC2_INSTANCE_LAUNCHING"
    error_message = "A host that is not ready takes nobody's place."
  }
  assert {
    condition = alltrue([
      for part in [
        "aws s3api get-object --bucket 'orders-packages' --key 'rds-tether-0.1.0-1.x86_64.rpm' \"$package\"",
        "<<<\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  $package\"",
        base64encode(output.settings),
        "http://127.0.0.1:9477/readyz",
        "--lifecycle-hook-name '${one(aws_autoscaling_group.this.initial_lifecycle_hook).name}' --auto-scaling-group-name '${aws_autoscaling_group.this.name}'",
      ] : strcontains(base64decode(aws_launch_template.this.user_data), part)
    ])
    error_message = base64decode(aws_launch_template.this.user_data)
  }
  assert {
    condition     = length(split("--version-id", base64decode(aws_launch_template.this.user_data))) == 1
    error_message = "No version unless asked for."
  }
}

run "target_groups_of_several_kinds" {
  variables {
    target_groups = {
      both     = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/both/1", endpoints = ["orders.example.com:5432"] }
      kept     = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/kept/2", endpoints = ["orders.example.com:5432"], upsert_only = true }
      observed = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/observed/3", endpoints = ["orders.example.com:5432"], observe = true }
      theirs = {
        arn         = "arn:aws:elasticloadbalancing:eu-west-1:444455556666:targetgroup/theirs/4"
        endpoints   = ["orders.example.com:5432"]
        assume_role = { arn = "arn:aws:iam::444455556666:role/tether" }
      }
    }
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.host.statement :
      statement.sid => join(" ", sort([for arn in statement.resources : element(split("/", arn), 1)]))
      if contains(["Look", "RegisterTargets", "DeregisterTargets", "AssumeRoles"], statement.sid)
      } == {
      Look              = "*"
      RegisterTargets   = "both kept"
      DeregisterTargets = "both"
      AssumeRoles       = "tether"
    }
    error_message = "Each group is allowed what is done with it."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.host.statement :
      statement.actions == toset(["elasticloadbalancing:${statement.sid}"]) if endswith(statement.sid, "Targets")
    ])
    error_message = "Each is called by what it allows."
  }
}

run "target_groups_of_others_only" {
  variables {
    target_groups = {
      theirs = {
        arn         = "arn:aws:elasticloadbalancing:eu-west-1:444455556666:targetgroup/theirs/4"
        endpoints   = ["orders.example.com:5432"]
        assume_role = { arn = "arn:aws:iam::444455556666:role/tether" }
      }
    }
  }

  assert {
    condition     = toset(data.aws_iam_policy_document.host.statement[*].sid) == toset(["AssumeRoles", "Install", "SayHowItGoes"])
    error_message = "What the role is for, the role is allowed."
  }
}

run "on_arm_with_a_probe" {
  command = plan

  variables {
    architecture = "arm64"
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"], probe = "tcp" }
    }
    database_security_group_ids = ["sg-0000000000000000d"]
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.database[0].from_port == 5432 && aws_vpc_security_group_egress_rule.database_groups[0].to_port == 5432
    error_message = "Who probes connects."
  }

  assert {
    condition     = endswith(aws_launch_template.this.image_id, "-arm64") && aws_launch_template.this.instance_type == "t4g.micro"
    error_message = "Image and instance fit the package."
  }
}

run "a_target_group_that_is_led" {
  command = plan

  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1"
        endpoints = ["orders.example.com:5432"]
        ca_bundle = "/etc/rds-tether/rds-ca.pem"
        lead      = { user = "tether", password_file = "/etc/rds-tether/password" }
      }
    }
    database_security_group_ids = ["sg-0000000000000000d"]
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.database[0].from_port == 5432 && aws_vpc_security_group_egress_rule.database_groups[0].to_port == 5432
    error_message = "Who asks the members connects."
  }
}

run "tokens_of_iam" {
  command = plan

  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1"
        endpoints = ["orders.example.com:5432"]
        ca_bundle = "/etc/rds-tether/rds-ca.pem"
        lead      = { user = "follower", iam = true }
      }
    }
    proxies = {
      orders  = { endpoint = "orders.example.com:5432", port = 5432, ca_bundle = "/etc/rds-tether/rds-ca.pem", lead = { user = "proxy", iam = true } }
      billing = { endpoint = "billing.example.com:5433", port = 5433, ca_bundle = "/etc/rds-tether/rds-ca.pem", lead = { user = "billing", password_file = "/etc/rds-tether/password" } }
    }
    load_balancer = {
      target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1"]
      security_group_id = "sg-0000000000000001b"
    }
    database_user_arns = [
      "arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/follower",
      "arn:aws:rds-db:eu-west-1:111122223333:dbuser:db-ABCDEFGHIJKL01234/proxy",
    ]
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.host.statement : one(statement.actions) => statement.resources if statement.sid == "OptionalLead"
    } == { "rds-db:connect" = toset(var.database_user_arns) }
    error_message = "It may log in as these users, and nobody else."
  }
}

run "tokens_of_iam_for_another_user" {
  command = plan

  variables {
    proxies = {
      orders = { endpoint = "orders.example.com:5432", port = 5432, ca_bundle = "/etc/rds-tether/rds-ca.pem", lead = { user = "proxy", iam = true } }
    }
    load_balancer = {
      target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1"]
      security_group_id = "sg-0000000000000001b"
    }
    database_user_arns = ["arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/another_proxy"]
  }

  expect_failures = [aws_autoscaling_group.this]
}

run "tokens_of_iam_for_nobody" {
  command = plan

  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1"
        endpoints = ["orders.example.com:5432"]
        ca_bundle = "/etc/rds-tether/rds-ca.pem"
        lead      = { user = "follower", iam = true }
      }
    }
  }

  expect_failures = [aws_autoscaling_group.this]
}

run "a_database_whose_groups_are_not_known" {
  command = plan

  variables {
    proxies = {
      orders  = { endpoint = "orders.example.com:5432", port = 5432 }
      billing = { endpoint = "billing.example.com:3306", port = 3306 }
    }
    load_balancer = {
      target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1"]
      security_group_id = "sg-0000000000000001b"
    }
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_egress_rule.database_cidrs : rule.from_port == 3306 && rule.to_port == 5432]) && length(aws_vpc_security_group_egress_rule.database_cidrs) == 4
    error_message = "To where databases can be."
  }
}

run "a_database_of_a_vpc_with_addresses_of_its_own" {
  command = plan

  variables {
    proxies = {
      orders = { endpoint = "orders.example.com:5432", port = 5432, allow_cidrs = ["11.0.0.0/16", "fd00::/8"] }
    }
    load_balancer = {
      target_group_arns = ["arn:aws-eusc:elasticloadbalancing:eusc-de-east-1:111122223333:targetgroup/orders/1"]
      security_group_id = "sg-0000000000000001b"
    }
  }

  assert {
    condition     = contains(keys(aws_vpc_security_group_egress_rule.database_cidrs), "11.0.0.0/16") && length(aws_vpc_security_group_egress_rule.database_cidrs) == 5
    error_message = "What the proxy may connect to, the host reaches."
  }
}

run "a_type_that_one_zone_does_not_have" {
  command = plan

  override_data {
    target = data.aws_ec2_instance_type_offerings.this
    values = { locations = ["eu-west-1b", "eu-west-1c"] }
  }

  variables {
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"] }
    }
  }

  expect_failures = [aws_autoscaling_group.this]
}

run "proxies_without_a_load_balancer" {
  command = plan

  variables {
    proxies = { orders = { endpoint = "orders.example.com:5432", port = 5432 } }
  }

  expect_failures = [aws_autoscaling_group.this]
}

run "odd_values" {
  command = plan

  variables {
    name          = "rds_tether"
    package       = { s3_bucket = "Packages", s3_key = "rds-tether.deb", sha256 = "abc", s3_object_version = "'" }
    architecture  = "arm"
    instance_type = "small"
    vpc_id        = "orders"
    subnet_ids    = ["subnet-0123456789abcdef0"]
    proxies       = { orders = { endpoint = "orders.example.com:5432", port = 80 } }
    load_balancer = {
      target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/orders/1"]
      security_group_id = "database"
    }
    database_security_group_ids = ["database"]
    extra_security_group_ids    = ["database"]
    database_user_arns          = ["arn:aws:rds-db:eu-west-1:111122223333:dbuser:*/rds_tether"]
    permissions_boundary        = "boundary"
  }

  expect_failures = [
    var.name,
    var.package,
    var.architecture,
    var.instance_type,
    var.vpc_id,
    var.subnet_ids,
    var.proxies,
    var.load_balancer,
    var.database_security_group_ids,
    var.extra_security_group_ids,
    var.database_user_arns,
    var.permissions_boundary,
  ]
}
