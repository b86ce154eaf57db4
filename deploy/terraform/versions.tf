terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # aws_lb_listener has tcp_idle_timeout_seconds from 5.73 on, aws_vpc_endpoint_service supported_regions from 5.80 on.
      version = ">= 5.80"
    }
  }
}
