//! A call of AWS that failed: what AWS, or the way to it, said, by what is to be done about it.

use std::error::Error as StdError;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
// All SDKs share these types, and each gives them on.
use aws_sdk_sts::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};

use crate::aws::reply::Unfit;
use crate::aws::{credentials, process};
use crate::exit::Exit;
use crate::text::shortened;

/// A call that failed, whatever it was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The API action, for example `RegisterTargets`.
    pub action: &'static str,
    /// The kind, by which it is decided what to do.
    pub kind: Kind,
    /// AWS's error code, or a word for a failure on this side.
    pub code: String,
    /// AWS's message, or the cause on this side.
    pub message: String,
}

/// Failures by what is to be done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such target group or topic.
    NotFound,
    /// The target group takes no addresses.
    NotIp,
    /// The caller may not do this.
    Denied,
    /// There are no credentials, or they are not valid (any more).
    Credentials,
    /// The role of the binding cannot be assumed.
    AssumeRole,
    /// Too many calls.
    Throttled,
    /// An address was refused.
    Address,
    /// A quota was reached.
    Limit,
    /// AWS could not be reached or failed.
    Unavailable,
    /// A code that none of the others covers.
    Other,
}

impl Kind {
    /// One word for it, as a label of metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotIp => "not_ip",
            Self::Denied => "denied",
            Self::Credentials => "no_credentials",
            Self::AssumeRole => "role_not_assumed",
            Self::Throttled => "throttled",
            Self::Address => "address_refused",
            Self::Limit => "limit",
            Self::Unavailable => "unavailable",
            Self::Other => "other",
        }
    }

    /// The exit code that it stands for.
    pub fn exit(self) -> Exit {
        match self {
            Self::NotFound | Self::NotIp => Exit::Settings,
            Self::Denied | Self::Credentials | Self::AssumeRole => Exit::Denied,
            Self::Address | Self::Limit => Exit::Refused,
            Self::Throttled | Self::Unavailable => Exit::Unavailable,
            Self::Other => Exit::Unexpected,
        }
    }
}

impl Failure {
    /// A failure that was found on this side; `code` is a word for it.
    pub fn here(action: &'static str, kind: Kind, code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Self {
            action,
            kind,
            code,
            message,
        }
    }

    /// A call that was not answered by the end of the time that its caller had for it.
    pub fn late(action: &'static str, limit: impl fmt::Display) -> Self {
        Self::here(
            action,
            Kind::Unavailable,
            "Timeout",
            format!("no answer within {limit}"),
        )
    }

    /// Reads an error of the SDK; `role` is the one that its client assumes.
    pub fn of<E>(action: &'static str, role: Option<&str>, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let (kind, code, message) = match error {
            SdkError::ServiceError(service) => match service.err().code() {
                Some(code) => {
                    let message = service.err().message().unwrap_or("no message");
                    (
                        Kind::of(code, service.raw().status().as_u16(), action),
                        code.to_owned(),
                        message.to_owned(),
                    )
                }
                None => {
                    let body = service.raw().body().bytes().unwrap_or_default();
                    without_code(service.raw().status().as_u16(), &String::from_utf8_lossy(body), action)
                }
            },
            SdkError::TimeoutError(_) => (Kind::Unavailable, "Timeout".into(), "no answer in time".into()),
            SdkError::ResponseError(_) => bad_response(&chain(error)),
            _ => match (find::<CredentialsError>(error), find::<Unfit>(error), role) {
                (Some(credentials), _, Some(role)) => of_role(role, credentials),
                (Some(credentials), _, None) => of_credentials(credentials),
                (None, Some(unfit), _) => bad_response(&unfit.to_string()),
                (None, None, _) => (Kind::Unavailable, "Unreachable".into(), of_transport(&chain(error))),
            },
        };
        Self {
            action,
            kind,
            code,
            message: shortened(&message),
        }
    }

    /// How to mend it, where that is the same for every service and everything that a call can be about.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self.kind {
            Kind::Credentials if self.code == NO_CREDENTIALS => {
                credentials::remedy(&self.message).unwrap_or(credentials::GIVE)
            }
            Kind::Unavailable if self.code == CREDENTIALS_UNAVAILABLE => credentials::remedy(&self.message).unwrap_or(
                "check the network path to what gives credentials: the metadata service of the instance or container, SSO or STS",
            ),
            Kind::Unavailable if self.is_foreign() => FIX_FOREIGN,
            Kind::Credentials => "renew or correct the credentials of this process, and check its clock",
            Kind::AssumeRole => {
                "allow sts:AssumeRole on the role to this identity, and check that the role's trust policy names it and \
                 asks for the same external_id"
            }
            Kind::Throttled => "the account's API limits are shared with all its tools; wait and look again",
            Kind::NotFound => "check the ARN, its account and its region",
            _ => return None,
        })
    }

    /// How to mend it, for a call of a service that has nothing to add: its name in permissions, and the one for people.
    pub fn remedy_at(&self, service: &str, api: &str, resource: impl fmt::Display) -> String {
        if let Some(remedy) = self.remedy() {
            return remedy.into();
        }
        match self.kind {
            Kind::Denied => self.permission(service, resource),
            Kind::Unavailable => format!(
                "check the network path to {api} (in a VPC: NAT, or an interface endpoint for {service}), and its status"
            ),
            _ => format!("see the code in the API reference of {api}"),
        }
    }

    /// Whether what was called for may have been done all the same: the call may have arrived, and no answer said that it failed.
    pub fn may_be_done(&self) -> bool {
        self.kind == Kind::Unavailable && self.code != CREDENTIALS_UNAVAILABLE && !self.is_unnamed()
    }

    /// Whether DNS does not name the API's address, as it names none for a region that does not exist.
    pub fn is_unnamed(&self) -> bool {
        self.message.starts_with(UNNAMED)
    }

    /// Whether it is no call at all, but the time for the first look that was over.
    pub fn is_of_first_look(&self) -> bool {
        self.action == FIRST_LOOK
    }

    /// Whether something else than AWS answered.
    pub fn is_foreign(&self) -> bool {
        self.code == BAD_RESPONSE
    }

    /// The permission that a denied call needs.
    pub fn permission(&self, service: &str, resource: impl fmt::Display) -> String {
        format!("allow {service}:{} on {resource} to this identity", self.action)
    }
}

impl Failure {
    /// Whether the call was answered, and the answer is what is wrong.
    pub fn is_of_the_answer(&self) -> bool {
        [NOT_IP, NOT_LISTED, UNREADABLE].contains(&self.code.as_str())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            action, code, message, ..
        } = self;
        if self.is_of_the_answer() {
            return f.write_str(message);
        }
        write!(f, "{action} failed: {code}: {message}")
    }
}

impl Kind {
    fn of(code: &str, status: u16, action: &str) -> Self {
        match code {
            "TargetGroupNotFound" | "TargetGroupNotFoundException" | "NotFound" => Self::NotFound,
            "InvalidTarget" | "InvalidTargetException" => Self::Address,
            "ValidationError" if action.starts_with("Describe") => Self::NotFound,
            "ValidationError" => Self::Address,
            "TooManyTargets" | "TooManyRegistrationsForTargetId" => Self::Limit,
            "RequestLimitExceeded" | "SlowDown" | "TooManyRequestsException" => Self::Throttled,
            // AWS has a spelling of it for each kind of API.
            _ if code.contains("Throttl") => Self::Throttled,
            "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "OptInRequired" => Self::Denied,
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "AuthFailure"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired" => Self::Credentials,
            _ if status >= 500 => Self::Unavailable,
            _ if status == 429 => Self::Throttled,
            _ if status == 401 || status == 403 => Self::Denied,
            _ => Self::Other,
        }
    }
}

/// The codes, for machines, for answers that are no failures of the call: the target group is of another type, it is not in the list, a target
/// cannot be read.
pub const NOT_IP: &str = "TargetTypeNotIp";
/// See [`NOT_IP`].
pub const NOT_LISTED: &str = "NotListed";
/// See [`NOT_IP`].
pub const UNREADABLE: &str = "UnreadableTarget";
/// Stands for the call where none hung when the time for the first look was over.
pub const FIRST_LOOK: &str = "The first look";
/// DNS gives no address for where the call goes.
const UNNAMED: &str = "DNS has no address for the API";
/// What the HTTP client says then, and what stands before that which is no news.
const OF_DNS: &str = "dns error: ";

/// Says in plain words why an API could not be reached.
fn of_transport(text: &str) -> String {
    match text.split_once(OF_DNS) {
        Some((_, why)) => format!("{UNNAMED}: {why}"),
        None => credentials::without_layers(text),
    }
}

/// Nobody gave credentials.
const NO_CREDENTIALS: &str = "NoCredentials";
/// What gives them could not be reached.
const CREDENTIALS_UNAVAILABLE: &str = "CredentialsUnavailable";
/// How the SDK's errors tell of a source of credentials that could not be reached, for which they have no type.
const TRANSPORT: [&str; 4] = ["dispatch failure", "timed out", "timeout", "response error"];
/// The codes that STS answers with when it fails itself.
const UNAVAILABLE: [&str; 3] = ["ServiceUnavailable", "InternalFailure", "InternalError"];

/// What was answered is none of AWS's answers.
const BAD_RESPONSE: &str = "BadResponse";
/// What to do then.
const FIX_FOREIGN: &str = "see what answers in the place of AWS: a proxy for the web (HTTPS_PROXY), a page to sign in at, \
                               or AWS_ENDPOINT_URL";

fn bad_response(why: &str) -> (Kind, String, String) {
    let message = format!("the answer is not one of AWS's: {why}");
    (Kind::Unavailable, BAD_RESPONSE.into(), message)
}

/// Reads an error that is in the form of another of AWS's query APIs, such as EC2's: what stands round the code differs.
fn without_code(status: u16, body: &str, action: &str) -> (Kind, String, String) {
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        let quoted = text
            .trim()
            .strip_prefix("<![CDATA[")
            .and_then(|text| text.strip_suffix("]]>"));
        Some(quoted.unwrap_or(text).trim().to_owned()).filter(|text| !text.is_empty())
    };
    match element("Code") {
        Some(code) => {
            let message = element("Message").unwrap_or_else(|| "no message".into());
            (Kind::of(&code, status, action), code, message)
        }
        None if (200..300).contains(&status) => bad_response("nothing in it can be read"),
        None => bad_response(&format!("status {status} without an error code")),
    }
}

fn of_credentials(error: &CredentialsError) -> (Kind, String, String) {
    // The cause says what was tried; the error itself only that it did not work.
    let cause = error.source().map_or_else(|| error.to_string(), chain);
    let is_transport = matches!(error, CredentialsError::ProviderTimedOut(_))
        || (!matches!(error, CredentialsError::CredentialsNotLoaded(_))
            && TRANSPORT.iter().any(|word| cause.contains(word)));
    let (kind, code, message) = if is_transport {
        let message = if cause.contains(process::MARK) {
            credentials::meaning(&cause)
        } else {
            credentials::without_layers(&cause)
        };
        (Kind::Unavailable, CREDENTIALS_UNAVAILABLE, message)
    } else {
        (Kind::Credentials, NO_CREDENTIALS, credentials::meaning(&cause))
    };
    (kind, code.into(), message)
}

fn of_role(role: &str, error: &CredentialsError) -> (Kind, String, String) {
    let what = format!("sts:AssumeRole of {role} failed");
    match find::<ErrorMetadata>(error).and_then(|metadata| Some((metadata.code()?, metadata.message()))) {
        Some((code, message)) => {
            let kind = match Kind::of(code, 0, "AssumeRole") {
                kind @ (Kind::Throttled | Kind::Credentials) => kind,
                _ if UNAVAILABLE.contains(&code) => Kind::Unavailable,
                _ => Kind::AssumeRole,
            };
            (
                kind,
                code.to_owned(),
                format!("{what}: {}", message.unwrap_or("no message")),
            )
        }
        None => {
            let (kind, code, message) = of_credentials(error);
            (kind, code, format!("{what}: {message}"))
        }
    }
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text.lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("; ")
        .replace(":; ", ": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_the_form_of_another_api_is_read() {
        let of_ec2 = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>not you</Message></Error></Errors></Response>";
        let quoted =
            "<ErrorResponse>\n<Errors><Error>\n<Code>AccessDenied</Code> <Message><![CDATA[not <you>]]></Message>";
        for (status, body, kind, code, message) in [
            (403, of_ec2, Kind::Denied, "UnauthorizedOperation", "not you"),
            (403, quoted, Kind::Denied, "AccessDenied", "not <you>"),
            (
                403,
                "<Error><Code>InvalidClientTokenId</Code></Error>",
                Kind::Credentials,
                "InvalidClientTokenId",
                "no message",
            ),
            (
                503,
                "<Code> SlowDown </Code>",
                Kind::Throttled,
                "SlowDown",
                "no message",
            ),
            (
                403,
                "<html>Forbidden</html>",
                Kind::Unavailable,
                "BadResponse",
                "status 403 without an error code",
            ),
            (403, "<Code></Code>", Kind::Unavailable, "BadResponse", "status 403"),
            (502, "", Kind::Unavailable, "BadResponse", "status 502"),
            (
                200,
                "<html>",
                Kind::Unavailable,
                "BadResponse",
                "nothing in it can be read",
            ),
        ] {
            let read = without_code(status, body, "RegisterTargets");
            assert_eq!((read.0, read.1.as_str()), (kind, code), "{body}");
            assert!(read.2.contains(message), "{body}: {}", read.2);
        }
    }
}
