//! The commands and settings of the READMEs are what the programs take, and what they say of the function is so.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

use rds_tether::function::{event, tag};
use serde_json::Value;
use testkit::world::*;

const README: &str = include_str!("../README.md");
const LAMBDA: &str = include_str!("../lambda/README.md");

/// The lines of all fenced blocks of a language in the README, block by block.
fn blocks(language: &str) -> Vec<Vec<&'static str>> {
    blocks_of(README, language)
}

fn blocks_of(page: &'static str, language: &str) -> Vec<Vec<&'static str>> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while lines.any(|line| line == format!("```{language}")) {
        blocks.push(lines.by_ref().take_while(|line| *line != "```").collect());
    }
    blocks
}

/// The binary with the README's arguments and environment, in a world without AWS and DNS.
fn as_in_readme(line: &str) -> Command {
    // Nothing listens on the discard port.
    let mut command = bare_command("http://127.0.0.1:9");
    command.env("RDS_TETHER_NAMESERVER", "127.0.0.1:9");
    for block in blocks("sh") {
        for export in block.iter().filter_map(|line| line.strip_prefix("export ")) {
            let (name, value) = export.split_once('=').expect("an assignment");
            command.env(name, value);
        }
    }
    command.args(line.split_whitespace().skip(1));
    command
}

/// What would listen does so on loopback, where the kernel finds a port.
fn on_any_port(text: &str) -> String {
    let is_listened_on = |word: &&str| word.starts_with("0.0.0.0:") || word.starts_with("127.0.0.1:");
    let words = text.split(['"', ' ', '\n']).filter(is_listened_on);
    words.fold(text.to_owned(), |text, word| text.replace(word, "127.0.0.1:0"))
}

fn assert_runs(command: &mut Command, what: &str) {
    let daemon = Daemon::start(command);
    daemon.wait_for_log(&["started"]);
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{what}: {log}");
}

#[test]
fn the_commands_are_taken() {
    let blocks = blocks("sh");
    let lines: Vec<&str> = blocks
        .into_iter()
        .flatten()
        .filter(|line| line.starts_with("rds-tether "))
        .collect();
    assert!(lines.len() >= 4, "the README has commands: {lines:?}");
    for line in lines {
        if line.starts_with("rds-tether run") || line.starts_with("rds-tether proxy") {
            assert_runs(&mut as_in_readme(&on_any_port(line)), line);
        } else if line.ends_with("--watch") {
            let words = as_in_readme(line);
            assert!(
                words.get_args().any(|word| word == "status"),
                "{line}: what else is watched ends by itself"
            );
        } else if ["completions", "man", "iam"].contains(&line.split(' ').nth(1).unwrap_or_default()) {
            assert_exit(&mut as_in_readme(line), 0);
        } else if line.starts_with("rds-tether status") {
            assert_exit(as_in_readme(line).args(["--timeout", "2s"]), 2);
        } else {
            let output = finish(as_in_readme(line).args(["--timeout", "2s"]));
            assert_eq!(output.status.code(), Some(69), "{line}: {}", said(&output));
        }
    }
}

#[test]
fn the_settings_are_taken() {
    let pages = [README, LAMBDA].map(|page| blocks_of(page, "toml"));
    assert!(
        pages.iter().all(|blocks| !blocks.is_empty()),
        "each has a settings file"
    );
    for (number, block) in pages.iter().flatten().enumerate() {
        let path = std::env::temp_dir().join(format!("rds-tether-readme-{}-{number}.toml", std::process::id()));
        let text = on_any_port(&block.join("\n"));
        std::fs::write(&path, &text).unwrap();
        let mut command = bare_command("http://127.0.0.1:9");
        command.env("RDS_TETHER_NAMESERVER", "127.0.0.1:9");
        if text.contains("[[proxy]]") {
            assert_runs(command.arg("run").arg("--config").arg(&path), &text);
            std::fs::remove_file(&path).unwrap();
            continue;
        }
        let output = finish(command.args(["plan", "--timeout", "2s", "--config"]).arg(&path));
        std::fs::remove_file(&path).unwrap();
        // Denied, because the role cannot be assumed; that the file is at fault would be 78.
        assert!(matches!(output.status.code(), Some(69 | 77)), "{}", said(&output));
    }
}

#[test]
fn the_programs_and_examples_it_names_exist() {
    let lines: Vec<&str> = blocks("sh").into_iter().flatten().collect();
    assert!(lines.contains(&"tests/run") && std::path::Path::new("tests/run").exists());
    assert!(lines.contains(&"cargo run --release --example failover"));
    assert!(std::path::Path::new("examples/failover.rs").exists());
}

/// The JSON of a page's blocks, in order.
fn json(page: &'static str) -> Vec<Value> {
    let blocks = blocks_of(page, "json").into_iter();
    blocks
        .map(|block| serde_json::from_str(&block.join("\n")).unwrap())
        .collect()
}

/// What a value of JSON says, be it one text or a list of them.
fn texts(value: &Value) -> BTreeSet<&str> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn terraform_is_told_to_leave_the_functions_tag_alone() {
    let terraform = blocks_of(LAMBDA, "hcl").concat().join("\n");
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
    let pattern = json(LAMBDA).remove(1);
    let mut matched = 0;
    for entry in std::fs::read_dir("tests/events").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("bridge-") {
            continue;
        }
        let event: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let tells = event::Doorbell::read(&event).phase != event::Phase::Other;
        assert!(matches(&pattern, &event) || !tells, "{name} tells of a change");
        matched += usize::from(matches(&pattern, &event) && tells);
    }
    assert!(matched >= 8, "only {matched} events: this test looks at nothing");
    let tick: Value = serde_json::from_str(include_str!("events/tick-rule.json")).unwrap();
    assert!(!matches(&pattern, &tick), "a tick has a rule of its own");
}

#[test]
fn the_functions_commands_and_metrics_are_those_it_has() {
    let commands = LAMBDA.split("{\"command\":\"").skip(1);
    let commands: BTreeSet<&str> = commands.map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(commands, BTreeSet::from(["plan", "status", "sync"]));
    for command in commands {
        let payload = serde_json::json!({ "command": command });
        assert!(event::Doorbell::read(&payload).command.is_some(), "{command}");
    }
    let metrics = include_str!("../lambda/src/emf.rs").lines();
    let metrics = metrics.filter_map(|line| {
        line.split_once("(\"")?
            .1
            .split_once("\", \"Count\"")
            .or(line.split_once("(\"")?.1.split_once("\", \"Seconds\""))
    });
    let metrics: BTreeSet<&str> = metrics.map(|(name, _)| name).collect();
    let (_, table) = LAMBDA.split_once("| metric |").unwrap();
    let rows = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(metrics, rows.collect());
    assert_eq!(
        metrics.len(),
        9,
        "the metrics are not where this test looks: {metrics:?}"
    );
}

#[test]
fn the_functions_files_and_variables_exist() {
    let lines = blocks_of(LAMBDA, "sh").concat();
    let events = lines
        .iter()
        .filter_map(|line| line.split_once("--data-file "))
        .map(|(_, path)| path);
    let events: Vec<&str> = events.collect();
    assert!(
        !events.is_empty() && events.iter().all(|path| std::path::Path::new(path).exists()),
        "{events:?}"
    );
    assert!(README.contains("(lambda/README.md)"), "the README leads to it");
    let output = finish(bare_command("http://127.0.0.1:9").args(["run", "--help"]));
    let variables = LAMBDA.split("RDS_TETHER_").skip(1);
    let variables = variables.map(|rest| {
        rest.split(|char: char| !char.is_ascii_uppercase() && char != '_')
            .next()
            .unwrap()
    });
    let variables: BTreeSet<&str> = variables.collect();
    assert!(variables.len() >= 4, "{variables:?}");
    for name in variables {
        assert!(said(&output).contains(&format!("RDS_TETHER_{name}")), "{name}");
    }
}
