//! Passwords that IAM gives for a database: a request to connect, signed and never sent (RDS User Guide, "Connecting to your DB instance
//! using IAM authentication").

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::{Mutex, OnceCell};

use super::failure::chain;
use crate::planner::endpoint::region_of;
use crate::planner::time::Timestamp;

/// For how long a token lets somebody in; a session goes on after that.
const EXPIRES_IN: Duration = Duration::from_secs(900);
/// What a query is written with (RFC 3986, unreserved characters).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the credentials of the process come from, which is found out once.
static CONFIG: OnceCell<super::Config> = OnceCell::const_new();
/// The latest credentials, and until when they are taken for the tokens of all members: whoever gives them may take long, or call AWS.
static LATEST: Mutex<Option<(Credentials, Timestamp)>> = Mutex::const_new(None);
/// For how long at most: keys in files change.
const KEPT: Duration = Duration::from_secs(60);

/// A token with which `user` may log in to the server of this name.
///
/// # Errors
/// In words: the name tells no region, or there are no credentials.
pub async fn of(host: &str, port: u16, user: &str, now: Timestamp) -> Result<String, String> {
    let region =
        region_of(host).ok_or_else(|| format!("{host} is no name of RDS, so no token of IAM can be for it"))?;
    let config = CONFIG.get_or_init(|| super::config(region)).await;
    let credentials = credentials(config, now).await?;
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now.written());
    signed(host, port, region, user, credentials, now)
        .ok_or_else(|| format!("no token of IAM can be signed for {user:?}"))
}

/// The credentials of the process, for which it is asked once a minute at most, and by one at a time.
async fn credentials(config: &super::Config, now: Timestamp) -> Result<Credentials, String> {
    let mut latest = LATEST.lock().await;
    if let Some((credentials, _)) = latest.as_ref().filter(|(_, until)| now < *until) {
        return Ok(credentials.clone());
    }
    let provider = config
        .credentials_provider()
        .ok_or("there are no credentials to sign a token of IAM with")?;
    let credentials = provider.provide_credentials().await.map_err(|error| {
        format!(
            "there are no credentials to sign a token of IAM with: {}",
            super::credentials::meaning(&chain(&error))
        )
    })?;
    *latest = Some((credentials.clone(), now + kept(&credentials, now)));
    Ok(credentials)
}

/// For how long credentials are taken: not until they expire, because a token is no better than they are.
fn kept(credentials: &Credentials, now: Timestamp) -> Duration {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now.written());
    let left = credentials
        .expiry()
        .map(|end| end.duration_since(now).unwrap_or_default());
    left.map_or(KEPT, |left| left.saturating_sub(KEPT).min(KEPT))
}

/// The token as credentials sign it at this time, which is a name for a request: `HOST:PORT/?Action=connect&...`.
pub fn signed(
    host: &str,
    port: u16,
    region: &str,
    user: &str,
    credentials: Credentials,
    now: SystemTime,
) -> Option<String> {
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(EXPIRES_IN);
    settings.signature_location = SignatureLocation::QueryParams;
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(now)
        .settings(settings)
        .build()
        .ok()?;
    let encoded = |text: &str| utf8_percent_encode(text, QUERY).to_string();
    let mut url = format!("https://{host}:{port}/?Action=connect&DBUser={}", encoded(user));
    let request = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[])).ok()?;
    let (instructions, _) = sign(request, &params.into()).ok()?.into_parts();
    for (name, value) in instructions.params() {
        url = format!("{url}&{name}={}", encoded(value));
    }
    url.strip_prefix("https://").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_kept_for_a_minute_and_not_to_their_end() {
        let now = Timestamp::from_millis(1_000_000);
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(now.written());
        for (left_secs, kept_secs) in [
            (None, 60),
            (Some(3600), 60),
            (Some(90), 30),
            (Some(60), 0),
            (Some(0), 0),
        ] {
            let expiry = left_secs.map(|secs| wall + Duration::from_secs(secs));
            let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, expiry, "test");
            assert_eq!(kept(&credentials, now), Duration::from_secs(kept_secs), "{left_secs:?}");
        }
    }

    /// What botocore 1.44.5 signs with the same credentials at the same moment (`generate_db_auth_token`).
    #[test]
    fn a_token_is_the_one_that_botocore_signs() {
        const HOST: &str = "orders-1.abc123.eu-west-1.rds.amazonaws.com";
        for (user, session, signed_as) in [
            (
                "lead",
                None,
                "DBUser=lead X-Amz-Signature=a4ad48d0040b4ee69e3a0d34c9b945d1ceacf9818b203fcf40558c1c3e441d02",
            ),
            (
                "o'dd user@x/y+z=&?",
                None,
                "DBUser=o%27dd%20user%40x%2Fy%2Bz%3D%26%3F \
                 X-Amz-Signature=4b51016e4b88a4ea8d241b9c69b14da89ee52f5b6745294b9cfc1f4ef08e8999",
            ),
            (
                "käse",
                None,
                "DBUser=k%C3%A4se X-Amz-Signature=499b5631a20d5ed5f28bbb5e6b65d8c2cebaa532de8bf3bce63520d915f7c256",
            ),
            (
                "lead",
                Some("FwoGZ/+tok==en"),
                "DBUser=lead X-Amz-Security-Token=FwoGZ%2F%2Btok%3D%3Den \
                 X-Amz-Signature=d1a675b1ecbd9d117891e31a44fafa3ef86f967c825c0c768e98e49f798d02ce",
            ),
            (
                "a.b-c_d~e",
                Some("t/"),
                "DBUser=a.b-c_d~e X-Amz-Security-Token=t%2F \
                 X-Amz-Signature=724df9f3d8a3acde3834bc15bde9d0e26af2753963b0a0e1dbe629a2e9848cbf",
            ),
        ] {
            let credentials = Credentials::new(
                "AKIDEXAMPLE",
                "wJalrXUtnFEMI/K7MDENG",
                session.map(str::to_owned),
                None,
                "a test",
            );
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_935_600);
            let token = signed(HOST, 5432, "eu-west-1", user, credentials, now).expect("a token");
            let (place, query) = token.split_once('?').expect("a query");
            assert_eq!(place, format!("{HOST}:5432/"));
            let mut found: Vec<&str> = query.split('&').collect();
            let mut expect = vec![
                "Action=connect",
                "X-Amz-Algorithm=AWS4-HMAC-SHA256",
                "X-Amz-Credential=AKIDEXAMPLE%2F20261129%2Feu-west-1%2Frds-db%2Faws4_request",
                "X-Amz-Date=20261129T070000Z",
                "X-Amz-Expires=900",
                "X-Amz-SignedHeaders=host",
            ];
            expect.extend(signed_as.split(' '));
            found.sort_unstable();
            expect.sort_unstable();
            assert_eq!(found, expect, "{user:?}");
        }
    }
}
