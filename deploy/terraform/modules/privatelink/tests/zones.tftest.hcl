mock_provider "aws" {
  mock_data "aws_subnet" {
    defaults = { availability_zone = "eu-west-1a", availability_zone_id = "euw1-az2" }
  }
}

run "two_subnets_in_one_zone" {
  command = plan

  variables {
    vpc_id             = "vpc-0123456789abcdef0"
    subnet_ids         = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
    port               = 5432
    allowed_principals = ["arn:aws:iam::072088201116:root"]
  }

  expect_failures = [aws_lb.this]
}
