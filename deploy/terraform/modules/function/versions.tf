terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # They are tested together, and ../privatelink needs this.
      version = ">= 5.80"
    }
  }
}
