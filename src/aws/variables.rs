//! Variables of AWS's own whose values the SDK cannot use: at some of them it would end a task, of others it tells in its own words.

use crate::planner::wrong::Wrong;

/// Where services are reached instead: this one for all, and others that begin with it for one each.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
/// The region; the first counts.
const REGION: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
/// What becomes part of a request.
const KEYS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_EXECUTION_ENV",
];

/// The region that the environment names, and the variable that names it.
#[allow(
    clippy::disallowed_methods,
    reason = "a variable of AWS's own is read where AWS is reached"
)]
pub fn region() -> Option<(&'static str, String)> {
    let named = REGION.map(|name| (name, std::env::var(name).unwrap_or_default()));
    named.into_iter().find(|(_, region)| !region.is_empty())
}

/// What is wrong with those of the environment. No value is repeated.
#[allow(
    clippy::disallowed_methods,
    reason = "a variable of AWS's own is read where AWS is reached"
)]
pub fn wrong() -> Vec<Wrong> {
    let mut wrong: Vec<Wrong> = std::env::vars_os()
        .filter_map(|(name, value)| of(&name.into_string().ok()?, &value.to_string_lossy()))
        .collect();
    wrong.sort_by(|one, other| one.what.cmp(&other.what));
    wrong
}

fn of(name: &str, value: &str) -> Option<Wrong> {
    if name.starts_with(ENDPOINT) && !is_url(value) {
        return Some(no_url(name, value));
    }
    let is_broken = KEYS.contains(&name) && !is_key(value);
    is_broken.then(|| {
        Wrong::new(
            format!("{name} has a line break or another control character in it"),
            "give it without: the files that secrets are read from often end with a line break",
        )
    })
}

/// What is wrong with a text that is to say where a service is reached.
pub fn no_url(name: &str, value: &str) -> Wrong {
    let what = match value {
        "" => format!("{name} is empty"),
        _ => format!("{name} is no URL of a service"),
    };
    Wrong::new(what, "unset it, or write https://HOST")
}

/// Whether a key or token may become part of a request.
pub fn is_key(value: &str) -> bool {
    !value.chars().any(char::is_control)
}

/// Whether the SDK can take it for where a service is reached.
pub fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let is_plain = |char: char| char.is_ascii_graphic() && char != '@';
    host.is_some_and(|host| !host.is_empty() && !host.starts_with(':') && host.chars().all(is_plain))
        && !text.chars().any(|char| char.is_whitespace() || char.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sdk_cannot_use_is_told_without_its_value() {
        for (name, value, says) in [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:5000", None),
            (
                "AWS_ENDPOINT_URL",
                "https://vpce-1.elasticloadbalancing.eu-west-1.vpce.amazonaws.com/",
                None,
            ),
            ("AWS_ENDPOINT_URL_STS", "http://[::1]:5000/path", None),
            ("AWS_ENDPOINT_URL", "", Some("AWS_ENDPOINT_URL is empty")),
            ("AWS_ENDPOINT_URL_SNS", "", Some("AWS_ENDPOINT_URL_SNS is empty")),
            ("AWS_ENDPOINT_URL", "hunter2", Some("no URL")),
            ("AWS_ENDPOINT_URL", "u:hunter2@ x", Some("no URL")),
            ("AWS_ENDPOINT_URL", "http://u:hunter2@h", Some("no URL")),
            ("AWS_ENDPOINT_URL", "http://", Some("no URL")),
            ("AWS_ENDPOINT_URL", "http://:80", Some("no URL")),
            ("AWS_ENDPOINT_URL", "http://h\n", Some("no URL")),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", None),
            (
                "AWS_ACCESS_KEY_ID",
                "hunter2\n",
                Some("AWS_ACCESS_KEY_ID has a line break"),
            ),
            (
                "AWS_SESSION_TOKEN",
                "hunter2\r",
                Some("AWS_SESSION_TOKEN has a line break"),
            ),
            ("AWS_PROFILE", "", None),
            ("PATH", "\n", None),
        ] {
            let told = of(name, value).map(|wrong| wrong.to_string());
            let is_right = match (&told, says) {
                (Some(told), Some(says)) => told.contains(says) && !told.contains("hunter2"),
                (told, says) => told.is_none() && says.is_none(),
            };
            assert!(is_right, "{name}={value:?}: {told:?}");
        }
    }
}
