//! The example settings.

use std::collections::BTreeSet;

use rds_tether::settings::keys::tables;

use testkit::settings::{dns, proxy, target_group};

use super::unit::{Unit, folder};
use super::world::*;

fn example() -> String {
    std::fs::read_to_string(folder().join("config.toml")).unwrap()
}

/// A line of settings that is commented out: # and no blank.
fn commented(line: &str) -> Option<&str> {
    line.strip_prefix('#')
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
}

/// The example with all of its settings.
pub fn all_of_it() -> String {
    let text = example();
    let lines = text.lines().map(|line| commented(line).unwrap_or(line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Fails if the example has a key that the file may not, or a value that is none, or lacks a key.
#[test]
fn every_key_of_the_example_is_taken_and_every_key_is_there() {
    let scratch = Scratch::new();
    let text = all_of_it();
    let bundle = rcgen::generate_simple_self_signed([String::from("example.com")])
        .unwrap()
        .cert
        .pem();
    let bundle = scratch.write("rds-ca.pem", &bundle);
    let with_bundle = text.replace("/etc/rds-tether/rds-ca.pem", bundle.to_str().unwrap());
    let path = scratch.write("config.toml", &with_bundle);
    let mut command = bare_command("http://127.0.0.1:9");
    let said = assert_exit(command.args(["doctor", "--only", "settings", "--config"]).arg(path), 0);
    assert_says(
        &said,
        &["1 target group, 1 place to look for tagged target groups, 1 proxy"],
    );

    let mut seen = BTreeSet::new();
    let mut table = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with('[') {
            table = line;
        } else if let Some((key, _)) = line.split_once(" = ") {
            seen.insert((table.to_owned(), key.to_owned()));
        }
    }
    let tables = tables().into_iter();
    let keys = tables.flat_map(|table| {
        table
            .keys
            .into_iter()
            .map(move |key| (table.header.to_owned(), key.name))
    });
    assert_eq!(seen, keys.collect::<BTreeSet<_>>());
}

/// Fails if what is said to be a default is another.
#[test]
fn a_default_of_the_example_is_the_default() {
    let text = example();
    let tables = tables();
    let mut compared = 0;
    let mut table = "";
    for line in text.lines().filter_map(commented) {
        if line.starts_with('[') {
            table = line;
        }
        let Some((key, rest)) = line.split_once(" = ") else {
            continue;
        };
        let known = tables.iter().find(|known| known.header == table).expect("a table");
        let known = known.keys.iter().find(|known| known.name == key).expect("a key");
        let (value, about) = rest.split_once(" #").unwrap_or((rest, ""));
        let value = value.trim().trim_matches('"');
        match &known.default {
            // It tells the default in words, because its value is an example.
            Some(default) if about.contains("default: ") || about.contains("or \"reader\"") => {
                assert!(!default.starts_with(|c: char| c.is_ascii_digit()), "{line}: {default}");
            }
            Some(default) => {
                let first = default.split([',', ';']).next().unwrap();
                assert_eq!(value, first, "{table} {key}");
                compared += 1;
            }
            None => {}
        }
    }
    assert!(compared >= 12, "{compared} defaults compared");
}

/// Fails if the example, not yet edited, says nothing of what to do, or does not serve the pages where its documents say.
#[test]
fn the_example_as_it_is_says_what_to_add() {
    let scratch = Scratch::new();
    let path = scratch.write("config.toml", &example());
    let said = assert_exit(bare_command("").args(["run", "--config"]).arg(path), 78);
    assert_says(&said, &["there is nothing to follow; add a [[target_group]]"]);
    assert!(example().contains("\n[http]\nlisten = \"127.0.0.1:9477\"\n"));
}

/// Fails if the check of a reload asks anybody: it would take its time, or fail for what is no fault of the settings.
#[test]
fn the_check_before_a_reload_asks_nobody() {
    let world = World::settled();
    let scratch = Scratch::new();
    let endpoint = format!("{WRITER}:5432");
    let nameserver = world.dns.addr();
    for (forget, code) in [("60s", 0), ("60", 78)] {
        let text = target_group(&world.arn, &endpoint)
            .set("forget", forget)
            .and(proxy("127.0.0.1:0", &endpoint))
            .and(dns(nameserver));
        let path = scratch.write("config.toml", &text);
        let mut command = bare_command(&world.elb.url());
        let said = assert_exit(
            command.args(["doctor", "--only", "settings", "--config"]).arg(path),
            code,
        );
        if code != 0 {
            assert_says(&said, &["config.toml:4: forget: ", "fix: "]);
        }
    }
    assert!(world.dns.queries().is_empty() && world.elb.calls().is_empty());
}

/// Fails if the socket unit as it is listens for no proxy of the example.
#[test]
fn the_socket_is_the_examples_proxy() {
    let listen = format!(
        "listen = \"{}\"",
        Unit::shipped("rds-tether.socket").one("ListenStream")
    );
    let text = all_of_it();
    let (_, proxy) = text.split_once("[[proxy]]\n").expect("a proxy");
    assert_eq!(proxy.lines().next(), Some(listen.as_str()));
}
