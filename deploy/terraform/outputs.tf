output "service_name" {
  description = "Name of the endpoint service: what a consumer, ClickPipes for one, is given."
  value       = module.privatelink.service_name
}

output "service_id" {
  description = "ID of the endpoint service, for `aws ec2 accept-vpc-endpoint-connections`."
  value       = module.privatelink.service_id
}

output "consumer" {
  description = "Everything that a consumer is told: the service's name, the port, the zones by the IDs that mean the same in every account, and the load balancer's DNS name for who needs no PrivateLink."
  value       = module.privatelink.consumer
}

output "target_group_arn" {
  description = "ARN of the target group."
  value       = module.privatelink.target_group_arn
}

output "load_balancer_arn" {
  description = "ARN of the load balancer."
  value       = module.privatelink.load_balancer_arn
}

output "load_balancer_security_group_id" {
  description = "Security group of the load balancer. The database lets it in, unless proxies are between them."
  value       = module.privatelink.security_group_id
}

output "function_name" {
  description = "Name of the function; null without one."
  value       = one(module.function[*].function_name)
}

output "first_sync" {
  description = "What the function answered at the last apply that called it; null without one."
  value       = one(module.function[*].first_sync)
}

output "autoscaling_group_name" {
  description = "Name of the hosts' Auto Scaling group; null without one."
  value       = one(module.hosts[*].autoscaling_group_name)
}

output "host_security_group_id" {
  description = "Security group of the hosts, which the database lets in if they are its proxies; null without hosts."
  value       = one(module.hosts[*].security_group_id)
}
