//! What the page shows is what is sent.

use std::collections::BTreeSet;

use rds_tether::notify::message::Kind;
use serde_json::Value;

use super::simulation::Dns::Names;
use super::simulation::Simulation;
use super::world::{NEW, OLD};

const PAGE: &str = include_str!("../../docs/notifications.md");

/// Its blocks of JSON: the permission, the message, and the filter policy.
fn json() -> [Value; 3] {
    let blocks = PAGE.split("```json\n").skip(1);
    let blocks: Vec<Value> = blocks
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect();
    blocks.try_into().unwrap()
}

fn told() -> Vec<rds_tether::notify::message::Message> {
    let mut world = Simulation::writer(&[OLD]);
    world.run(300, |secs| Names(if secs < 60 { &[OLD] } else { &[NEW] }));
    world.told
}

#[test]
fn the_message_is_the_one_that_is_sent() {
    let message = told().pop().unwrap().json();
    let sent: Value = serde_json::from_str(&message).unwrap();
    let mut shown = json()[1].clone();
    shown["version"] = env!("CARGO_PKG_VERSION").into();
    assert_eq!(shown, sent, "\n{message}");
}

#[test]
fn the_permission_is_for_the_topic_of_the_settings() {
    let [permission, ..] = json();
    let resource = permission["Resource"].as_str().unwrap();
    assert_eq!(permission["Action"], "sns:Publish");
    assert!(PAGE.contains(&format!("sns_topic_arn = \"{resource}\"")));
}

#[test]
fn the_filter_policy_is_for_attributes_that_exist() {
    let [_, _, policy] = json();
    let message = told().remove(0);
    for (key, values) in policy.as_object().unwrap() {
        assert!(message.attributes().iter().any(|(name, _)| name == key), "{key}");
        for value in values.as_array().unwrap() {
            assert!(Kind::ALL.iter().any(|kind| value == kind.severity()), "{value}");
        }
    }
    for (name, _) in message.attributes() {
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_table_has_every_kind() {
    let rows = PAGE.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.trim_end_matches('`'), cells.next()?))
    });
    let rows: BTreeSet<(&str, &str)> = rows.collect();
    assert_eq!(rows, Kind::ALL.map(|kind| (kind.name(), kind.severity())).into());
}
