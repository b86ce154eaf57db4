//! Texts of others that would do something on a terminal, from everywhere they can come from, in all that is said of them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use serde_json::{Value, json};
use testkit::dns::Behaviour;
use testkit::elb::{Failure, Group};
use testkit::program::assert_tame;
use testkit::sns;

use super::world::*;

/// Begins a line, clears the screen, colours what follows, turns letters round, and so on.
const HOSTILE: &str = "evil\nforged: all is well\r\u{1b}[2J\u{9b}31m\u{7}\u{7f}\u{202e}\u{2066}\u{2028}\u{200f}.end";
/// The same as it is to be shown.
const SHOWN: &str =
    "evil\\u000aforged: all is well\\u000d\\u001b[2J\\u009b31m\\u0007\\u007f\\u202e\\u2066\\u2028\\u200f.end";

/// A group of whose words AWS gives none as it does: neither of its surroundings nor of its targets.
fn world() -> World {
    let mut group = Group::named("orders")
        .subnet("10.0.1.0/24", HOSTILE)
        .zones(&[HOSTILE, "eu-west-1b"]);
    group.vpc_id = HOSTILE.to_owned();
    group.protocol = HOSTILE.to_owned();
    group = group.attribute("deregistration_delay.timeout_seconds", HOSTILE);
    let world = World::settled_with(group);
    world.elb.put_target(&world.arn, "10.0.1.77", 5432);
    for ip in [OLD, "10.0.1.77"] {
        world.elb.set_health(&world.arn, ip, 5432, HOSTILE, HOSTILE);
    }
    world
}

/// What the command says does nothing on a terminal, forges no line, has the text of others in it, and is JSON where it says so.
#[track_caller]
fn assert_shown(what: &str, command: &mut Command) -> Output {
    let output = finish(command);
    for said in [&output.stdout, &output.stderr] {
        assert_tame(said);
        let said = String::from_utf8_lossy(said);
        assert!(!said.lines().any(|line| line.starts_with("forged")), "{what}: {said}");
    }
    output
}

/// The same, in each form of its output; in both, the text is there.
#[track_caller]
fn assert_all_shown(world: &World, verb: &str, more: &[&str]) {
    let command = || {
        let mut command = world.bound(verb);
        command.args(more);
        command
    };
    let text = assert_shown(verb, &mut command());
    assert_says(&said(&text), &[SHOWN]);
    let output = assert_shown(verb, command().args(["--output", "json"]));
    let json: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    // For programs it is what it was.
    let is_there = |value: &Value| value.as_str().is_some_and(|text| text.contains(HOSTILE));
    assert!(any(&json, &is_there), "{verb}: {json:#}");
}

fn any(json: &Value, is_it: &impl Fn(&Value) -> bool) -> bool {
    match json {
        Value::Array(values) => values.iter().any(|value| any(value, is_it)),
        Value::Object(values) => values.values().any(|value| any(value, is_it)),
        value => is_it(value),
    }
}

#[test]
fn states_zones_and_surroundings_do_nothing_on_a_terminal() {
    let world = world();
    assert_all_shown(&world, "plan", &[]);
    assert_all_shown(&world, "status", &[]);
    assert_all_shown(&world, "doctor", &["--skip", "reach"]);
    assert_all_shown(&world, "sync", &["--timeout", "2s"]);
}

#[test]
fn errors_of_aws_do_nothing_on_a_terminal() {
    for action in ["DescribeTargetGroups", "DescribeTargetHealth"] {
        let world = World::settled();
        world.elb.fail(action, Failure::code(400, HOSTILE, HOSTILE), None);
        assert_all_shown(&world, "plan", &[]);
        assert_all_shown(&world, "status", &[]);
        assert_all_shown(&world, "doctor", &["--skip", "reach"]);
        assert_all_shown(&world, "sync", &["--timeout", "2s"]);
    }
    // What cannot be registered is told line by line while it goes on.
    let world = World::new();
    world
        .elb
        .fail("RegisterTargets", Failure::code(400, "ValidationError", HOSTILE), None);
    let output = assert_shown(
        "sync",
        world.bound("sync").args(["--timeout", "2s", "--output", "json"]),
    );
    let progress = String::from_utf8_lossy(&output.stderr);
    assert_says(&progress, &[SHOWN]);
    assert!(progress.lines().all(|line| line.starts_with("orders: ")), "{progress}");
}

/// An answer without its id: the writer's name is an alias of one that no host has, which has the new address.
fn alias_of_bytes() -> Vec<u8> {
    // A reply, recursion asked for and offered; one question, two answers.
    let mut answer = b"\x81\x80\0\x01\0\x02\0\0\0\0".to_vec();
    for label in WRITER.split('.') {
        answer.push(u8::try_from(label.len()).unwrap());
        answer.extend(label.as_bytes());
    }
    answer.extend(b"\0\0\x01\0\x01");
    // CNAME of the name in the question, for 1 s; a name begins where it stands in the message, whose id are two bytes more.
    answer.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x01\0\x0a");
    let alias = u16::try_from(answer.len() + 2).unwrap() | 0xc000;
    answer.extend(b"\x08e\nv\x1b[2J\x9b\0");
    answer.extend(alias.to_be_bytes());
    answer.extend(b"\0\x01\0\x01\0\0\0\x01\0\x04\x0a\0\x02\x07");
    answer
}

/// Fails if an event of the log is more than one line, or does more on a terminal than end it; `run` serves what it knows, too.
#[test]
fn a_log_and_the_pages_have_a_line_for_each_event() {
    for format in ["text", "json"] {
        let world = world();
        let sns = sns::Server::start();
        sns.behave(sns::Behaviour::Refuse(HOSTILE, HOSTILE));
        let mut command = world.bound("run");
        command
            .args(["--forget", "1s", "--http", "127.0.0.1:0", "--log-format", format, "-vv"])
            .args(["--notify-topic", "arn:aws:sns:eu-west-1:111122223333:database"])
            .env("AWS_ENDPOINT_URL_SNS", sns.url());
        let daemon = Daemon::spawn(&mut command);
        daemon.wait_for_log(&["serving http://"]);
        world
            .elb
            .fail("DeregisterTargets", Failure::code(400, HOSTILE, HOSTILE), Some(1));
        world.dns.set(WRITER, Behaviour::Raw(alias_of_bytes()));
        daemon.wait_for_log(&["cannot tell the topic", "end"]);
        daemon.wait_for_log(&["DeregisterTargets failed"]);
        let address = daemon.told_after("serving http://");
        let hostile_path = testkit::http::ask(&address, "GET", "/readyz/\u{1b}[2J");
        assert_eq!(hostile_path.status, 400);
        for path in ["/", "/status", "/metrics", "/readyz"] {
            assert_tame(testkit::http::ask(&address, "GET", path).body.as_bytes());
        }
        assert_shown("status", command_of(&address).args(["--output", "json"]));
        assert_says(&said(&assert_shown("status", &mut command_of(&address))), &[SHOWN]);
        let (_, log) = daemon.stop();
        assert_tame(log.as_bytes());
        for line in log.lines() {
            match format {
                "json" => assert!(
                    serde_json::from_str::<Value>(line).is_ok_and(|event| event.is_object()),
                    "{line}"
                ),
                // Each begins with the time.
                _ => assert!(line.starts_with("20") && line.contains('T'), "{line}"),
            }
        }
        if format == "text" {
            assert_says(&log, &[SHOWN]);
        }
        for call in sns.calls() {
            assert_tame(call.subject.as_bytes());
            let message: Value = serde_json::from_str(&call.message).unwrap();
            assert_tame(message["text"].as_str().unwrap_or_default().as_bytes());
            for reason in message["reasons"].as_array().unwrap() {
                assert_tame(reason.as_str().unwrap_or_default().as_bytes());
            }
        }
    }
}

fn command_of(address: &str) -> Command {
    let mut command = bare_command("");
    command.args(["status", "--http", address]);
    command
}

/// Answers one connection with JSON.
fn serve(json: &Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let body = json.to_string();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 4096]);
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    address
}

#[test]
fn a_process_that_is_none_of_ours_does_nothing_on_a_terminal() {
    let document = json!({
        "schema": "rds-tether/1", "version": HOSTILE,
        "target_groups": [{
            "arn": HOSTILE, "name": HOSTILE, "verdict": HOSTILE, "role": HOSTILE,
            "endpoints": [{"endpoint": HOSTILE, "blind": HOSTILE}],
            "targets": [{"target": HOSTILE, "zone": HOSTILE, "state": HOSTILE, "reason": HOSTILE, "dns": HOSTILE}],
            "holds": [{"what": HOSTILE, "text": HOSTILE}],
            "notes": [HOSTILE], "errors": [{"text": HOSTILE}],
            "nothing_serves": {"text": HOSTILE}, "removed_by_others": {"targets": [HOSTILE]},
        }],
        "proxies": [{"listen": HOSTILE, "endpoint": HOSTILE, "addresses": [HOSTILE], "why": HOSTILE}],
        "not_looked_at_yet": [HOSTILE],
    });
    let address = serve(&document);
    let output = assert_shown("status", &mut command_of(&address));
    assert_says(
        &said(&output),
        &[SHOWN, "version", "TARGET"].map(|part| if part == "version" { "rds-tether evil" } else { part }),
    );
    let output = assert_shown("status", command_of(&address).args(["--output", "json"]));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["target_groups"][0]["verdict"], HOSTILE);
}

#[test]
fn what_gives_credentials_does_nothing_on_a_terminal() {
    let world = World::settled();
    let url = format!("http://{}/role", serve(&json!({"Code": HOSTILE, "Message": HOSTILE})));
    for verb in ["plan", "doctor", "sync"] {
        let mut command = world.bound(verb);
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY");
        command
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)
            .args(["--timeout", "8s"]);
        // Lines of a failure are joined.
        let joined = SHOWN.replace("\\u000a", "; ");
        assert_says(&said(&assert_shown(verb, &mut command)), &[&joined]);
    }
}

/// Keys and values of the file, of flags and of variables.
#[test]
fn settings_do_nothing_on_a_terminal() {
    let scratch = Scratch::new();
    let quoted = json!(HOSTILE).to_string().replace('\u{7f}', "\\u007f");
    let file = scratch.write(
        "config.toml",
        &format!("{quoted} = 1\n[[target_group]]\narn = {quoted}\nendpoints = [{quoted}]\n{quoted} = 2\n"),
    );
    for verb in ["plan", "sync", "run", "status", "doctor", "check", "iam"] {
        let mut command = bare_command("");
        assert_shown(verb, command.args([verb, "--config"]).arg(&file));
        let mut command = bare_command("");
        let output = assert_shown(verb, command.args([verb, "--config"]).arg(scratch.path(HOSTILE)));
        assert_says(&said(&output), &["evil\\u000aforged"]);
        let mut command = bare_command("");
        command
            .arg(verb)
            .env("RDS_TETHER_CONFIG", &file)
            .env("RDS_TETHER_FORGET", HOSTILE);
        assert_shown(verb, &mut command);
        let mut command = bare_command("");
        assert_shown(
            verb,
            command.args([verb, HOSTILE, "--endpoint", HOSTILE, "--target-group", HOSTILE]),
        );
    }
    let mut command = bare_command("");
    assert_says(&said(&assert_shown("", command.arg(HOSTILE))), &["evil"]);
    // A daemon that reads them anew.
    let world = World::settled();
    let good = format!(
        "[[target_group]]\narn = \"{}\"\nendpoints = [\"{WRITER}:5432\"]\n",
        world.arn
    );
    let config = scratch.write("reloaded.toml", &good);
    let mut command = world.command("run");
    let daemon = Daemon::start(command.arg("--config").arg(&config));
    daemon.wait_for_log(&["started"]);
    scratch.write("reloaded.toml", &format!("{good}{quoted} = 1\n"));
    daemon.signal("HUP");
    daemon.wait_for_log(&["the new settings are not taken"]);
    let (_, log) = daemon.stop();
    assert_tame(log.as_bytes());
    assert!(!log.lines().any(|line| line.starts_with("forged")), "{log}");
}
