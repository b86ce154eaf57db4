output "autoscaling_group_name" {
  description = "Name of the Auto Scaling group."
  value       = aws_autoscaling_group.this.name
}

output "security_group_id" {
  description = "Security group of the hosts, which the database lets in."
  value       = aws_security_group.this.id
}

output "role_name" {
  description = "Name of the hosts' role, for what your account demands besides."
  value       = aws_iam_role.host.name
}

output "role_arn" {
  description = "ARN of the hosts' role, for the trust policies of roles that it assumes."
  value       = aws_iam_role.host.arn
}

output "launch_template_id" {
  description = "ID of the launch template."
  value       = aws_launch_template.this.id
}

output "settings" {
  description = "The hosts' settings (TOML)."
  value       = module.settings.text
}
