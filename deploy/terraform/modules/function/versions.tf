terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # As ../privatelink.
      version = ">= 5.80"
    }
  }
}
