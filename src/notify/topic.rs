//! The ARN of the topic.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::planner::wrong::Wrong;

/// The ARN of a standard SNS topic: `arn:PARTITION:sns:REGION:ACCOUNT:NAME`.
#[derive(Clone, PartialEq, Eq)]
pub struct TopicArn(Arc<str>);

impl TopicArn {
    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region: SNS takes messages for a topic there alone.
    pub fn region(&self) -> &str {
        self.0.split(':').nth(3).unwrap_or_default()
    }
}

impl FromStr for TopicArn {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let invalid = |why| {
            Err(Wrong::new(
                format!("{text:?} is no ARN of a standard SNS topic: {why}"),
                "it looks like arn:aws:sns:eu-west-1:111122223333:NAME",
            ))
        };
        let text = text.trim();
        let parts: Vec<&str> = text.split(':').collect();
        let plain = |part: &str| {
            let belongs = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !part.is_empty() && part.bytes().all(belongs)
        };
        let &["arn", partition, service, region, account, name] = parts.as_slice() else {
            return invalid(match parts.as_slice() {
                ["arn", _, "sns", _, _, _, _] => "it names a subscription; give its topic",
                _ => "it has no six parts separated by colons",
            });
        };
        if service != "sns" {
            return invalid("it is of another service");
        }
        if !plain(partition) || !plain(region) {
            return invalid("its partition or region is empty or has odd characters");
        }
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return invalid("its account is not twelve digits");
        }
        if name.ends_with(".fifo") {
            return invalid(
                "it is a FIFO topic, which would hold messages back behind one that fails; give a standard one",
            );
        }
        if !plain(name) {
            return invalid("its name is empty or has odd characters");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_tells_its_region() {
        for (text, region) in [
            ("arn:aws:sns:eu-west-1:111122223333:database", "eu-west-1"),
            (" arn:aws-cn:sns:cn-north-1:111122223333:a_b-c ", "cn-north-1"),
        ] {
            let topic: TopicArn = text.parse().expect(text);
            assert_eq!((topic.region(), topic.as_str()), (region, text.trim()));
        }
    }

    #[test]
    fn what_is_no_topic_is_told_why() {
        for (text, why) in [
            ("", "six parts"),
            ("database", "six parts"),
            ("arn:aws:sqs:eu-west-1:111122223333:database", "another service"),
            ("arn:aws:sns::111122223333:database", "region"),
            ("arn:aws:sns:eu-west-1:1111:database", "twelve digits"),
            ("arn:aws:sns:eu-west-1:111122223333:database.fifo", "FIFO"),
            ("arn:aws:sns:eu-west-1:111122223333:", "name is empty"),
            ("arn:aws:sns:eu-west-1:111122223333:a b", "odd characters"),
            (
                "arn:aws:sns:eu-west-1:111122223333:database:0f3c",
                "names a subscription",
            ),
        ] {
            let error = text.parse::<TopicArn>().expect_err(text).to_string();
            assert!(
                error.contains(why) && error.contains(":sns:eu-west-1"),
                "{text:?}: {error}"
            );
        }
    }
}
