//! The built binary and a simulated topic: what is told, and that nothing waits for it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::dns::Behaviour;
use testkit::settings::{table, target_group};
use testkit::sns::{self, Published};

use super::world::*;

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:database";

struct Topic {
    world: World,
    sns: sns::Server,
}

impl Topic {
    fn new() -> Self {
        Self {
            world: World::settled(),
            sns: sns::Server::start(),
        }
    }

    fn command(&self) -> Command {
        let mut command = self.world.bound("run");
        command
            .args(["--forget", "1s", "--notify-topic", TOPIC])
            .env("AWS_ENDPOINT_URL_SNS", self.sns.url());
        command
    }

    #[track_caller]
    fn wait_for(&self, what: &str, wanted: impl Fn(&[Published]) -> bool) {
        let came = self.sns.wait_for(PATIENCE, wanted);
        assert!(came, "never told: {what}\n{:?}", self.kinds());
    }

    fn kinds(&self) -> Vec<String> {
        let calls = self.sns.calls();
        calls.iter().map(|call| call.attributes["kind"].clone()).collect()
    }

    fn json(&self, index: usize) -> Value {
        serde_json::from_str(&self.sns.calls()[index].message).unwrap()
    }
}

fn is(call: &Published, kind: &str) -> bool {
    call.attributes["kind"] == kind
}

#[test]
fn a_failover_is_told() {
    let topic = Topic::new();
    let daemon = Daemon::start(&mut topic.command());
    daemon.wait_for_log(&["settled"]);
    topic.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    topic.wait_for("the convergence", |calls| {
        calls.iter().any(|call| is(call, "converged"))
    });
    assert_eq!(topic.kinds(), ["address_changed", "converged"]);
    let changed = &topic.sns.calls()[0];
    assert_eq!(changed.topic, TOPIC);
    assert_eq!(
        changed.subject,
        "rds-tether: orders moved from 10.0.1.5:5432 to 10.0.2.7:5432"
    );
    assert_eq!(changed.attributes["subject"], "orders");
    assert_eq!(changed.attributes["severity"], "info");
    let json = topic.json(0);
    assert_eq!(json["schema"], "rds-tether-notification/1");
    assert_eq!(json["target_group"], topic.world.arn.as_str());
    assert!(json["timings"]["registered_ms"].is_u64(), "{json}");
    let json = topic.json(1);
    assert!(json["timings"]["lasted_ms"].as_u64() >= Some(1000), "{json}");
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    assert_eq!(topic.sns.calls().len(), 2, "the end tells nothing");
}

/// Fails if a change waits for a topic that is slow, denied or missing: each registration and removal comes as without it.
#[test]
fn a_topic_that_does_not_take_messages_delays_no_change() {
    std::thread::scope(|scope| {
        for (behaviour, said) in [
            (sns::Behaviour::Hang, None),
            (sns::Behaviour::Slow, None),
            (sns::Behaviour::Deny, Some("AuthorizationError (403)")),
            (sns::Behaviour::Missing, Some("NotFound (404)")),
            (sns::Behaviour::Fail, None),
        ] {
            scope.spawn(move || {
                let topic = Topic::new();
                topic.sns.behave(behaviour);
                let daemon = Daemon::start(&mut topic.command());
                daemon.wait_for_log(&["settled"]);
                for (to, from) in [(NEW, OLD), (OLD, NEW), (NEW, OLD)] {
                    topic.world.dns.set(WRITER, Behaviour::a(to, 1));
                    let before = topic.world.elb.calls().len();
                    topic.world.wait("the registration and the removal", |calls| {
                        let calls = &calls[before.min(calls.len())..];
                        count(calls, "Register", to) >= 1 && count(calls, "Deregister", from) >= 1
                    });
                }
                // Three changes have two messages each. Had they waited for these, each would have been tried to its end.
                let attempts = topic.sns.calls().len();
                assert!(
                    behaviour != sns::Behaviour::Hang || attempts <= 6,
                    "{attempts} attempts"
                );
                topic.wait_for("two attempts or messages", |calls| calls.len() >= 2);
                if let Some(said) = said {
                    daemon.wait_for_log(&["cannot tell the topic", said]);
                }
                let asked = Instant::now();
                let (status, log) = daemon.stop();
                assert!(status.success(), "{log}");
                assert!(asked.elapsed() < Duration::from_secs(10), "{log}");
                if behaviour == sns::Behaviour::Hang {
                    assert_says(&log, &["notifications were not sent"]);
                }
                if behaviour == sns::Behaviour::Slow {
                    let calls = topic.sns.calls();
                    let ids: BTreeSet<&str> = calls.iter().map(|call| call.message.as_str()).collect();
                    assert_eq!(ids.len(), calls.len(), "what is slow is not sent twice: {calls:?}");
                    assert!(!log.contains("cannot tell the topic"), "{log}");
                }
            });
        }
    });
}

/// Fails if what was told last is lost because the process ends.
#[test]
fn the_end_waits_a_moment_for_what_is_to_be_sent() {
    let topic = Topic::new();
    topic.sns.behave(sns::Behaviour::Fail);
    let daemon = Daemon::start(&mut topic.command());
    daemon.wait_for_log(&["settled"]);
    topic.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    topic.wait_for("the change", |calls| !calls.is_empty());
    topic.sns.behave(sns::Behaviour::Take);
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    let taken = |call: &Published| call.behaviour == sns::Behaviour::Take;
    assert!(topic.sns.calls().iter().any(taken), "{:?}", topic.sns.calls());
}

/// The name is gone for good; the group keeps its target, and somebody is told.
#[test]
fn a_name_that_vanished_is_told_and_so_is_its_return() {
    let topic = Topic::new();
    let daemon = Daemon::start(topic.command().args(["--notify-after", "2s"]));
    daemon.wait_for_log(&["settled"]);
    topic.world.dns.set(WRITER, Behaviour::NxDomain);
    topic.wait_for("that the name is gone", |calls| {
        calls.iter().any(|call| is(call, "unresolved"))
    });
    let json = topic.json(0);
    assert_eq!(json["severity"], "warning");
    assert!(json["reasons"][0].as_str().unwrap().contains("NXDOMAIN"), "{json}");
    assert!(json["timings"]["lasted_ms"].as_u64() >= Some(2000), "{json}");
    assert_eq!(topic.world.registered(), ["10.0.1.5:5432"]);
    topic.world.dns.set(WRITER, Behaviour::a(OLD, 1));
    topic.wait_for("the recovery", |calls| calls.iter().any(|call| is(call, "recovered")));
    assert_eq!(topic.kinds(), ["unresolved", "recovered"]);
    assert_eq!(topic.world.writes(), [""; 0]);
}

#[test]
fn a_proxy_tells_of_its_address_and_its_name() {
    let topic = Topic::new();
    let mut command = topic.world.command("proxy");
    command
        .args(["--listen", "127.0.0.1:0", "--endpoint", &format!("{WRITER}:5432")])
        .args(["--notify-after", "1s"])
        .env("RDS_TETHER_NOTIFY_TOPIC", TOPIC)
        .env("AWS_ENDPOINT_URL_SNS", topic.sns.url());
    let daemon = Daemon::start(&mut command);
    daemon.wait_for_log(&["is at"]);
    topic.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    topic.wait_for("the change", |calls| {
        calls.iter().any(|call| is(call, "address_changed"))
    });
    topic.world.dns.set(WRITER, Behaviour::NxDomain);
    topic.wait_for("that the name is gone", |calls| {
        calls.iter().any(|call| is(call, "unresolved"))
    });
    topic.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    topic.wait_for("the recovery", |calls| calls.iter().any(|call| is(call, "recovered")));
    let json = topic.json(0);
    assert_eq!(
        (&json["proxy"], &json["target_group"]),
        (&"127.0.0.1:0".into(), &Value::Null)
    );
    assert_eq!(topic.kinds(), ["address_changed", "unresolved", "recovered"]);
}

/// Fails if a reload loses the topic, or goes on telling after it is gone from the settings.
#[test]
fn a_reload_takes_and_leaves_the_topic() {
    let topic = Topic::new();
    let scratch = Scratch::new();
    let group = target_group(&topic.world.arn, &format!("{WRITER}:5432")).set("forget", "1s");
    let notify = table("[notify]").set("sns_topic_arn", TOPIC);
    let path = scratch.write("config.toml", &group);
    let mut command = topic.world.command("run");
    command
        .arg("--config")
        .arg(&path)
        .env("AWS_ENDPOINT_URL_SNS", topic.sns.url());
    let daemon = Daemon::start(&mut command);
    daemon.wait_for_log(&["settled: the group"]);
    topic.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    topic
        .world
        .wait("the removal", |calls| count(calls, "Deregister", OLD) == 1);
    scratch.write("config.toml", &format!("{group}{notify}"));
    daemon.signal("HUP");
    daemon.wait_for_log(&["settings reloaded"]);
    topic.world.dns.set(WRITER, Behaviour::a(OLD, 1));
    topic.wait_for("the convergence", |calls| {
        calls.iter().any(|call| is(call, "converged"))
    });
    let told = topic.sns.calls();
    let old = |call: &&Published| call.message.contains("10.0.1.5") && is(call, "address_changed");
    assert_eq!(told.iter().filter(old).count(), 1, "{:?}", topic.kinds());
}

/// Fails if nobody could see that messages do not get through.
#[test]
fn what_becomes_of_messages_is_counted() {
    let topic = Topic::new();
    let daemon = Daemon::start(topic.command().args(["--http", "127.0.0.1:0"]));
    let line = daemon.wait_for_log(&["serving http://"]);
    let (_, address) = line.split_once("http://").unwrap();
    let address = address.split('/').next().unwrap();
    let counts = || -> Vec<String> {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let mut counts: Vec<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("rds_tether_notifications_total"))
            .map(str::to_owned)
            .collect();
        counts.sort();
        counts
    };
    let shown = |dropped, failed, sent| {
        [("dropped", dropped), ("failed", failed), ("sent", sent)]
            .map(|(outcome, count)| format!("{{outcome=\"{outcome}\"}} {count}"))
            .to_vec()
    };
    assert_eq!(counts(), shown(0, 0, 0));
    daemon.wait_for_log(&["settled"]);
    topic.sns.behave(sns::Behaviour::Deny);
    topic.world.dns.set(WRITER, Behaviour::a(NEW, 1));
    daemon.wait_for_log(&["cannot tell the topic"]);
    topic.sns.behave(sns::Behaviour::Take);
    topic.wait_for("the convergence", |calls| {
        calls.iter().any(|call| is(call, "converged"))
    });
    let end = Instant::now() + PATIENCE;
    while counts() != shown(0, 1, 1) {
        assert!(Instant::now() < end, "{:?}", counts());
        // What has been replied to is counted a moment later.
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn a_bad_topic_is_a_settings_error() {
    let world = World::settled();
    let scratch = Scratch::new();
    let group = target_group(&world.arn, &format!("{WRITER}:5432"));
    for (table, parts) in [
        (
            "sns_topic_arn = \"database\"",
            &[
                "config.toml:5: ",
                "sns_topic_arn: ",
                "six parts",
                "arn:aws:sns:eu-west-1",
            ][..],
        ),
        (
            "sns_topic_arn = \"arn:aws:sns:eu-west-1:111122223333:a.fifo\"",
            &["config.toml:5: ", "FIFO"],
        ),
        ("topic = \"database\"", &["config.toml:5: ", "unknown field `topic`"]),
        ("after = \"0s\"", &["config.toml:5: ", "after: ", "out of range"]),
    ] {
        let path = scratch.write("config.toml", &format!("{group}[notify]\n{table}\n"));
        let text = assert_exit(world.command("run").arg("--config").arg(path), 78);
        assert_says(&text, parts);
    }
    let text = assert_exit(
        world
            .bound("run")
            .env("RDS_TETHER_NOTIFY_TOPIC", "arn:aws:sns:eu-west-1:111122223333:a.fifo"),
        64,
    );
    assert_says(&text, &["FIFO", "RDS_TETHER_NOTIFY_TOPIC"]);
}
