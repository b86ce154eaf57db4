//! Asks STS for the identity that AWS sees in this process, and reads AWS's time off the answer. The only module that calls STS.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sts as sdk;
use sdk::config::interceptors::BeforeDeserializationInterceptorContextRef;
use sdk::config::{ConfigBag, Intercept, RuntimeComponents};

use crate::aws::Config;
use crate::aws::failure::Failure;
use crate::clock::Clock;
use crate::planner::time::Timestamp;

/// The identity that signs the calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The ARN of the user or of the role's session.
    pub arn: String,
    /// The number of the account that it belongs to.
    pub account: String,
}

/// The reply of STS.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The identity, or why it is not known.
    pub caller: Result<Caller, Failure>,
    /// AWS's time and ours when its answer came, if one came.
    pub times: Option<(Timestamp, Timestamp)>,
}

/// Asks STS who signs the calls of a configuration (GetCallerIdentity, which needs no permission).
pub async fn ask(config: &Config, role: Option<&str>, clock: Clock) -> Reply {
    let date = ReadDate {
        clock,
        seen: Arc::default(),
    };
    let request = sdk::Client::new(config).get_caller_identity();
    let sent = request.customize().interceptor(date.clone()).send().await;
    let caller = sent.map_err(|error| Failure::of("GetCallerIdentity", role, &error));
    Reply {
        caller: caller.map(|output| Caller {
            arn: output.arn().unwrap_or("unknown").to_owned(),
            account: output.account().unwrap_or("unknown").to_owned(),
        }),
        times: *date.seen.lock().unwrap_or_else(PoisonError::into_inner),
    }
}

/// Reads the Date header of an answer of AWS's, even of one that is an error.
#[derive(Clone, Debug)]
struct ReadDate {
    clock: Clock,
    seen: Arc<Mutex<Option<(Timestamp, Timestamp)>>>,
}

impl Intercept for ReadDate {
    fn name(&self) -> &'static str {
        "ReadDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let response = context.response();
        let headers = response.headers();
        let is_of_aws =
            headers.contains_key("x-amzn-requestid") || is_reply(response.body().bytes().unwrap_or_default());
        let date = headers.get("date").filter(|_| is_of_aws).and_then(parse_date);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = date.map(|theirs| (theirs, self.clock.now()));
        Ok(())
    }
}

/// Whether a body is what STS answers with, and not the page of something in between.
fn is_reply(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    ["<GetCallerIdentityResponse", "<ErrorResponse"]
        .iter()
        .any(|root| text.contains(root))
}

/// Reads an HTTP date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn parse_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    u64::try_from(zoned.timestamp().as_millisecond())
        .ok()
        .map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        let parsed = parse_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parsed, Some(Timestamp::from_millis(784_111_777_000)));
        for text in ["", "now", "Sun, 99 Nov 1994 08:49:37 GMT", "784111777"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn only_what_sts_answers_is_a_reply() {
        for (body, is) in [
            (
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">",
                true,
            ),
            ("<?xml version=\"1.0\"?>\n<ErrorResponse><Error/>", true),
            ("<html>Please sign in</html>", false),
            ("", false),
        ] {
            assert_eq!(is_reply(body.as_bytes()), is, "{body}");
        }
    }
}
