//! `doctor`: its judgements as tables, and the built binary against simulated servers, a PostgreSQL that speaks TLS only, and a
//! real PostgreSQL.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, missing_docs)]

mod aws;
mod dns;
mod fake;
mod fixes;
mod group;
mod hostile;
mod lead;
mod postgres;
mod reach;
mod script;
mod service;
mod source;
mod tables;
mod usage;
mod walk;

use std::process::Command;

use serde_json::Value;
use testkit::world::{self, World, finish, said};

/// One check as the JSON output tells it.
#[derive(Clone, Debug)]
pub struct Told {
    pub section: String,
    pub name: String,
    pub status: String,
    pub finding: String,
    pub fix: String,
}

/// All that an examination told.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    pub exit: i32,
    pub checks: Vec<Told>,
    pub said: String,
}

impl Diagnosis {
    /// The check of this name, of which there must be one.
    #[track_caller]
    pub fn check(&self, name: &str) -> &Told {
        let mut named = self.checks.iter().filter(|check| check.name == name);
        let found = named.next().unwrap_or_else(|| panic!("no {name} in:\n{}", self.said));
        assert!(named.next().is_none(), "several {name} in:\n{}", self.said);
        found
    }

    /// The check has this status, and says all of these parts in its finding or fix.
    #[track_caller]
    pub fn assert(&self, name: &str, status: &str, parts: &[&str]) {
        let check = self.check(name);
        let text = format!("{} | {}", check.finding, check.fix);
        assert_eq!(check.status, status, "{name}: {text}\n{}", self.said);
        for part in parts {
            assert!(text.contains(part), "{name}: nothing of {part:?} in: {text}");
        }
    }

    /// The names of all checks with a status.
    pub fn with(&self, status: &str) -> Vec<&str> {
        let checks = self.checks.iter().filter(|check| check.status == status);
        checks.map(|check| check.name.as_str()).collect()
    }
}

/// Runs the command with JSON output and reads it.
#[track_caller]
pub fn examine(command: &mut Command) -> Diagnosis {
    let output = finish(command.args(["--output", "json"]));
    let said = said(&output);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let exit = output.status.code().expect("an exit code");
    assert_eq!(json["exit_code"], exit, "{said}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut checks = Vec::new();
    for section in json["sections"].as_array().expect("sections") {
        for check in section["checks"].as_array().expect("checks") {
            checks.push(Told {
                section: text(&section["title"]),
                name: text(&check["name"]),
                status: text(&check["status"]),
                finding: text(&check["finding"]),
                fix: text(&check["fix"]),
            });
        }
    }
    Diagnosis { exit, checks, said }
}

/// A world's own examination, without reaching for addresses that nobody has here.
pub fn doctor(world: &World) -> Command {
    let mut command = world.bound("doctor");
    command.args(["--skip", "reach"]);
    command
}
