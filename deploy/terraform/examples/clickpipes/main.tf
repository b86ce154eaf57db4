# The whole path from ClickPipes to a database, and a function that keeps it right.
terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region of the database."
  type        = string
}

variable "endpoint" {
  description = "The database's endpoint, HOST:PORT."
  type        = string
}

variable "vpc_id" {
  description = "The database's VPC."
  type        = string
}

variable "subnet_ids" {
  description = "One subnet for each zone of the database's subnet group."
  type        = list(string)
}

variable "database_security_group_id" {
  description = "The database's security group."
  type        = string
}

variable "zip" {
  description = "Path of the function's zip."
  type        = string
}

variable "first_sync" {
  description = "Whether an apply calls the function."
  type        = bool
  default     = true
}

module "tether" {
  source = "../.."

  name        = "orders"
  follow_with = "function"
  endpoint    = var.endpoint
  package     = { file = var.zip }

  vpc_id                      = var.vpc_id
  subnet_ids                  = var.subnet_ids
  database_security_group_ids = [var.database_security_group_id]

  # The account of ClickPipes is every customer's, so each endpoint is accepted by hand.
  allowed_principals  = ["arn:aws:iam::072088201116:root"]
  acceptance_required = true

  first_sync = var.first_sync
  tags       = { service = "orders" }
}

output "clickpipes" {
  description = "What ClickPipes is given: a reverse private endpoint of type \"VPC endpoint service\" with this service name, and the port."
  value       = module.tether.consumer
}

output "accept" {
  description = "What to run when ClickPipes waits for acceptance, with the endpoint's ID that ClickPipes shows."
  value       = "aws ec2 accept-vpc-endpoint-connections --region ${var.region} --service-id ${module.tether.service_id} --vpc-endpoint-ids ENDPOINT_ID"
}

output "target_group_arn" {
  value = module.tether.target_group_arn
}
