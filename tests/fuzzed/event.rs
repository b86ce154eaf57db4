//! What wakes the function.

use rds_tether::function::event::{Doorbell, REASON_MAX_CHARS, Scope, Source};
use rds_tether::planner::endpoint::Endpoint;
use serde_json::{Value, json};

/// The end of the year 9999, the last that RFC 3339 can write.
const TIME_MAX_MILLIS: u64 = 253_402_300_800_000;
/// The most that a scope names, and the longest name (RFC 1035).
const SOURCES_MAX: usize = 100;
const IDENTIFIER_MAX_BYTES: usize = 63;
/// A name that may be any database's.
const ALIAS: &str = "db.corp.internal:5432";

/// Reads a text as a payload, and as what a queue holds.
pub fn check_text(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    judge(Doorbell::read(text));
    check(&json!({ "Records": [{ "body": text }] }));
}

/// Reads a payload and checks what it was read as.
pub fn check(payload: &Value) -> Doorbell {
    judge(Doorbell::read(&payload.to_string()))
}

fn judge(doorbell: Doorbell) -> Doorbell {
    let reason = doorbell.to_string();
    assert!(!reason.is_empty(), "no reason");
    assert!(reason.chars().count() <= REASON_MAX_CHARS, "a long reason: {reason:?}");
    assert!(
        !reason.contains(char::is_control),
        "a reason beyond its line: {reason:?}"
    );
    if let Some(at) = doorbell.at {
        assert!(at.as_millis() < TIME_MAX_MILLIS, "{at:?}");
    }
    if let Scope::Sources(sources) = &doorbell.scope {
        assert!(!sources.is_empty(), "about nothing");
        assert!(sources.len() <= SOURCES_MAX, "about {} sources", sources.len());
        for Source::Instance(name) | Source::Cluster(name) | Source::Proxy(name) in sources {
            let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!((1..=IDENTIFIER_MAX_BYTES).contains(&name.len()), "{name:?}");
            assert!(name.bytes().all(is_label), "{name:?}");
        }
    }
    let alias: Endpoint = ALIAS.parse().expect("an endpoint");
    assert!(doorbell.scope.covers(&alias), "an alias is left out");
    doorbell
}
