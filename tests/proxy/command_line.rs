//! What is typed, rightly and wrongly.

use std::process::Command;

use super::world::{Database, OLD, Proxy, WRITER, World};
use testkit::world::{assert_exit, assert_says, bare_command};

const USAGE: i32 = 64;

/// A command line in which `ENDPOINT` and `LISTEN` stand for good flags.
fn typed(world: &World, line: &str) -> Command {
    let mut command = bare_command("http://127.0.0.1:9");
    for word in line.split_whitespace() {
        match word {
            "ENDPOINT" => command.args(["--endpoint", &format!("{WRITER}:5432")]),
            "LISTEN" => command.args(["--listen", "127.0.0.1:0"]),
            _ => command.arg(word),
        };
    }
    // A command line that is wrongly taken for good would look there, and so be found out.
    command.env("RDS_TETHER_NAMESERVER", world.dns.addr().to_string());
    command
}

#[test]
fn each_mistake_is_answered_with_what_to_write_instead() {
    let world = World::new();
    let cases: &[(&str, &[&str])] = &[
        ("proxy", &["--listen <ADDR:PORT>", "--endpoint <HOST:PORT>", "--help"]),
        ("proxy ENDPOINT", &["--listen <ADDR:PORT>"]),
        ("proxy LISTEN", &["--endpoint <HOST:PORT>"]),
        (
            "proxy ENDPOINT --listen",
            &["--listen <ADDR:PORT>", "value is required"],
        ),
        (
            "proxy ENDPOINT --listen 5432",
            &["\"5432\" is no address to listen on", "0.0.0.0:5432"],
        ),
        (
            "proxy ENDPOINT --listen :6432",
            &["no address to listen on", "0.0.0.0:6432"],
        ),
        (
            "proxy ENDPOINT --listen localhost:5432",
            &["no address to listen on", "ADDR:PORT"],
        ),
        (
            "proxy ENDPOINT --listen 0.0.0.0:99999",
            &["no address to listen on", "ADDR:PORT"],
        ),
        ("proxy ENDPOINT LISTEN LISTEN", &["--listen", "multiple times"]),
        (
            "proxy LISTEN --endpoint orders.example",
            &["--endpoint", "no port", "orders.example:5432"],
        ),
        (
            "proxy LISTEN --endpoint orders.example:",
            &["--endpoint", "port from 1 to 65535"],
        ),
        (
            "proxy LISTEN --endpoint 10.0.1.5:5432",
            &["--endpoint", "is an address", "DNS name"],
        ),
        ("proxy LISTEN ENDPOINT ENDPOINT", &["--endpoint", "multiple times"]),
        (
            "proxy LISTEN ENDPOINT --linger soon",
            &["--linger", "with a unit", "or write never"],
        ),
        (
            "proxy LISTEN ENDPOINT --linger 5",
            &["--linger", "with a unit", "or write never"],
        ),
        ("proxy LISTEN ENDPOINT --linger -5s", &["--linger", "with a unit"]),
        ("proxy LISTEN ENDPOINT --linger 25h", &["--linger", "out of range"]),
        ("proxy LISTEN ENDPOINT --drain never", &["--drain", "with a unit"]),
        ("proxy LISTEN ENDPOINT --drain 2d", &["--drain"]),
        (
            "proxy LISTEN ENDPOINT --dial-timeout 0s",
            &["--dial-timeout", "out of range", "100ms"],
        ),
        (
            "proxy LISTEN ENDPOINT --dial-timeout 6m",
            &["--dial-timeout", "out of range", "5m"],
        ),
        ("proxy LISTEN ENDPOINT --max-sessions 0", &["--max-sessions", "0"]),
        ("proxy LISTEN ENDPOINT --max-sessions many", &["--max-sessions", "many"]),
        (
            "proxy LISTEN ENDPOINT --allow-peer 10.0.0.1/8",
            &["--allow-peer", "write 10.0.0.0/8"],
        ),
        ("proxy LISTEN ENDPOINT --allow-cidr vpc", &["--allow-cidr", "no CIDR"]),
        ("proxy LISTEN ENDPOINT --role primary", &["--role", "writer", "reader"]),
        (
            "proxy LISTEN ENDPOINT --ip-family ipv5",
            &["--ip-family", "ipv4", "ipv6"],
        ),
        (
            "proxy LISTEN ENDPOINT --http 9477",
            &["--http", "no address to listen on", "0.0.0.0:9477"],
        ),
        (
            "proxy LISTEN ENDPOINT --accept-proxy-protocol=maybe",
            &["--accept-proxy-protocol"],
        ),
        ("proxy LISTEN ENDPOINT --interval 61s", &["--interval", "out of range"]),
        (
            "proxy LISTEN ENDPOINT --nameserver dns.example",
            &["--nameserver", "no name server"],
        ),
        (
            "proxy LISTEN ENDPOINT --target-group arn",
            &["--target-group", "--help"],
        ),
        ("proxy LISTEN ENDPOINT --config config.toml", &["--config", "--help"]),
        ("proxy LISTEN ENDPOINT 127.0.0.1", &["127.0.0.1", "--help"]),
    ];
    for (line, parts) in cases {
        let text = assert_exit(&mut typed(&world, line), USAGE);
        for part in *parts {
            assert!(text.contains(part), "{line}: {part:?} is missing from: {text}");
        }
        assert!(!text.contains("panicked") && text.len() < 2000, "{line}: {text}");
    }
    assert!(
        world.dns.queries().is_empty(),
        "a wrong command line was taken for good"
    );
}

#[test]
fn a_bad_value_is_traced_to_its_environment_variable() {
    let world = World::new();
    for (name, value) in [
        ("RDS_TETHER_LISTEN", "5432"),
        ("RDS_TETHER_ENDPOINT", "orders.example"),
        ("RDS_TETHER_LINGER", "soon"),
        ("RDS_TETHER_MAX_SESSIONS", "0"),
    ] {
        let mut command = typed(&world, "proxy");
        command.env("RDS_TETHER_LISTEN", "127.0.0.1:0");
        command.env("RDS_TETHER_ENDPOINT", format!("{WRITER}:5432"));
        command.env(name, value);
        let text = assert_exit(&mut command, USAGE);
        assert_says(&text, &[&format!("environment variable {name}")]);
    }
}

#[test]
fn the_environment_alone_is_enough() {
    let world = World::new();
    let _database: Database = world.database(OLD);
    let mut command = bare_command("http://127.0.0.1:9");
    command.arg("proxy").envs([
        ("RDS_TETHER_LISTEN", "127.0.0.1:0".to_owned()),
        ("RDS_TETHER_ENDPOINT", format!("{WRITER}:{}", world.port())),
        ("RDS_TETHER_NAMESERVER", world.dns.addr().to_string()),
        ("RDS_TETHER_MAX_SESSIONS", "1".to_owned()),
        ("RDS_TETHER_LINGER", String::new()),
    ]);
    let proxy = Proxy::start(&mut command);
    let mut client = proxy.client();
    client.assert_served();
    proxy.assert_refuses();
}

#[test]
fn the_help_names_every_flag_with_its_default() {
    let world = World::new();
    let text = assert_exit(&mut typed(&world, "proxy --help"), 0);
    // However it is wrapped.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_says(
        &text,
        &[
            "--listen <ADDR:PORT>",
            "--endpoint <HOST:PORT>",
            "--linger <DURATION|never>",
            "[default: until the new one takes sessions, 5s at most; reader endpoints never]",
            "--drain <DURATION>",
            "--dial-timeout <DURATION>",
            "--max-sessions <NUMBER>",
            "--allow-peer <CIDR>",
            "--allow-cidr <CIDR>",
            "--accept-proxy-protocol",
            "--ip-family <ipv4|ipv6>",
            "--http <ADDR:PORT>",
            "[env: RDS_TETHER_LISTEN]",
        ],
    );
}
