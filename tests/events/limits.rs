//! Nothing that arrives costs more than reading it once, or gets further into the log than its line.

use std::time::Duration;

use rds_tether::function::event::{Command, DEPTH_MAX, Doorbell, Phase, REASON_MAX_CHARS, Scope};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::invariants::check;

/// Far more than linear time takes for any of these, far less than quadratic time does.
const TIME_MAX: Duration = Duration::from_secs(10);
/// What SNS and SQS carry at most is a quarter of this.
const LARGE_BYTES: usize = 1 << 20;

fn started(id: &str) -> Value {
    json!({ "Event Source": "db-cluster", "Source ID": id, "Event ID": "RDS-EVENT-0072" })
}

#[test]
fn a_reason_stays_in_its_line() {
    let long = "x".repeat(LARGE_BYTES);
    let controls: String = (0..0xa0_u8).map(char::from).filter(|char| char.is_control()).collect();
    let unseen = "\u{2028}\u{2029}\u{202e}\u{2066}\u{200b}\u{feff}";
    for text in [long.as_str(), &controls, unseen, &"…".repeat(500), &"\n".repeat(500)] {
        for payload in [
            json!({ "command": text }),
            json!({ "source": text, "detail-type": text }),
            json!({ "source": "aws.rds", "detail-type": text, "detail": { "Message": text, "SourceIdentifier": text } }),
            json!({ "Event Source": text, "Source ID": text, "Event Message": text }),
            json!({ "SourceArn": "x", "Message": text }),
        ] {
            let doorbell = check(&payload);
            let has_unseen = doorbell.reason.contains(|char| unseen.contains(char));
            assert!(!has_unseen, "{:?}", doorbell.reason);
        }
    }
    let cut = check(&json!({ "source": "a", "detail-type": long })).reason;
    assert_eq!((cut.chars().count(), cut.ends_with('…')), (REASON_MAX_CHARS, true));
    let whole = "y".repeat(REASON_MAX_CHARS - " of a".len());
    let whole = check(&json!({ "source": "a", "detail-type": whole })).reason;
    assert_eq!((whole.chars().count(), whole.ends_with('…')), (REASON_MAX_CHARS, false));
}

#[test]
fn what_json_allows_and_nobody_can_read_does_not_matter_where_nobody_looks() {
    let text = started("orders").to_string();
    let whole = Doorbell::read(&text);
    assert_eq!(whole, check(&started("orders")));
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    for field in [deep.as_str(), "1e999", "-1e999", "\"\\ud800\""] {
        assert_eq!(
            Doorbell::read(&format!("{{\"x\":{field},{}", &text[1..])),
            whole,
            "{field:.20}"
        );
        let bare = Doorbell::read(field);
        assert_eq!(
            (bare.phase, bare.scope, bare.command),
            (Phase::Other, Scope::All, None),
            "{field:.20}"
        );
    }
}

#[test]
fn a_batch_is_read_to_its_end_or_taken_for_everything() {
    let batch = |count: usize| Value::Array(vec![started("orders"); count]);
    assert!(matches!(check(&batch(10_000)).scope, Scope::Sources(_)));
    let longer = check(&batch(10_001));
    assert_eq!((longer.phase, longer.scope), (Phase::Start, Scope::All));
}

#[test]
fn more_sources_than_a_line_holds_are_everything() {
    let batch = |count: usize| Value::Array((0..count).map(|n| started(&format!("orders-{n}"))).collect());
    let Scope::Sources(sources) = check(&batch(100)).scope else {
        panic!("all")
    };
    assert_eq!(sources.len(), 100);
    assert_eq!(check(&batch(101)).scope, Scope::All);
    // The same ones again are no more.
    let twice = json!([batch(100), batch(100)]);
    assert!(matches!(check(&twice).scope, Scope::Sources(_)));
}

#[test]
fn what_is_wrapped_too_often_is_unknown() {
    let text_in = |times: usize| (0..times).fold(started("orders"), |inner, _| json!(inner.to_string()));
    assert_eq!(check(&text_in(6)).phase, Phase::Start);
    assert_eq!(check(&text_in(7)).phase, Phase::Other);
    let list_in = |times: usize| (0..times).fold(started("orders"), |inner, _| json!([inner]));
    assert_eq!(check(&list_in(6)).phase, Phase::Start);
    assert_eq!(check(&list_in(7)).phase, Phase::Other);
    for text in [
        "[".repeat(LARGE_BYTES),
        "{\"a\":".repeat(LARGE_BYTES / 5),
        "\"".repeat(LARGE_BYTES),
    ] {
        assert_eq!(check(&json!(text)).scope, Scope::All);
        assert_eq!(check(&json!({ "Records": [{ "body": text }] })).scope, Scope::All);
    }
}

#[test]
fn an_odd_value_is_no_event() {
    for text in [
        r#"{"command": 1e999}"#,
        r#"{"command": "plan", "command": 7}"#,
        r#"{"command": "pl\u0000an"}"#,
        r#"{"Records": 17}"#,
        r#"{"Records": [1e308, -1e308, 123456789012345678901234567890]}"#,
        r#"{"Type": "Notification"}"#,
        r#"{"Type": "Notification", "Message": {"Type": "Notification", "Message": null}}"#,
        "{\"Event Source\": \"\\ud800\"}",
        "NaN",
        "",
        "\u{feff}{}",
    ] {
        let doorbell = check(&json!(text));
        assert_eq!((doorbell.scope, doorbell.command), (Scope::All, None), "{text}");
    }
}

#[test]
fn time_is_read_or_unknown() {
    for (text, expect) in [
        ("2026-11-23 06:40:01.000", Some(1_795_416_001_000)),
        ("2026-11-23 06:40:01", Some(1_795_416_001_000)),
        ("2026-11-23T06:40:01Z", Some(1_795_416_001_000)),
        (" 2026-11-23T08:40:01+02:00 ", Some(1_795_416_001_000)),
        ("1970-01-01T00:00:00Z", Some(0)),
        ("1969-12-31T23:59:59Z", None),
        ("-009999-01-01 00:00:00", None),
        ("999999-01-01 00:00:00", None),
        ("2026-02-30 00:00:00", None),
        ("1795416001", None),
        ("yesterday", None),
        (&"9".repeat(LARGE_BYTES), None),
    ] {
        let doorbell = check(&json!({ "Event Source": "db-instance", "Event Time": text }));
        assert_eq!(doorbell.at.map(|at| at.as_millis()), expect, "{text:.40}");
    }
}

#[test]
fn several_are_looked_at_as_long_as_any_of_them() {
    let event = |id: &str, time: &str| json!({ "Event Source": "db-cluster", "Event ID": id, "Event Time": time });
    let (old, new) = ("2026-11-23 06:00:00", "2026-11-23 06:40:00");
    for (batch, phase, at) in [
        (
            [event("RDS-EVENT-0072", old), event("RDS-EVENT-0071", new)],
            Phase::Start,
            new,
        ),
        (
            [event("RDS-EVENT-0071", new), event("RDS-EVENT-0072", old)],
            Phase::Start,
            new,
        ),
        // What expects no change has no say in how old the expectation is.
        (
            [event("RDS-EVENT-0072", old), event("RDS-EVENT-0006", new)],
            Phase::Start,
            old,
        ),
        (
            [event("RDS-EVENT-0006", new), event("RDS-EVENT-0072", old)],
            Phase::Start,
            old,
        ),
        // What does not say when it happened may have happened now.
        (
            [event("RDS-EVENT-0072", ""), event("RDS-EVENT-0071", old)],
            Phase::Start,
            "",
        ),
        (
            [event("RDS-EVENT-0385", new), event("RDS-EVENT-0071", old)],
            Phase::DnsChanged,
            new,
        ),
        ([event("RDS-EVENT-0006", new), event("", old)], Phase::Other, new),
    ] {
        let doorbell = check(&json!(batch));
        let expect = check(&event("", at)).at;
        assert_eq!((doorbell.phase, doorbell.at), (phase, expect), "{batch:?}");
    }
}

#[test]
fn a_command_to_look_stops_no_event() {
    let command = |text: &str| json!({ "command": text });
    for (batch, expect) in [
        (vec![command("plan"), command("plan")], Some(Command::Plan)),
        (vec![command("status"), command("plan")], Some(Command::Plan)),
        (vec![command("plan"), started("orders")], None),
        (vec![started("orders"), command("status")], None),
        (vec![command("plan"), json!("hello")], None),
        (vec![command("plan"), command("sync")], Some(Command::Sync)),
        (vec![started("orders"), command("sync")], Some(Command::Sync)),
    ] {
        assert_eq!(check(&json!(batch)).command, expect, "{batch:?}");
    }
}

/// How long this thread has had a processor; that of other processes does not count.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it does not run backwards")
}

#[test]
fn reading_takes_linear_time() {
    let text = |piece: &str| piece.repeat(LARGE_BYTES / piece.len());
    let lists = format!("[{}[]]", text("[[[[]]]],"));
    let many = format!("[{}0]", text(r#"{"command":"x"},"#));
    let nested = (0..5).fold(many.clone(), |inner, _| json!(inner).to_string());
    for payload in [
        json!(lists),
        json!(many),
        json!({ "Records": [{ "body": nested }] }),
        json!({ "Event Source": text("RDS-EVENT-"), "Event ID": text("RDS-EVENT-"), "Event Time": text("2026-") }),
        json!({ "Event ID": format!("RDS-EVENT-{}", text("0")), "Source ARN": text(":"), "Source ID": text("rds:") }),
        json!(vec![started(&text("o")); 4]),
    ] {
        let start = worked();
        check(&payload);
        let took = worked() - start;
        assert!(took < TIME_MAX, "{took:?} for {:.60}", payload.to_string());
    }
}

#[test]
fn envelopes_are_opened_to_a_depth_and_no_further() {
    let wrapped = |depth: usize| {
        let mut text = started("orders").to_string();
        for _ in 0..depth {
            text = Value::String(text).to_string();
        }
        Doorbell::read(&text)
    };
    assert_eq!(wrapped(DEPTH_MAX).phase, Phase::Start);
    let deeper = wrapped(DEPTH_MAX + 1);
    assert_eq!((deeper.phase, deeper.scope), (Phase::Other, Scope::All));
}
