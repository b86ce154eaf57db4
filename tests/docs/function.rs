//! What the page of the Lambda function says of it is so.

use std::collections::BTreeSet;

use rds_tether::function::{event, tag};
use rds_tether::settings::TAG_KEY;
use serde_json::Value;
use testkit::pages::{Page, rows};

use super::commands::variables_in;
use super::world::*;

fn page() -> Page {
    Page::read("lambda/README.md")
}

/// The JSON of its blocks, in order.
fn json() -> Vec<Value> {
    let blocks = page().blocks_of("json").into_iter();
    blocks.map(|block| serde_json::from_str(&block).unwrap()).collect()
}

/// What a value of JSON says, be it one text or a list of them.
fn texts(value: &Value) -> BTreeSet<&str> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn terraform_is_told_to_leave_the_functions_tag_alone() {
    let terraform = page().blocks_of("hcl").concat();
    assert!(terraform.contains(&format!("keys = [\"{}\"]", tag::KEY)), "{terraform}");
}

/// What EventBridge's patterns do as far as the page's goes: each field has one of the values listed.
fn matches(pattern: &Value, event: &Value) -> bool {
    let fields = pattern.as_object().unwrap().iter();
    fields
        .into_iter()
        .all(|(key, values)| event[key].as_str().is_some_and(|value| texts(values).contains(value)))
}

#[test]
fn the_functions_event_pattern_lets_through_what_tells_of_a_change() {
    let pattern = json().remove(1);
    let mut matched = 0;
    for entry in std::fs::read_dir("tests/events").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("bridge-") {
            continue;
        }
        let event: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let tells = event::Doorbell::read(&event.to_string()).phase != event::Phase::Other;
        assert!(matches(&pattern, &event) || !tells, "{name} tells of a change");
        matched += usize::from(matches(&pattern, &event) && tells);
    }
    assert!(matched >= 8, "only {matched} events: this test looks at nothing");
    let tick: Value = serde_json::from_str(include_str!("../events/tick-rule.json")).unwrap();
    assert!(!matches(&pattern, &tick), "a tick has a rule of its own");
}

#[test]
fn the_functions_commands_and_metrics_are_those_it_has() {
    let page = page();
    let commands = page.text.split("{\"command\":\"").skip(1);
    let commands: BTreeSet<&str> = commands.map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(commands, BTreeSet::from(["plan", "status", "sync"]));
    for command in commands {
        let payload = serde_json::json!({ "command": command });
        assert!(
            event::Doorbell::read(&payload.to_string()).command.is_some(),
            "{command}"
        );
    }
    let metrics = include_str!("../../lambda/src/emf.rs").lines();
    let metrics = metrics.filter_map(|line| {
        line.split_once("(\"")?
            .1
            .split_once("\", \"Count\"")
            .or(line.split_once("(\"")?.1.split_once("\", \"Seconds\""))
    });
    let metrics: BTreeSet<&str> = metrics.map(|(name, _)| name).collect();
    let (_, table) = page.text.split_once("\n| metric |").unwrap();
    let rows = rows(table);
    assert_eq!(metrics, rows.iter().map(|row| row[0].trim_matches('`')).collect());
    assert_eq!(
        metrics.len(),
        9,
        "the metrics are not where this test looks: {metrics:?}"
    );
}

/// Fails if an event that it names for a try is not there.
#[test]
fn the_functions_files_exist() {
    let commands = page().commands();
    let events = commands
        .iter()
        .filter_map(|command| command.text.split_once("--data-file "));
    let events: Vec<&str> = events.map(|(_, path)| path).collect();
    assert!(
        !events.is_empty() && events.iter().all(|path| std::path::Path::new(path).exists()),
        "{events:?}"
    );
}

/// Fails if it names a variable that the daemon, whose settings it takes, does not read; the tag's secret is its own.
#[test]
fn the_functions_variables_are_the_daemons() {
    let named: BTreeSet<String> = variables_in(&page().text).into_iter().collect();
    assert!(named.len() >= 4, "{named:?}");
    let help = assert_exit(bare_command("").args(["run", "--help"]), 0);
    for name in named {
        assert!(help.contains(&name) != (name == TAG_KEY), "{name}");
    }
}
