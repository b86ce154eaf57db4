//! The page for users: its commands, paths, units and files are what there is.

use std::collections::BTreeSet;
use std::path::Path;

use super::root::Root;
use super::service::Host;
use super::unit::UNITS;
use super::world::*;

const PAGE: &str = include_str!("../../deploy/systemd/README.md");
/// Commands that take a person, a package manager with its repositories, or a running systemd; what they name is looked at.
const NOT_RUN: &[&str] = &["sudoedit ", "journalctl ", "apt ", "dnf "];

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = PAGE.lines();
    while lines.any(|line| line == format!("```{language}")) {
        let block = lines.by_ref().take_while(|line| *line != "```");
        blocks.push(block.map(|line| format!("{line}\n")).collect());
    }
    blocks
}

/// Runs a command of the page where it can be.
#[track_caller]
fn try_out(host: &Host, line: &str) {
    let root = &host.root;
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["systemctl", verb @ ("enable" | "disable"), "--now", ref units @ ..] => {
            root.run(&[&["systemctl", "--root=/", verb], units].concat());
        }
        // A running systemd would be asked.
        [
            "systemctl",
            "status" | "reload" | "restart" | "stop" | "edit" | "list-timers",
            unit,
        ] => assert!(UNITS.contains(&unit), "{line}"),
        ["rds-tether", ..] => {
            let code = finish(&mut host.command(&host.unit("rds-tether.service"), line, &[]))
                .status
                .code();
            // What it says of the simulated world is no matter; what it is told must be right.
            assert!(code.is_some_and(|code| code < 64), "{line}: {code:?}");
        }
        _ if NOT_RUN.iter().any(|start| line.starts_with(start)) => {}
        _ => {
            root.run(&words);
        }
    }
}

/// Fails if a command of the page does not work on a host with the package.
#[test]
#[ignore = "needs root, dpkg and overlays: tests/run provides them"]
fn the_commands_of_the_page_work() {
    let host = Host::set_up("");
    let mut tried = 0;
    for block in blocks("sh") {
        for line in block.lines() {
            let line = line.strip_prefix("sudo ").unwrap_or(line);
            try_out(&host, line);
            if line.starts_with("install -m 644 ") {
                let copied = |path| std::fs::read(host.root.path(path)).unwrap();
                assert!(copied("etc/rds-tether/config.toml") == copied("usr/share/rds-tether/config.toml"));
                // Now it is edited.
                host.write_settings("");
            }
            tried += 1;
        }
    }
    assert!(tried >= 15, "{tried} commands: this test looks at nothing");
}

/// Fails if a file or a unit that the page names is not there, or is called otherwise.
#[test]
#[ignore = "needs root, dpkg and overlays: tests/run provides them"]
fn what_the_page_names_is_there() {
    let host = Host::set_up("");
    let words = PAGE.split(|c: char| c.is_whitespace() || "`(),;".contains(c));
    let words: BTreeSet<&str> = words.map(|word| word.trim_end_matches('.')).collect();
    let is_unit = |word: &&str| word.starts_with("rds-tether") && word.contains('.') && !word.contains('_');
    let units: BTreeSet<&str> = words.iter().copied().filter(is_unit).collect();
    assert_eq!(units, UNITS.into());
    let paths: Vec<&&str> = words
        .iter()
        .filter(|word| word.starts_with("/etc/rds-tether/") || word.starts_with("/usr"))
        .collect();
    assert!(paths.len() >= 3, "{paths:?}");
    for path in paths {
        assert!(host.root.has(path.trim_start_matches('/')), "{path}");
    }
    let version = env!("CARGO_PKG_VERSION");
    for name in [
        format!("./rds-tether_{version}_amd64.deb"),
        format!("./rds-tether-{version}-1.x86_64.rpm"),
    ] {
        assert!(words.contains(name.as_str()), "the page names no {name}");
    }
}

/// Fails if systemd would not take what the page says to write.
#[test]
#[ignore = "needs root, dpkg, overlays and systemd-analyze: tests/run provides them"]
fn systemd_takes_the_files_of_the_page() {
    let root: Root = Host::new().root;
    let [environment, socket, service] = &blocks("ini")[..] else {
        panic!("three files")
    };
    for (block, unit) in [(socket, "rds-tether.socket"), (service, "rds-tether.service")] {
        let folder = format!("etc/systemd/system/{unit}.d");
        root.run(&["mkdir", "-p", &format!("/{folder}")]);
        root.write(&Path::new(&folder).join("override.conf").display().to_string(), block);
        assert_eq!(root.run(&["systemd-analyze", "verify", unit]), "", "{block}");
        let shown = root.run(&["systemd-analyze", "cat-config", &format!("systemd/system/{unit}")]);
        assert!(shown.contains(block.lines().last().unwrap()), "{shown}");
    }
    for line in environment.lines() {
        assert!(
            line.split_once('=').is_some_and(|(name, _)| name.starts_with("AWS_")),
            "{line}"
        );
    }
}
