//! Events of RDS, as people have them: what `aws rds describe-events` prints, what EventBridge and SNS send, and such a message as
//! `aws sqs receive-message` prints it; one JSON text after the other.

use serde_json::Value;

use crate::function::event::{self, Doorbell, Scope};
use crate::planner::endpoint::Endpoint;
use crate::planner::time::Timestamp;

/// The longest JSON text that is read: a day of a database's events takes less.
pub const TEXT_MAX: usize = 1 << 20;

/// What RDS told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it came.
    pub came: Timestamp,
    /// When it happened, by RDS's own clock.
    pub dated: Option<Timestamp>,
    /// How it relates to a failover.
    pub phase: Phase,
    /// Such as `RDS-EVENT-0071`; `describe-events` tells none.
    pub id: Option<String>,
    /// What it says.
    pub text: String,
}

/// How an event relates to a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It begins.
    Start,
    /// It is over.
    End,
    /// Something else.
    Other,
}

impl Event {
    /// Whether it tells of the same.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.dated, &self.text) == (other.dated, &other.text)
    }
}

/// Reads texts as they come.
#[derive(Debug, Default)]
pub struct Reader {
    unread: Vec<u8>,
}

impl Reader {
    /// Takes more of the text, and gives what events of the endpoint have come to their end with it.
    ///
    /// # Errors
    /// It is no JSON, or has no end.
    pub fn take(&mut self, bytes: &[u8], endpoint: &Endpoint, now: Timestamp) -> Result<Vec<Event>, String> {
        self.unread.extend(bytes);
        let mut texts = serde_json::Deserializer::from_slice(&self.unread).into_iter::<Value>();
        let mut events = Vec::new();
        let mut read = 0;
        while let Some(text) = texts.next() {
            match text {
                Ok(text) => {
                    read = texts.byte_offset();
                    events.extend(all_in(&text).into_iter().filter_map(|event| of(event, endpoint, now)));
                }
                Err(error) if error.is_eof() => break,
                Err(error) => return Err(format!("this is no JSON: {error}")),
            }
        }
        self.unread.drain(..read);
        match self.unread.len() > TEXT_MAX {
            true => Err(format!("a text has more than {} KiB and no end", TEXT_MAX >> 10)),
            false => Ok(events),
        }
    }
}

/// The events in what the AWS command line prints; anything else is one.
fn all_in(text: &Value) -> Vec<&Value> {
    let list = |key: &str| text.get(key).and_then(Value::as_array);
    match (list("Events"), list("Messages")) {
        (Some(events), _) => events.iter().collect(),
        (None, Some(messages)) => messages.iter().filter_map(|message| message.get("Body")).collect(),
        (None, None) => vec![text],
    }
}

fn of(event: &Value, endpoint: &Endpoint, now: Timestamp) -> Option<Event> {
    let doorbell = Doorbell::read(&event.to_string());
    // What the function takes for a reason to look at everything, such as a test message, says nothing here.
    let is_of_rds = doorbell.at.is_some() || doorbell.phase != event::Phase::Other || doorbell.scope != Scope::All;
    if !is_of_rds || !doorbell.scope.covers(endpoint) {
        return None;
    }
    let is_own = doorbell.scope.owns(endpoint);
    let text = doorbell.reason;
    let id = text
        .split_once(' ')
        .map(|(word, _)| word)
        .filter(|word| word.starts_with("RDS-EVENT-"));
    Some(Event {
        came: now,
        dated: doorbell.at,
        phase: match (is_own, doorbell.phase, id) {
            (false, ..) => Phase::Other,
            (true, event::Phase::Start, _) => Phase::Start,
            (true, event::Phase::Complete, _) => Phase::End,
            (true, event::Phase::Other, None) => by_words(&text),
            (true, event::Phase::Other | event::Phase::DnsChanged, _) => Phase::Other,
        },
        id: id.map(str::to_owned),
        text,
    })
}

/// By the words of its message, which comes after its names (Amazon RDS User Guide, "Amazon RDS event categories and event messages").
fn by_words(text: &str) -> Phase {
    let message = text
        .split_once(": ")
        .map_or("", |(_, message)| message)
        .to_ascii_lowercase();
    let is_of_failover = message.contains("failover") || message.contains("switchover");
    match is_of_failover {
        true if message.contains("started") => Phase::Start,
        true if message.contains("completed") => Phase::End,
        _ => Phase::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        "orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432"
            .parse()
            .expect("an endpoint")
    }

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    #[test]
    fn what_people_have_is_read() {
        let of = |kind: &str, identifier: &str, message: &str| {
            format!(
                r#"{{"SourceIdentifier": "{identifier}", "SourceType": "{kind}", "Message": "{message}", "EventCategories": ["failover"],
                    "Date": "2026-11-23T06:40:01.123Z", "SourceArn": "arn:aws:rds:eu-west-1:111122223333:cluster:{identifier}"}}"#
            )
        };
        let one = |kind: &str, identifier: &str, message: &str| {
            of(kind, identifier, message).replace(":cluster:", if kind == "db-instance" { ":db:" } else { ":cluster:" })
        };
        let listed = format!(
            r#"{{"Events": [{}, {}, {}]}}"#,
            of(
                "db-cluster",
                "orders",
                "Started cross AZ failover to DB instance: orders-2"
            ),
            of("db-cluster", "orders", "Completed failover to DB instance: orders-2"),
            of("db-cluster", "billing", "Completed failover to DB instance: billing-2"),
        );
        let bridge = include_str!("../../tests/events/bridge-cluster-completed.json");
        let message = serde_json::json!({"Messages": [{"MessageId": "1", "Body": bridge}]}).to_string();
        for (text, expect) in [
            (listed.as_str(), vec![(Phase::Start, None), (Phase::End, None)]),
            (bridge, vec![(Phase::End, Some("RDS-EVENT-0071"))]),
            (&message, vec![(Phase::End, Some("RDS-EVENT-0071"))]),
            (r#"{"Events": []}"#, vec![]),
            (r#"{"Messages": [{"Body": "no event"}]}"#, vec![]),
            (
                &one("db-instance", "failover-1", "DB instance started"),
                vec![(Phase::Other, None)],
            ),
            (
                &one("db-instance", "billing-1", "Multi-AZ instance failover started."),
                vec![(Phase::Other, None)],
            ),
            (
                r#"{"EventID": "RDS-EVENT-0006", "SourceType": "CLUSTER", "SourceIdentifier": "orders", "Date": "2026-11-23T06:40:01Z",
                    "Message": "failover completed"}"#,
                vec![(Phase::Other, Some("RDS-EVENT-0006"))],
            ),
            (
                r#"{"EventID": "RDS-EVENT-0049", "SourceType": "DB_INSTANCE", "SourceIdentifier": "billing-1",
                    "Date": "2026-11-23T06:40:01Z", "Message": "Multi-AZ instance failover completed"}"#,
                vec![(Phase::Other, Some("RDS-EVENT-0049"))],
            ),
            ("[]", vec![]),
            ("null", vec![]),
        ] {
            let events = Reader::default().take(text.as_bytes(), &endpoint(), NOW).expect("JSON");
            let found: Vec<_> = events.iter().map(|event| (event.phase, event.id.as_deref())).collect();
            assert_eq!(found, expect, "{text}: {events:?}");
            assert!(events.iter().all(|event| event.dated.is_some()), "{events:?}");
        }
    }

    #[test]
    fn texts_come_in_pieces_and_one_after_the_other() {
        let bridge = include_str!("../../tests/events/bridge-cluster-started.json");
        let (mut reader, mut found) = (Reader::default(), 0);
        for byte in format!("{bridge}\n{bridge}").bytes() {
            found += reader.take(&[byte], &endpoint(), NOW).expect("JSON").len();
        }
        assert_eq!(found, 2);
    }

    #[test]
    fn what_is_no_json_or_has_no_end_is_told() {
        let endless = format!("\"{}", "x".repeat(TEXT_MAX + 1));
        for (text, words) in [("hello", "no JSON"), (endless.as_str(), "no end")] {
            let error = Reader::default().take(text.as_bytes(), &endpoint(), NOW);
            assert!(error.as_ref().is_err_and(|error| error.contains(words)), "{error:?}");
        }
    }
}
