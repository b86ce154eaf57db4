//! What somebody hostile, or something broken, hands to the built binary: none of it holds it up, fills it or leads it astray.

use std::time::Duration;

use testkit::dns::Behaviour;
use testkit::program::{finish_within, foreign, succeed};
use testkit::scratch::Scratch;
use testkit::settings::target_group;

use super::world::*;

/// The verbs that read a settings file, and what they exit with when they cannot.
const READERS: [&[&str]; 4] = [&["check"], &["plan"], &["run"], &["doctor", "--only", "settings"]];

#[test]
fn a_settings_file_that_is_no_file_or_without_end_is_refused_at_once() {
    let scratch = Scratch::new();
    let pipe = scratch.path("pipe");
    succeed(foreign("mkfifo").arg(&pipe));
    let group = target_group(
        "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/orders/73e2d6bc24d8a067",
        "db:5432",
    )
    .to_string();
    let full = group.clone() + &"#".repeat((1 << 20) - group.len());
    let large = scratch.write("large", &format!("{full}#"));
    let many = scratch.write("many", &group.repeat(75_000));
    let cases = [
        (pipe, "it is a pipe"),
        ("/dev/zero".into(), "it is a device"),
        (scratch.path(""), "it is a directory"),
        (large, "it has more than 1024 KiB"),
        (many, "it has more than 1024 KiB"),
    ];
    for (path, words) in &cases {
        for verb in READERS {
            let mut command = bare_command("http://127.0.0.1:9");
            let output = finish_within(Duration::from_secs(20), command.args(verb).arg("--config").arg(path));
            assert_says(&said(&output), &["cannot read the settings file", words]);
            assert!(!output.status.success(), "{verb:?}");
        }
    }
    let full = scratch.write("full", &full);
    succeed(bare_command("http://127.0.0.1:9").args(["check", "--config"]).arg(full));
}

/// Fails if each of many addresses that cannot be targets is worth a line at every look.
#[test]
fn what_names_do_does_not_fill_the_log() {
    const LOOKS: usize = 12;
    let world = World::settled();
    let answers = (0..LOOKS).map(|look| {
        let addresses: Vec<String> = (0..64).map(|n| format!("8.8.{look}.{n}")).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        Behaviour::all(&addresses, 1)
    });
    world.dns.set(WRITER, Behaviour::Sequence(answers.collect()));
    let daemon = Daemon::start(&mut world.bound("run"));
    assert!(world.dns.wait_for_queries(WRITER, LOOKS, PATIENCE));
    let (_, log) = daemon.stop();
    let lines = log.lines().filter(|line| line.contains("group=\"orders\"")).count();
    assert!((10..=61).contains(&lines), "{lines} lines\n{log}");
}

/// Fails if what has been told once is told again whenever something else is new.
#[test]
fn a_note_that_does_not_change_is_logged_once() {
    const INSTANCE: &str = "orders-1.abc123.eu-west-1.rds.amazonaws.com";
    let world = World::settled();
    world.dns.set(INSTANCE, Behaviour::a(OLD, 1));
    let mut command = world.command("run");
    bind(&mut command, &format!("{INSTANCE}:5432"), &world.arn);
    let daemon = Daemon::start(command.args(["--forget", "2s"]));
    for (new, old) in [(NEW, OLD), (OLD, NEW)] {
        world.dns.set(INSTANCE, Behaviour::a(new, 1));
        world.wait("the removal", |calls| count(calls, "Deregister", old) == 1);
    }
    // What is said at the end may repeat it.
    let log = daemon.log();
    assert_eq!(log.matches("follows one instance").count(), 1, "{log}");
}

/// Fails if a chain of aliases without end holds the process up: health is answered and the time-out of `plan` is kept.
#[test]
fn an_answer_without_end_holds_nothing_up() {
    const ALIASES: usize = 1000;
    let world = World::settled();
    let name = |n: usize| format!("alias-{n}.example.com");
    for n in 0..ALIASES {
        world.dns.set(&name(n), Behaviour::cname(&name(n + 1), 1));
    }
    world.dns.set(WRITER, Behaviour::cname(&name(0), 1).truncated());
    let output = finish_within(Duration::from_secs(10), &mut world.bound("plan"));
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert_says(
        &said(&output),
        &["too large for UDP and not to be had by TCP, by which 8192 bytes are read at most"],
    );
    let addresses: Vec<String> = (0..=64).map(|n| format!("10.0.1.{n}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    world.dns.set(WRITER, Behaviour::all(&addresses, 1));
    let output = finish_within(Duration::from_secs(10), &mut world.bound("plan"));
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert_says(
        &said(&output),
        &["65 addresses, more than the 64 that an answer may have"],
    );
    assert_eq!(world.writes(), [""; 0]);
}
