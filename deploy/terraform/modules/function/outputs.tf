output "function_name" {
  description = "Name of the function, for `aws lambda invoke` and its log."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "ARN of the function, for further sources of events."
  value       = aws_lambda_function.this.arn
}

output "role_name" {
  description = "Name of the function's role, for what your account demands besides."
  value       = aws_iam_role.function.name
}

output "role_arn" {
  description = "ARN of the function's role, for the trust policies of roles that it assumes."
  value       = aws_iam_role.function.arn
}

output "log_group_name" {
  description = "Log group of the function."
  value       = aws_cloudwatch_log_group.function.name
}

output "failed_events_queue_url" {
  description = "Queue of the events that the function failed on, each with the error."
  value       = aws_sqs_queue.failed.url
}

output "events_topic_arn" {
  description = "The topic that RDS publishes its events to; null without event_subscriptions."
  value       = one(aws_sns_topic.events[*].arn)
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = sort([for alarm in concat(values(aws_cloudwatch_metric_alarm.this), values(aws_cloudwatch_metric_alarm.function)) : alarm.alarm_name])
}

output "first_sync" {
  description = "What the function answered at the last apply that called it: what `rds-tether plan --output json` prints. null without first_sync."
  value       = one(aws_lambda_invocation.first_sync[*].result)
}

output "settings" {
  description = "The function's settings (TOML)."
  value       = module.settings.text
}
