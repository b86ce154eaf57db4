/// The API's answer when it does not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error code as it stands on the wire.
    pub code: String,
    /// The sentence for people.
    pub message: String,
}

impl Refusal {
    /// A refusal with its HTTP status, error code and message.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationError", message)
    }

    pub(super) fn invalid_target(id: &str) -> Self {
        let message = format!(
            "The IP address '{id}' is not in a subnet of the VPC, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or \
             100.64.0.0/10"
        );
        Self::new(400, "InvalidTarget", message)
    }

    pub(super) fn group_not_found(arn: &str) -> Self {
        if !arn.contains(":targetgroup/") {
            return Self::validation(format!("'{arn}' is not a valid target group ARN"));
        }
        Self::new(400, "TargetGroupNotFound", format!("Target groups '{arn}' not found"))
    }
}
