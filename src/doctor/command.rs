//! Commands of AWS's command line, as fixes have them.
//!
//! Whoever types one takes nobody off what he uses: `tests/doctor/fixes.rs` carries each out in a model. What cannot be said so is
//! said in words.

use crate::aws::elb::Detail;

/// A command about what surrounds the group, without its flags.
pub fn elbv2(detail: &Detail, command: &str) -> String {
    format!("aws elbv2 {command} --region {}", detail.group.arn.region())
}

/// A command about the endpoint service of its load balancer, likewise.
pub fn ec2(detail: &Detail, command: &str) -> String {
    format!("aws ec2 {command} --region {}", detail.group.arn.region())
}
