//! The fixtures have the shapes that AWS sends, and an event is the same event in every envelope.

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use aws_lambda_events::event::sns::{SnsEvent, SnsMessage};
use aws_lambda_events::event::sqs::SqsEvent;
use rds_tether::function::event::Doorbell;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::fixtures::{self, Fixture};

fn named(prefix: &str) -> Vec<Fixture> {
    let mut fixtures = fixtures::all();
    fixtures.retain(|fixture| fixture.name.starts_with(prefix));
    assert!(
        !fixtures.is_empty(),
        "no fixture is named {prefix}*: this test looks at nothing"
    );
    fixtures
}

#[track_caller]
fn typed<T: DeserializeOwned>(name: &str, text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn eventbridge_sends_what_the_fixtures_say() {
    for fixture in named("bridge-").into_iter().chain(named("tick-")) {
        let event: EventBridgeEvent<Value> = typed(&fixture.name, &fixture.text);
        assert!(event.id.is_some() && event.account.is_some(), "{}", fixture.name);
    }
}

#[test]
fn sns_sends_what_the_fixtures_say() {
    for fixture in named("sns-") {
        let event: SnsEvent = typed(&fixture.name, &fixture.text);
        assert!(!event.records.is_empty(), "{}", fixture.name);
        assert!(
            fixture.text.contains("SigningCertUrl"),
            "{}: Lambda spells it so",
            fixture.name
        );
    }
}

#[test]
fn sqs_sends_what_the_fixtures_say() {
    let mut wrapped = 0;
    for fixture in named("sqs-") {
        let event: SqsEvent = typed(&fixture.name, &fixture.text);
        for record in event.records {
            let body = record.body.expect("a body");
            if body.contains(r#""Type": "Notification""#) {
                assert!(body.contains("SigningCertURL"), "{}: SQS spells it so", fixture.name);
                let message: SnsMessage = typed(&fixture.name, &body);
                assert_eq!(message.sns_message_type, "Notification");
                wrapped += 1;
            }
        }
    }
    assert!(wrapped > 0, "no notification in SQS: this test looks at nothing");
}

#[test]
fn an_event_is_the_same_in_every_envelope() {
    let notification = |message: &str| json!({ "Type": "Notification", "Message": message });
    for fixture in named("bridge-")
        .into_iter()
        .chain(named("tick-"))
        .chain(named("command-"))
    {
        let bare = Doorbell::read(&fixture.payload.to_string());
        let text = fixture.payload.to_string();
        for envelope in [
            json!(text),
            json!([fixture.payload]),
            json!({ "Records": [{ "body": text }] }),
            json!({ "Records": [{ "body": fixture.payload }] }),
            json!({ "Records": [{ "Sns": { "Message": text } }] }),
            json!({ "Records": [{ "body": notification(&text).to_string() }] }),
            json!({ "Records": [{ "body": text }, { "body": text }, { "Sns": { "Message": text } }] }),
        ] {
            assert_eq!(
                Doorbell::read(&envelope.to_string()),
                bare,
                "{}: {envelope}",
                fixture.name
            );
        }
    }
}
