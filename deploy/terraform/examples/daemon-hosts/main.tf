# A target group of your own, followed by two small hosts instead of a function: within seconds of DNS, whatever becomes of
# events.
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

variable "target_group_arn" {
  description = "The group, of type ip."
  type        = string
}

variable "endpoint" {
  description = "What it shall be equal to, HOST:PORT."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the hosts."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the hosts, in two zones, with a way to AWS's APIs."
  type        = list(string)
}

variable "package" {
  description = "rds-tether's .rpm in S3, and what sha256sum prints for it."
  type = object({
    s3_bucket = string
    s3_key    = string
    sha256    = string
  })
}

module "hosts" {
  source = "../../modules/hosts"

  name       = "orders-tether"
  package    = var.package
  vpc_id     = var.vpc_id
  subnet_ids = var.subnet_ids

  target_groups = {
    orders = { arn = var.target_group_arn, endpoints = [var.endpoint] }
  }

  session_manager = true

  tags = { service = "orders" }
}

output "autoscaling_group_name" {
  value = module.hosts.autoscaling_group_name
}
