output "service_name" {
  description = "Name of the endpoint service: what a consumer, ClickPipes for one, is given."
  value       = aws_vpc_endpoint_service.this.service_name
}

output "service_id" {
  description = "ID of the endpoint service, for `aws ec2 accept-vpc-endpoint-connections`."
  value       = aws_vpc_endpoint_service.this.id
}

output "consumer" {
  description = "Everything that a consumer is told: the service's name, the port, the zones by the IDs that mean the same in every account, and the load balancer's DNS name for who needs no PrivateLink."
  value = {
    service_name = aws_vpc_endpoint_service.this.service_name
    port         = var.port
    zone_ids     = sort(data.aws_subnet.this[*].availability_zone_id)
    dns_name     = aws_lb.this.dns_name
  }
}

output "zone_ids" {
  description = "IDs of the load balancer's zones."
  value       = sort(data.aws_subnet.this[*].availability_zone_id)
}

output "target_group_arn" {
  description = "ARN of the target group, for the function or hosts module."
  value       = aws_lb_target_group.this.arn
}

output "target_group_name" {
  description = "Name of the target group, the dimension of its metrics."
  value       = aws_lb_target_group.this.name
}

output "load_balancer_arn" {
  description = "ARN of the load balancer."
  value       = aws_lb.this.arn
}

output "load_balancer_dns_name" {
  description = "DNS name of the load balancer, for consumers that reach it without PrivateLink."
  value       = aws_lb.this.dns_name
}

output "listener_arn" {
  description = "ARN of the listener."
  value       = aws_lb_listener.this.arn
}

output "security_group_id" {
  description = "Security group of the load balancer, which the database or the hosts let in."
  value       = aws_security_group.this.id
}
