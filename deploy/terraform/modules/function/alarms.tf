# As in deploy/cloudwatch/alarms.json.
locals {
  alarms = {
    "stale" = {
      metric     = "InSync"
      statistic  = "SampleCount"
      period     = 60
      periods    = 10
      points     = 10
      comparison = "LessThanThreshold"
      threshold  = 1
      missing    = "breaching"
      text       = "Nothing has been said of the target group for 10 minutes. Check the schedule that wakes the function, and its log for time-outs; a failover is not followed meanwhile."
    }
    "no serving target" = {
      metric     = "HealthyTargets"
      statistic  = "Maximum"
      period     = 300
      periods    = 2
      points     = 2
      comparison = "LessThanThreshold"
      threshold  = 1
      missing    = "ignore"
      text       = "No target has been healthy for 10 minutes. Check that the database runs, that its security group lets the load balancer in, and that the health check fits."
    }
    "drift" = {
      metric     = "InSync"
      statistic  = "Maximum"
      period     = 300
      periods    = 4
      points     = 4
      comparison = "LessThanThreshold"
      threshold  = 1
      missing    = "ignore"
      text       = "The target group has not equalled DNS for 20 minutes. Invoke the function with {\"command\":\"plan\"}; it names what is pending, what is held and why."
    }
    "refused" = {
      metric     = "Refused"
      statistic  = "Maximum"
      period     = 60
      periods    = 10
      points     = 3
      comparison = "GreaterThanThreshold"
      threshold  = 0
      missing    = "ignore"
      text       = "An address that DNS names has not been let into the target group in 3 of the last 10 minutes. Correct allow_cidrs or the zone that answers, or raise ELB's limit; the function's log says which."
    }
    "denied" = {
      metric     = "Denied"
      statistic  = "Maximum"
      period     = 60
      periods    = 10
      points     = 3
      comparison = "GreaterThanThreshold"
      threshold  = 0
      missing    = "ignore"
      text       = "AWS has denied calls of the function in 3 of the last 10 minutes. Allow the call that its log names to its role."
    }
    "not resolving" = {
      metric     = "Unresolved"
      statistic  = "Maximum"
      period     = 60
      periods    = 10
      points     = 3
      comparison = "GreaterThanThreshold"
      threshold  = 0
      missing    = "ignore"
      text       = "An endpoint has not been resolved in 3 of the last 10 minutes. Check the endpoint's name, and the name servers of the function's VPC; nothing is removed meanwhile, but a failover is not followed."
    }
  }

  alarms_of_groups = var.alarms ? {
    for pair in setproduct(keys(var.target_groups), keys(local.alarms)) :
    "${pair[0]}: ${pair[1]}" => merge(local.alarms[pair[1]], {
      name = pair[1]
      # arn:PARTITION:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID
      group = split("/", var.target_groups[pair[0]].arn)[1]
    })
  } : {}
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms_of_groups

  alarm_name        = "rds-tether ${each.value.group} ${each.value.name}"
  alarm_description = each.value.text

  namespace   = "RdsTether"
  metric_name = each.value.metric
  dimensions  = { TargetGroup = each.value.group }

  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.points
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns

  tags = var.tags
}

# What is tagged is not known here: the function itself is watched instead of each target group.
locals {
  alarms_of_function = var.alarms && length(var.discover) > 0 ? {
    "not run" = {
      metric     = "Invocations"
      points     = 10
      comparison = "LessThanThreshold"
      threshold  = 1
      missing    = "breaching"
      text       = "The function has not run for 10 minutes. Check the schedule that wakes it; no failover is followed meanwhile."
    }
    "fails" = {
      metric     = "Errors"
      points     = 3
      comparison = "GreaterThanThreshold"
      threshold  = 0
      missing    = "ignore"
      text       = "The function has failed in 3 of the last 10 minutes. Its log names the target group, the cause and what to do; so does the queue of failed events."
    }
  } : {}
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each = local.alarms_of_function

  alarm_name        = "rds-tether ${var.name} ${each.key}"
  alarm_description = each.value.text

  namespace   = "AWS/Lambda"
  metric_name = each.value.metric
  dimensions  = { FunctionName = aws_lambda_function.this.function_name }

  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 10
  datapoints_to_alarm = each.value.points
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns

  tags = var.tags
}
