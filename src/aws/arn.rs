//! The ARNs of what settings name: target groups, topics and roles.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::planner::wrong::Wrong;

/// The ARN of a target group: `arn:PARTITION:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn(Arc<str>);

/// The ARN of a standard SNS topic: `arn:PARTITION:sns:REGION:ACCOUNT:NAME`.
#[derive(Clone, PartialEq, Eq)]
pub struct TopicArn(Arc<str>);

/// The ARN of an IAM role: `arn:PARTITION:iam::ACCOUNT:role/NAME`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleArn(Arc<str>);

/// The name of a region, such as `eu-west-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region(pub String);

impl FromStr for Region {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let text = text.trim();
        match is_like_a_region(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(Wrong::new(
                format!("{text:?} has not the form of a region"),
                "write one such as eu-west-1",
            )),
        }
    }
}

impl Arn {
    /// The partition of AWS, `aws` for most.
    pub fn partition(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or_default()
    }

    /// The region, in which all calls about the group are made.
    pub fn region(&self) -> &str {
        region(&self.0)
    }

    /// The account that it belongs to.
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    /// The name of the group.
    pub fn name(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }

    fn check(text: &str) -> Result<(), &'static str> {
        let resource = resource(text, "elasticloadbalancing", true)?;
        match resource.split('/').collect::<Vec<_>>().as_slice() {
            ["targetgroup", name, id] if is_plain(name) && is_plain(id) => Ok(()),
            ["loadbalancer" | "listener", ..] => Err("it names a load balancer or listener"),
            _ => Err("it does not end in targetgroup/NAME/ID"),
        }
    }
}

impl TopicArn {
    /// The region: SNS takes messages for a topic there alone.
    pub fn region(&self) -> &str {
        region(&self.0)
    }

    fn check(text: &str) -> Result<(), &'static str> {
        match resource(text, "sns", true)? {
            name if name.contains(':') => Err("it names a subscription; give its topic"),
            name if name.ends_with(".fifo") => {
                Err("it is a FIFO topic, which would hold messages back behind one that fails; give a standard one")
            }
            name if is_plain(name) => Ok(()),
            _ => Err("its name is empty or has odd characters"),
        }
    }
}

impl RoleArn {
    /// The account that it belongs to.
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    fn check(text: &str) -> Result<(), &'static str> {
        let name = resource(text, "iam", false)?.strip_prefix("role/");
        name.filter(|name| !name.is_empty())
            .map(|_| ())
            .ok_or("it does not end in role/NAME")
    }
}

/// The resource that an ARN of a service names; `has_region` says whether those of this service have a region.
fn resource<'a>(text: &'a str, service: &str, has_region: bool) -> Result<&'a str, &'static str> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let &["arn", partition, its_service, region, account, resource] = parts.as_slice() else {
        return Err("it has no six parts separated by colons");
    };
    if its_service != service {
        return Err("it is of another service");
    }
    if !is_plain(partition) || (has_region && !is_plain(region)) {
        return Err("its partition or region is empty or has odd characters");
    }
    if !has_region && !region.is_empty() {
        return Err("it has a region, which none of its kind has");
    }
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("its account is not twelve digits");
    }
    Ok(resource)
}

/// Whether a text has the shape of a region: which ones there are changes, how they are named does not.
fn is_like_a_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [words @ .., number] = parts.as_slice() else {
        return false;
    };
    let is_word = |word: &&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    words.len() >= 2 && words.iter().all(is_word) && is_number
}

/// The region of an ARN that has been read.
fn region(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

fn is_plain(part: &str) -> bool {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !part.is_empty() && part.bytes().all(belongs)
}

/// Reads and shows an ARN as its text; `noun` and `example` are for those who wrote another.
macro_rules! is_a_text {
    ($arn:ty, $noun:literal, $example:literal) => {
        impl $arn {
            /// The whole ARN.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $arn {
            type Err = Wrong;

            fn from_str(text: &str) -> Result<Self, Wrong> {
                let trimmed = text.trim();
                let wrong = |why| {
                    let what = format!("{text:?} is no {}: {why}", $noun);
                    Wrong::new(what, concat!("it looks like ", $example))
                };
                Self::check(trimmed).map_err(wrong)?;
                let region = region(trimmed);
                if !region.is_empty() && !is_like_a_region(region) {
                    let what = format!("{text:?} names {region:?} as its region, which has not the form of one");
                    return Err(Wrong::new(what, "write one such as eu-west-1"));
                }
                Ok(Self(trimmed.into()))
            }
        }

        impl fmt::Display for $arn {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $arn {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

is_a_text!(
    Arn,
    "target-group ARN",
    "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/NAME/0123456789abcdef"
);
is_a_text!(
    TopicArn,
    "ARN of a standard SNS topic",
    "arn:aws:sns:eu-west-1:111122223333:NAME"
);
is_a_text!(RoleArn, "role ARN", "arn:aws:iam::111122223333:role/NAME");

impl Serialize for Arn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
