use std::time::Duration;

/// A way in which a call goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing is done, and the reply is this error.
    Code {
        /// The HTTP status.
        status: u16,
        /// The error code as it stands on the wire.
        code: String,
        /// The sentence for people.
        message: String,
    },
    /// The work is done, but the connection closes without a reply.
    LostReply,
    /// Nothing is done, and the connection closes without a reply.
    Reset,
    /// Nothing is done, and no reply ever comes.
    Hang,
    /// Nothing is done, and the reply is 200 with a body that is not XML.
    Garbage,
    /// The work is done, and the reply ends after so many bytes, as if that were the whole of it.
    Cut(usize),
    /// The work is done, and the reply has the second text wherever it would have the first.
    Altered(String, String),
    /// The work is done, and the reply is blown up to so many bytes.
    Sized(usize),
    /// The work is done and replied to only after this time, even if the client has given up by then.
    Delay(Duration),
}

impl Failure {
    /// An error reply.
    pub fn code(status: u16, code: &str, message: &str) -> Self {
        Self::Code {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    /// The account's request rate is exhausted.
    pub fn throttled() -> Self {
        Self::code(400, "Throttling", "Rate exceeded")
    }

    /// IAM does not allow the action, such as `RegisterTargets`.
    pub fn denied(action: &str) -> Self {
        let action = format!("elasticloadbalancing:{action}");
        let message = format!(
            "User: {CALLER_ARN} is not authorized to perform: {action} because no identity-based policy allows the \
             {action} action"
        );
        Self::code(403, "AccessDenied", &message)
    }

    /// IAM does not allow the action of EC2's, such as `DescribeVpcEndpointConnections`.
    pub fn unauthorized(action: &str) -> Self {
        let message = format!(
            "You are not authorized to perform this operation. User: {CALLER_ARN} is not authorized to perform: ec2:{action} \
             because no identity-based policy allows the ec2:{action} action"
        );
        Self::code(403, "UnauthorizedOperation", &message)
    }

    /// The service is out of order.
    pub fn unavailable() -> Self {
        Self::code(
            503,
            "ServiceUnavailable",
            "The request has failed due to a temporary failure of the server.",
        )
    }

    /// The health of targets cannot be told; an answer of DescribeTargetHealth only.
    pub fn health_unavailable() -> Self {
        let message = "The health of the specified targets could not be retrieved due to an internal error.";
        Self::code(500, "HealthUnavailable", message)
    }

    /// The service has an error of its own.
    pub fn internal() -> Self {
        Self::code(
            500,
            "InternalFailure",
            "The request processing has failed because of an unknown error.",
        )
    }

    /// The temporary credentials are too old.
    pub fn expired_token() -> Self {
        Self::code(
            403,
            "ExpiredToken",
            "The security token included in the request is expired",
        )
    }

    /// The target is in too many groups already; an answer of RegisterTargets only.
    pub fn too_many_registrations() -> Self {
        let message = "You've reached the limit on the number of times a target can be registered";
        Self::code(400, "TooManyRegistrationsForTargetId", message)
    }
}

/// The user whom the server takes every caller for.
pub(super) const CALLER_ARN: &str = "arn:aws:iam::111122223333:user/tether";

/// The failures ordered, in the order in which they were.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

#[derive(Debug)]
struct Fault {
    action: String,
    arn: Option<String>,
    failure: Failure,
    left: Option<usize>,
}

impl Faults {
    pub(super) fn order(&mut self, action: &str, arn: Option<&str>, failure: Failure, times: Option<usize>) {
        self.0.push(Fault {
            action: action.to_owned(),
            arn: arn.map(str::to_owned),
            failure,
            left: times,
        });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The failure of a call that names these groups: the first one ordered that applies and is not used up.
    pub(super) fn strike(&mut self, action: &str, arns: &[&str]) -> Option<Failure> {
        self.0.retain(|fault| fault.left != Some(0));
        let fault = self.0.iter_mut().find(|fault| fault.applies(action, arns))?;
        if let Some(left) = &mut fault.left {
            *left -= 1;
        }
        Some(fault.failure.clone())
    }
}

impl Fault {
    fn applies(&self, action: &str, arns: &[&str]) -> bool {
        (self.action == "*" || self.action == action) && self.arn.as_deref().is_none_or(|arn| arns.contains(&arn))
    }
}
