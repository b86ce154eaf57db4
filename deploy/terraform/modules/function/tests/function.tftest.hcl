mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
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
  target_groups = {
    orders = {
      arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
      endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
    }
    reports = {
      arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/reports-tg/0a1b2c3d4e5f6071"
      endpoints = ["orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com:5432"]
    }
  }
}

run "defaults" {
  assert {
    condition     = aws_lambda_function.this.runtime == "provided.al2023" && aws_lambda_function.this.handler == "bootstrap"
    error_message = "The zip has an executable named bootstrap."
  }
  assert {
    condition     = aws_lambda_function.this.timeout == 180 && aws_lambda_function.this.memory_size == 128
    error_message = "A failover is waited for up to 120 s, and the removal 60 s more."
  }
  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == -1
    error_message = "A new account has 10 invocations at a time, none of which it lets be set aside."
  }
  assert {
    condition = nonsensitive(aws_lambda_function.this.environment[0].variables == tomap({
      RDS_TETHER_CONFIG  = output.settings
      RDS_TETHER_TAG_KEY = terraform_data.tag_key.output
    }))
    error_message = "The settings are given as text, and the tag's secret beside it."
  }
  assert {
    condition     = can(regex("^[0-9a-f-]{36}$", terraform_data.tag_key.output))
    error_message = "The secret is random."
  }
  assert {
    condition     = strcontains(output.settings, "targetgroup/orders/73e2d6bc24d8a067") && strcontains(output.settings, "cluster-ro-abc123")
    error_message = output.settings
  }
  assert {
    condition     = length(aws_lambda_function.this.vpc_config) == 0
    error_message = "No VPC unless asked for."
  }
  assert {
    condition     = aws_cloudwatch_log_group.function.name == "/aws/lambda/rds-tether" && aws_cloudwatch_log_group.function.retention_in_days == 30
    error_message = "The log group is that of the function, and forgets."
  }
  assert {
    condition     = aws_lambda_function_event_invoke_config.this.maximum_retry_attempts == 0
    error_message = "The next tick is the retry."
  }
  assert {
    condition     = aws_lambda_function_event_invoke_config.this.maximum_event_age_in_seconds == 120
    error_message = "Older events are worth nothing."
  }
  assert {
    condition     = aws_lambda_function_event_invoke_config.this.destination_config[0].on_failure[0].destination == aws_sqs_queue.failed.arn
    error_message = "What failed is kept."
  }
  assert {
    condition     = aws_sqs_queue.failed.sqs_managed_sse_enabled
    error_message = "The queue is encrypted."
  }
  assert {
    condition     = aws_cloudwatch_event_rule.schedule.schedule_expression == "rate(1 minute)"
    error_message = "Absence clocks start anew when nobody has looked for 90 s."
  }
  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.rds[0].event_pattern) == {
      source      = ["aws.rds"]
      detail-type = ["RDS DB Instance Event", "RDS DB Cluster Event", "RDS Blue Green Deployment Event"]
    }
    error_message = "All databases: blue/green events name the deployment only."
  }
  assert {
    condition = alltrue([
      for permission in [aws_lambda_permission.schedule, aws_lambda_permission.rds[0]] :
      permission.principal == "events.amazonaws.com" && permission.action == "lambda:InvokeFunction" && permission.source_arn != null
    ])
    error_message = "Only these rules may call the function."
  }
  assert {
    condition     = length(aws_sns_topic.events) == 0 && length(aws_db_event_subscription.this) == 0 && output.events_topic_arn == null
    error_message = "No topic unless asked for."
  }
  assert {
    condition = {
      for statement in data.aws_iam_policy_document.function.statement : statement.sid => join(" ", sort(statement.actions))
      } == {
      Look               = "elasticloadbalancing:DescribeTargetGroups elasticloadbalancing:DescribeTargetHealth"
      Change             = "elasticloadbalancing:DeregisterTargets elasticloadbalancing:RegisterTargets"
      OptionalReadClocks = "elasticloadbalancing:DescribeTags"
      OptionalKeepClocks = "elasticloadbalancing:AddTags"
      Log                = "logs:CreateLogStream logs:PutLogEvents"
      KeepFailedEvents   = "sqs:SendMessage"
    }
    error_message = "No more than it needs."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.function.statement :
      statement.resources == toset([for group in var.target_groups : group.arn]) if contains(["Change", "OptionalKeepClocks"], statement.sid)
    ])
    error_message = "It changes its own target groups only."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.function.statement :
      one(statement.condition).variable == "aws:TagKeys" && one(one(statement.condition).values) == "rds-tether:absent" && one(statement.condition).test == "ForAllValues:StringEquals"
      if statement.sid == "OptionalKeepClocks"
    ])
    error_message = "It writes its own tag only."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.function.statement :
      !contains(statement.resources, "*") if !contains(["Look", "OptionalReadClocks"], statement.sid)
    ])
    error_message = "Everything only where only Describe calls are."
  }
  assert {
    condition     = jsondecode(aws_lambda_invocation.first_sync[0].input) == { command = "sync" }
    error_message = "It converges."
  }
  assert {
    condition     = aws_lambda_invocation.first_sync[0].triggers["settings"] == sha256(output.settings)
    error_message = "Other settings call it anew."
  }
  assert {
    condition = output.alarm_names == tolist([
      "rds-tether orders denied",
      "rds-tether orders drift",
      "rds-tether orders no serving target",
      "rds-tether orders not resolving",
      "rds-tether orders refused",
      "rds-tether orders stale",
      "rds-tether reports-tg denied",
      "rds-tether reports-tg drift",
      "rds-tether reports-tg no serving target",
      "rds-tether reports-tg not resolving",
      "rds-tether reports-tg refused",
      "rds-tether reports-tg stale",
    ])
    error_message = join(", ", output.alarm_names)
  }
  # A tick writes one datapoint; one that waits writes it after some minutes, at its end.
  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.period >= 60 && alarm.datapoints_to_alarm <= alarm.evaluation_periods && alarm.period * alarm.evaluation_periods <= 3600
    ])
    error_message = "Each can fire within an hour."
  }
  # What counts ticks must see them missing; what looks at their values must not be red because there are none.
  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.treat_missing_data == (alarm.statistic == "SampleCount" ? "breaching" : "ignore")
    ])
    error_message = "Each can be green: missing lines are what \"stale\" is for, and nothing else."
  }
  # InSync and HealthyTargets are good from 1 on, the others are good at 0.
  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      contains(["InSync", "HealthyTargets"], alarm.metric_name)
      ? alarm.comparison_operator == "LessThanThreshold" && alarm.threshold == 1
      : alarm.comparison_operator == "GreaterThanThreshold" && alarm.threshold == 0
    ])
    error_message = "Each is green on a good value and red on a bad one."
  }
  # What is good from 1 on must be bad in each period of a bad time, and periods are longer than the longest invocation. What is
  # good at 0 is counted: there is no datapoint for most minutes of trouble.
  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.statistic == "Maximum" && (
        alarm.comparison_operator == "LessThanThreshold"
        ? alarm.period > var.timeout && alarm.datapoints_to_alarm == alarm.evaluation_periods
        : alarm.datapoints_to_alarm < alarm.evaluation_periods && alarm.period * alarm.evaluation_periods > var.timeout * alarm.datapoints_to_alarm
      )
      if alarm.statistic != "SampleCount"
    ])
    error_message = "Each can be red although an invocation in trouble lasts for minutes."
  }
  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.namespace == "RdsTether" && contains(["orders", "reports-tg"], alarm.dimensions["TargetGroup"]) && length(alarm.dimensions) == 1
    ])
    error_message = "They are on what the function writes."
  }
  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.alarm_actions == toset(["arn:aws:sns:eu-west-1:111122223333:alarms"]) && alarm.ok_actions == alarm.alarm_actions
    ])
    error_message = "They tell the topic, of the end, too."
  }
}

run "event_subscriptions" {
  variables {
    eventbridge         = false
    event_subscriptions = true
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.rds) == 0 && aws_cloudwatch_event_rule.schedule.schedule_expression == "rate(1 minute)"
    error_message = "The schedule is always there."
  }
  assert {
    condition     = toset([for subscription in aws_db_event_subscription.this : subscription.source_type]) == toset(["db-instance", "db-cluster", "blue-green-deployment"])
    error_message = "Each kind of source that says that an address may change."
  }
  assert {
    condition     = alltrue([for subscription in aws_db_event_subscription.this : subscription.sns_topic == aws_sns_topic.events[0].arn])
    error_message = "They publish to our topic."
  }
  assert {
    condition = (
      length(data.aws_iam_policy_document.events[0].statement) == 1 &&
      one(data.aws_iam_policy_document.events[0].statement[0].principals).identifiers == toset(["events.rds.amazonaws.com"]) &&
      { for condition in data.aws_iam_policy_document.events[0].statement[0].condition : condition.variable => one(condition.values) } == {
        "aws:SourceAccount" = "111122223333"
        "aws:SourceArn"     = "arn:aws:rds:eu-west-1:111122223333:*"
      }
    )
    error_message = "RDS alone may publish, and for this account's databases alone."
  }
  assert {
    condition     = aws_lambda_permission.events[0].principal == "sns.amazonaws.com" && aws_lambda_permission.events[0].source_arn == aws_sns_topic.events[0].arn
    error_message = "Only our topic may call the function."
  }
}

run "permissions_to_notify_and_to_act_for_others" {
  variables {
    notify = { topic_arn = "arn:aws:sns:eu-west-1:111122223333:database" }
    target_groups = {
      orders = {
        arn         = "arn:aws:elasticloadbalancing:eu-west-1:444455556666:targetgroup/orders/73e2d6bc24d8a067"
        endpoints   = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
        assume_role = { arn = "arn:aws:iam::444455556666:role/tether" }
      }
    }
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.function.statement : one(statement.actions) => one(statement.resources)
      if contains(["OptionalNotify", "AssumeRoles"], statement.sid)
      } == {
      "sns:Publish"    = "arn:aws:sns:eu-west-1:111122223333:database"
      "sts:AssumeRole" = "arn:aws:iam::444455556666:role/tether"
    }
    error_message = "Publishing to the topic, and assuming the role."
  }
  assert {
    condition     = strcontains(output.settings, "[notify]\nsns_topic_arn = \"arn:aws:sns:eu-west-1:111122223333:database\"")
    error_message = output.settings
  }
  assert {
    condition     = aws_lambda_invocation.first_sync[0].triggers["settings"] != sha256(run.defaults.settings)
    error_message = "The trigger follows the settings."
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
      for statement in data.aws_iam_policy_document.function.statement :
      statement.sid => join(" ", sort([for arn in statement.resources : element(split("/", arn), 1)]))
      if !contains(["Log", "KeepFailedEvents"], statement.sid)
      } == {
      Look               = "*"
      RegisterTargets    = "both kept"
      DeregisterTargets  = "both"
      OptionalReadClocks = "*"
      OptionalKeepClocks = "both kept"
      AssumeRoles        = "tether"
    }
    error_message = "Each group is allowed what is done with it."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.function.statement :
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
    condition     = toset(data.aws_iam_policy_document.function.statement[*].sid) == toset(["AssumeRoles", "Log", "KeepFailedEvents"])
    error_message = "What the role is for, the role is allowed."
  }
}

run "in_a_vpc" {
  variables {
    architecture = "arm64"
    vpc          = { subnet_ids = ["subnet-0123456789abcdef0"], security_group_ids = ["sg-0123456789abcdef0"] }
  }

  assert {
    condition     = aws_lambda_function.this.vpc_config[0].subnet_ids == toset(["subnet-0123456789abcdef0"]) && aws_lambda_function.this.architectures == tolist(["arm64"])
    error_message = "It is where it was asked to be."
  }
  assert {
    condition = {
      for statement in data.aws_iam_policy_document.function.statement : one(statement.resources) => join(" ", sort(statement.actions))
      if statement.sid == "BeInTheVpc"
      } == {
      "*" = "ec2:AssignPrivateIpAddresses ec2:CreateNetworkInterface ec2:DeleteNetworkInterface ec2:DescribeNetworkInterfaces ec2:DescribeSubnets ec2:UnassignPrivateIpAddresses"
    }
    error_message = "It may make its network interfaces."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.function.statement :
      statement.resources == toset(["${aws_cloudwatch_log_group.function.arn}:*"]) && !contains(statement.actions, "logs:CreateLogGroup")
      if anytrue([for action in statement.actions : startswith(action, "logs:")])
    ])
    error_message = "A function that still runs at a destroy makes no log group anew."
  }
}

run "tokens_of_iam" {
  variables {
    target_groups = {
      orders = {
        arn       = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067"
        endpoints = ["orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"]
        ca_bundle = "/var/task/rds-ca.pem"
        lead      = { user = "tether", iam = true }
      }
    }
    vpc                = { subnet_ids = ["subnet-0123456789abcdef0"], security_group_ids = ["sg-0123456789abcdef0"] }
    database_user_arns = ["arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/tether"]
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.function.statement : one(statement.actions) => one(statement.resources) if statement.sid == "OptionalLead"
    } == { "rds-db:connect" = "arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/tether" }
    error_message = "It may log in as this user, and as nobody else."
  }
}

run "without" {
  variables {
    first_sync = false
    alarms     = false
  }

  assert {
    condition     = length(aws_lambda_invocation.first_sync) == 0 && output.first_sync == null
    error_message = "Not called unless asked for."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 0
    error_message = "No alarms unless asked for."
  }
}
