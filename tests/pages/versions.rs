//! Documents of other versions, as `status` may be given them.

use std::collections::BTreeSet;

use rds_tether::telemetry::document::{Document, SCHEMA};
use rds_tether::telemetry::output;
use rds_tether::telemetry::page::{self, Part, Scene};
use serde_json::{Map, Value, json};

/// As a process of this version could write it, with something of everything.
fn document() -> Value {
    json!({
        "schema": SCHEMA, "verb": "status", "exit_code": 2, "settled": false, "version": "0.1.0",
        "started": "2026-11-28T14:00:00Z", "at": "2026-11-28T14:01:05.5Z", "not_looked_at_yet": ["arn:reports"],
        "target_groups": [{
            "arn": "arn:orders", "name": "orders", "role": "writer", "settled": false, "verdict": "changes are pending",
            "endpoints": [{
                "endpoint": "orders.example.com:5432", "blind": null,
                "name_servers": [{ "address": "10.0.0.2:53", "addresses": ["10.0.1.5", "10.0.2.7"], "ttl_seconds": 5 }],
            }],
            "targets": [{ "target": "10.0.1.5:5432", "state": "healthy", "named": true }],
            "holds": [
                { "what": "10.0.9.9:5432", "reason": "kept", "text": "10.0.9.9:5432 is kept" },
                { "what": "the target group", "text": "said by the error", "told_elsewhere": true },
            ],
            "errors": [{ "action": "DescribeTargetHealth", "code": "X", "text": "it \u{1b}[2J failed" }],
        }],
        "proxies": [{ "listen": "127.0.0.1:1", "endpoint": "e:2", "ready": true, "why": "good", "counts": { "open": 7 } }],
        "changes": [{ "at": "2026-11-28T14:01:00Z", "subject": "orders", "text": "DNS <names>" }],
        "source": { "url": "http://127.0.0.1:9477/status" },
    })
}

/// Makes a change to every object of a document.
fn everywhere(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            object.values_mut().for_each(|value| everywhere(value, change));
            change(object);
        }
        Value::Array(items) => items.iter_mut().for_each(|value| everywhere(value, change)),
        _ => {}
    }
}

fn read(value: &Value) -> Document {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value:#}"))
}

fn drawn_page(document: Document) -> String {
    let scene = Scene {
        document,
        ..Scene::default()
    };
    page::draw(&scene, Part::All).expect("all is there")
}

/// Fails if a key that this version does not know keeps it from reading the others, or if what is drawn lacks some of them.
#[test]
fn a_document_of_a_newer_process_says_what_this_version_knows() {
    let mut newer = document();
    everywhere(&mut newer, &mut |object| {
        object.insert("mood".into(), json!({ "is": ["new"] }));
    });
    let drawn = output::status(&read(&newer));
    assert_eq!(drawn, output::status(&read(&document())));
    for says in [
        "asked http://127.0.0.1:9477/status: rds-tether 0.1.0, up for 65 s",
        "arn:reports\n  not looked at yet",
        "orders.example.com:5432  writer  10.0.0.2:53  10.0.1.5, 10.0.2.7  5 s",
        "10.0.1.5:5432  healthy  -     names it",
        "held: 10.0.9.9:5432 is kept",
        "error: it \\u001b[2J failed",
        "7     0         0        0",
    ] {
        assert!(drawn.contains(says), "no {says:?} in\n{drawn}");
    }
    let page = drawn_page(read(&newer));
    for drawn in [&drawn, &page] {
        assert!(!drawn.contains("said by the error"), "{drawn}");
    }
    assert!(page.contains("5 s ago<td>orders<td>DNS &lt;names&gt;"), "{page}");
}

/// Fails if a key that an older version does not write keeps the rest from being read and drawn.
#[test]
fn a_document_of_an_older_process_may_lack_any_key() {
    let mut keys = BTreeSet::new();
    everywhere(&mut document(), &mut |object| keys.extend(object.keys().cloned()));
    assert!(keys.len() > 20, "{keys:?}");
    for key in keys {
        let mut older = document();
        everywhere(&mut older, &mut |object| {
            object.remove(&key);
        });
        let read = read(&older);
        assert!(
            !output::status(&read).is_empty() && !drawn_page(read).is_empty(),
            "{key}"
        );
    }
    let nothing = read(&json!({}));
    assert!(nothing.schema != *SCHEMA && !nothing.settled);
}
