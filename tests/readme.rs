//! The README's commands and settings are what the program takes.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "stories/world.rs"]
#[expect(dead_code, reason = "the stories use the rest")]
mod world;

use std::process::Command;

use world::*;

const README: &str = include_str!("../README.md");

/// The lines of all fenced blocks of a language, block by block.
fn blocks(language: &str) -> Vec<Vec<&'static str>> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
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
        if line.starts_with("rds-tether run") {
            let daemon = Daemon::start(&mut as_in_readme(line));
            daemon.wait_for_log(&["started"]);
            let (status, log) = daemon.stop();
            assert_eq!(status.code(), Some(0), "{line}: {log}");
        } else {
            let output = finish(as_in_readme(line).args(["--timeout", "2s"]));
            assert_eq!(output.status.code(), Some(69), "{line}: {}", said(&output));
        }
    }
}

#[test]
fn the_settings_are_taken() {
    let blocks = blocks("toml");
    assert!(!blocks.is_empty(), "the README has a settings file");
    for (number, block) in blocks.iter().enumerate() {
        let path = std::env::temp_dir().join(format!("rds-tether-readme-{}-{number}.toml", std::process::id()));
        std::fs::write(&path, block.join("\n")).unwrap();
        let mut command = bare_command("http://127.0.0.1:9");
        command.env("RDS_TETHER_NAMESERVER", "127.0.0.1:9");
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
