mock_provider "aws" {
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
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-1:111122223333:rds-tether-events" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:eu-west-1:111122223333:rule/rds-tether" }
  }
}

variables {
  alarm_topic_arns = ["arn:aws:sns:eu-west-1:111122223333:alarms"]
  package          = { s3_bucket = "packages", s3_key = "bootstrap.zip" }
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
      for statement in data.aws_iam_policy_document.function.statement : statement.sid => join(" ", sort(statement.actions))
      } == {
      Look                       = "elasticloadbalancing:DescribeTargetGroups elasticloadbalancing:DescribeTargetHealth"
      OptionalReadClocks         = "elasticloadbalancing:DescribeTags"
      LookForTagged              = "elasticloadbalancing:DescribeTags"
      ChangeTagged               = "elasticloadbalancing:DeregisterTargets elasticloadbalancing:RegisterTargets"
      OptionalKeepClocksOfTagged = "elasticloadbalancing:AddTags"
      AssumeRoles                = "sts:AssumeRole"
      Log                        = "logs:CreateLogStream logs:PutLogEvents"
      KeepFailedEvents           = "sqs:SendMessage"
    }
    error_message = "No more than it needs."
  }
  assert {
    condition = [
      for statement in data.aws_iam_policy_document.function.statement : statement.resources if statement.sid == "ChangeTagged"
      ] == [toset([
        "arn:aws:elasticloadbalancing:eu-west-1:*:targetgroup/*/*",
        "arn:aws:elasticloadbalancing:eu-central-1:*:targetgroup/*/*",
    ])]
    error_message = "Where it looks without a role."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.function.statement :
      contains([for condition in statement.condition : "${condition.test} ${condition.variable} ${one(condition.values)}"], "Null aws:ResourceTag/rds-tether:endpoint false")
      if endswith(statement.sid, "Tagged") && statement.sid != "LookForTagged"
    ])
    error_message = "No target group is changed that is not tagged."
  }
  assert {
    condition = [
      for statement in data.aws_iam_policy_document.function.statement : statement.resources if statement.sid == "AssumeRoles"
    ] == [toset(["arn:aws:iam::444455556666:role/tether"])]
    error_message = "What the role is for, the role is allowed."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.function.statement :
      contains([for condition in statement.condition : "${condition.test} ${condition.variable} ${one(condition.values)}"], "ForAllValues:StringEquals aws:TagKeys rds-tether:absent")
      if statement.sid == "OptionalKeepClocksOfTagged"
    ])
    error_message = "It writes its own tag only: no other group becomes one that is followed."
  }
  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.tags[0].event_pattern) == {
      source      = ["aws.tag"]
      detail-type = ["Tag Change on Resource"]
      detail = {
        service       = ["elasticloadbalancing"]
        resource-type = ["targetgroup"]
        changed-tag-keys = [
          "rds-tether:endpoint",
          "rds-tether:role",
          "rds-tether:forget",
          "rds-tether:patience",
          "rds-tether:allow-cidrs",
          "rds-tether:keep",
          "rds-tether:upsert-only",
          "rds-tether:probe",
          "rds-tether:probe-patience",
          "rds-tether:observe",
        ]
      }
    }
    error_message = "Who tags a group waits for no look."
  }
  assert {
    condition = (
      aws_cloudwatch_event_target.tags[0].arn == aws_lambda_function.this.arn &&
      aws_lambda_permission.tags[0].principal == "events.amazonaws.com" && aws_lambda_permission.tags[0].source_arn == aws_cloudwatch_event_rule.tags[0].arn
    )
    error_message = "Its rule alone may call the function."
  }
  assert {
    condition     = length(aws_cloudwatch_event_rule.rds) == 1
    error_message = "Databases are listened to all the same."
  }
  assert {
    condition = output.alarm_names == tolist(["rds-tether rds-tether fails", "rds-tether rds-tether not run"]) && alltrue([
      for alarm in aws_cloudwatch_metric_alarm.function :
      alarm.namespace == "AWS/Lambda" && alarm.dimensions == tomap({ FunctionName = "rds-tether" }) &&
      alarm.alarm_actions == toset(["arn:aws:sns:eu-west-1:111122223333:alarms"]) && alarm.ok_actions == alarm.alarm_actions
    ])
    error_message = "The function itself is watched."
  }
}

run "beside_a_list_of_groups" {
  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
        endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
      }
    }
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*.eu-west-1.rds.amazonaws.com"] } }
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.function.statement : statement.sid => join(" ", statement.resources)
      if strcontains(statement.sid, "Change") || strcontains(statement.sid, "Keep") && statement.sid != "KeepFailedEvents"
      } == {
      Change                     = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
      OptionalKeepClocks         = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
      ChangeTagged               = "arn:aws:elasticloadbalancing:eu-west-1:*:targetgroup/*/*"
      OptionalKeepClocksOfTagged = "arn:aws:elasticloadbalancing:eu-west-1:*:targetgroup/*/*"
    }
    error_message = "Listed groups need no tag."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 6 && length(aws_cloudwatch_metric_alarm.function) == 2
    error_message = "Those of the listed group, and those of the function."
  }
}

run "with_roles_only" {
  variables {
    discover = {
      other = {
        region          = "eu-west-1"
        allow_endpoints = ["*.eu-west-1.rds.amazonaws.com"]
        assume_role     = { arn = "arn:aws:iam::444455556666:role/tether" }
      }
    }
  }

  assert {
    condition     = toset(data.aws_iam_policy_document.function.statement[*].sid) == toset(["AssumeRoles", "Log", "KeepFailedEvents"])
    error_message = "What the role is for, the role is allowed."
  }
}

run "nothing_to_discover" {
  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
        endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
      }
    }
    discover = {}
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.tags) + length(aws_cloudwatch_event_target.tags) + length(aws_lambda_permission.tags) + length(aws_cloudwatch_metric_alarm.function) == 0
    error_message = "Whoever follows no tags is woken by none."
  }
}

run "without_alarms" {
  variables {
    alarms = false
  }

  assert {
    condition     = length(output.alarm_names) == 0
    error_message = "No alarms unless asked for."
  }
}

run "a_probe_from_outside" {
  command = plan

  variables {
    discover = { here = { region = "eu-west-1", allow_endpoints = ["*.eu-west-1.rds.amazonaws.com"], defaults = { probe = "tcp" } } }
  }

  expect_failures = [aws_lambda_function.this]
}

run "tokens_of_iam_for_nobody" {
  command = plan

  variables {
    discover = {
      here = {
        region          = "eu-west-1"
        allow_endpoints = ["*.eu-west-1.rds.amazonaws.com"]
        defaults        = { ca_bundle = "/var/task/rds-ca.pem", lead = { user = "tether", iam = true } }
      }
    }
    vpc = { subnet_ids = ["subnet-0123456789abcdef0"], security_group_ids = ["sg-0123456789abcdef0"] }
  }

  expect_failures = [aws_lambda_function.this]
}
