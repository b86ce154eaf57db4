# Two small hosts with the proxy behind a load balancer of fixed targets: a failover costs seconds instead of minutes.
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
  description = "One subnet for each zone of the database's subnet group; at least two, with a way to AWS's APIs."
  type        = list(string)
}

variable "database_security_group_id" {
  description = "The database's security group."
  type        = string
}

variable "package" {
  description = "rds-tether's .rpm in S3, and what sha256sum prints for it."
  type = object({
    s3_bucket = string
    s3_key    = string
    sha256    = string
  })
}

module "tether" {
  source = "../.."

  name        = "orders"
  follow_with = "proxy"
  endpoint    = var.endpoint
  package     = var.package

  vpc_id                      = var.vpc_id
  subnet_ids                  = var.subnet_ids
  database_security_group_ids = [var.database_security_group_id]

  allowed_principals = ["arn:aws:iam::072088201116:root"]

  # For who is in the VPC itself.
  consumer_cidrs = ["10.0.0.0/16"]

  tags = { service = "orders" }
}

output "consumer" {
  value = module.tether.consumer
}
