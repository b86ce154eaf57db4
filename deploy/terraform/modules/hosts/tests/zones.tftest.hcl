mock_provider "aws" {
  mock_data "aws_ec2_instance_type_offerings" {
    defaults = { locations = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_data "aws_subnet" {
    defaults = { availability_zone = "eu-west-1a" }
  }
}

run "both_hosts_in_one_zone" {
  command = plan

  variables {
    package = {
      s3_bucket = "orders-packages"
      s3_key    = "rds-tether-0.1.0-1.x86_64.rpm"
      sha256    = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    }
    vpc_id     = "vpc-0123456789abcdef0"
    subnet_ids = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
    target_groups = {
      orders = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/1", endpoints = ["orders.example.com:5432"] }
    }
  }

  expect_failures = [aws_autoscaling_group.this]
}
