//! The ARN of a target group.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::planner::wrong::Wrong;

/// The ARN of a target group: `arn:PARTITION:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn(Arc<str>);

impl Arn {
    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region, in which all calls about the group are made.
    pub fn region(&self) -> &str {
        self.0.split(':').nth(3).unwrap_or_default()
    }

    /// The account that it belongs to.
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    /// The name of the group.
    pub fn name(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }
}

impl FromStr for Arn {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let invalid = |why| {
            Err(Wrong::new(
                format!("{text:?} is no target-group ARN: {why}"),
                "it looks like arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/NAME/0123456789abcdef",
            ))
        };
        let text = text.trim();
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, service, region, account, resource] = parts.as_slice() else {
            return invalid("it has no six parts separated by colons");
        };
        let plain = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if service != "elasticloadbalancing" {
            return invalid("it is of another service");
        }
        if !plain(partition) || !plain(region) {
            return invalid("its partition or region is empty or has odd characters");
        }
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return invalid("its account is not twelve digits");
        }
        match resource.split('/').collect::<Vec<_>>().as_slice() {
            ["targetgroup", name, id] if plain(name) && plain(id) => Ok(Self(text.into())),
            ["loadbalancer" | "listener", ..] => invalid("it names a load balancer or listener"),
            _ => invalid("it does not end in targetgroup/NAME/ID"),
        }
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Arn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_tells_region_and_name() {
        for (text, region, name) in [
            (
                "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067",
                "eu-west-1",
                "orders",
            ),
            (
                "arn:aws-cn:elasticloadbalancing:cn-north-1:111122223333:targetgroup/a-b/0",
                "cn-north-1",
                "a-b",
            ),
        ] {
            let arn: Arn = text.parse().expect(text);
            assert_eq!((arn.region(), arn.name(), arn.as_str()), (region, name, text));
        }
    }

    #[test]
    fn what_is_no_arn_is_told_why() {
        for (text, why) in [
            ("", "six parts"),
            ("orders", "six parts"),
            (
                "arn:aws:rds:eu-west-1:111122223333:targetgroup/orders/1",
                "another service",
            ),
            (
                "arn:aws:elasticloadbalancing::111122223333:targetgroup/orders/1",
                "region",
            ),
            (
                "arn:aws:elasticloadbalancing:eu-west-1:1111:targetgroup/orders/1",
                "twelve digits",
            ),
            (
                "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/net/orders/1",
                "names a load balancer",
            ),
            (
                "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders",
                "targetgroup/NAME/ID",
            ),
            (
                "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup//1",
                "targetgroup/NAME/ID",
            ),
        ] {
            let error = text.parse::<Arn>().expect_err(text).to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
