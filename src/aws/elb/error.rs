//! A call about a target group that failed, and how to mend it.

use std::error::Error as StdError;
use std::fmt;

use crate::aws::arn::Arn;
use crate::aws::failure::{Failure, Kind};

/// A call about one target group that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The target group.
    pub group: Arn,
    /// The failure that AWS, or the way to it, told of.
    pub failure: Failure,
}

/// The word for a target group that nobody has asked about.
const NOT_ASKED: &str = "NotAsked";

/// No failure of AWS: DNS came first, and took all the time.
pub fn not_asked(group: &Arn, limit: &str) -> Error {
    let message = format!("DNS has not answered within {limit}");
    let failure = Failure::here("DescribeTargetHealth", Kind::Other, NOT_ASKED, message);
    let group = group.clone();
    Error { group, failure }
}

/// How to mend a call that is about no target group in particular.
pub fn remedy_of(failure: &Failure) -> String {
    failure.remedy_at("elasticloadbalancing", "the ELB API", "*")
}

impl Error {
    /// How to mend it.
    pub fn remedy(&self) -> String {
        if let Some(remedy) = self.failure.remedy() {
            return remedy.into();
        }
        match self.failure.kind {
            Kind::NotIp => "create a target group of type ip: an address cannot be put into another".into(),
            Kind::Denied => {
                let is_for_all = self.failure.action.starts_with("Describe");
                let resource = if is_for_all { "*" } else { self.group.as_str() };
                self.failure.permission("elasticloadbalancing", resource)
            }
            Kind::Address => {
                "the address must lie in the group's VPC or in a private range that ELB accepts: a database that was moved to \
                 another VPC needs a target group there; nothing was changed for it"
                    .into()
            }
            Kind::Limit => "raise the quota or remove targets nobody needs; none is removed to make room".into(),
            Kind::Unavailable if self.failure.is_unnamed() => format!(
                "check the region in the target group's ARN, {}, and that this host's DNS works",
                self.group.region()
            ),
            Kind::Unavailable if self.failure.is_of_first_look() => {
                "give it more time, or see with rds-tether doctor what does not answer".into()
            }
            Kind::Unavailable => "check the network path to the ELB API, and its status".into(),
            _ if self.failure.is_of_the_answer() => {
                "take it out of the group, if it is none of ELB's own; rds-tether removes nothing that it cannot read".into()
            }
            _ => "see the code in the ELB API reference".into(),
        }
    }
}

impl StdError for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, failure } = self;
        let Failure {
            action, code, message, ..
        } = failure;
        if code == NOT_ASKED {
            return write!(f, "target group {group} was not looked at: {message}");
        }
        let remedy = self.remedy();
        if failure.is_of_the_answer() {
            return write!(f, "target group {group} cannot be followed: {message}; {remedy}");
        }
        write!(
            f,
            "{action} failed for target group {group}: {code}: {message}; {remedy}"
        )
    }
}
