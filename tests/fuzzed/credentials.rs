//! What a `credential_process` prints.

use std::time::{Duration, SystemTime};

use rds_tether::aws::read_printed;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const ERRORS: [&str; 2] = [
    "it printed something else than credentials of version 1",
    "it printed a key with a line break or another control character in it",
];

/// Credentials can be signed with and have not expired; an error repeats nothing of what was printed but a time.
pub fn check(data: &[u8]) {
    match read_printed(data, NOW) {
        Ok(found) => {
            let keys = [
                found.access_key_id(),
                found.secret_access_key(),
                found.session_token().unwrap_or_default(),
            ];
            assert!(!keys.concat().contains(char::is_control), "{keys:?}");
            assert!(
                found
                    .expiry()
                    .is_none_or(|expiry| expiry > SystemTime::UNIX_EPOCH + NOW),
                "{:?}",
                found.expiry()
            );
        }
        Err(why) => {
            let expired = why.strip_prefix("it printed credentials that expired at ");
            let time = expired.and_then(|rest| rest.strip_suffix(", by this host's clock"));
            let is_time = time.is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok());
            assert!(is_time || ERRORS.contains(&why.as_str()), "{why}");
        }
    }
}
