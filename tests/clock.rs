//! The built binary on a machine whose clock is set while it runs. libfaketime gives it a wall clock of its own.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use testkit::dns::Behaviour;
use testkit::http::ask;
use testkit::program::{comes_true, provided};
use testkit::scratch::Scratch;
use testkit::settings::{dns, http, target_group};
use testkit::sns;
use testkit::world::{Daemon, NEW, OLD, PATIENCE, WRITER, World, bare_command};

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:databases";
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const CLOSE: SignedDuration = SignedDuration::from_mins(5);

/// Whether two moments are the same but for what a test takes.
fn is_close(one: Timestamp, other: Timestamp) -> bool {
    one.duration_since(other).abs() < CLOSE
}

fn moment(value: &Value) -> Timestamp {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("no time: {value}"))
}

/// After each step of the clock, what is written goes by the new time, a failover is followed as fast as ever, and nothing that was
/// waited for is over at once or has to be waited for anew.
#[test]
#[ignore = "needs libfaketime"]
fn a_clock_that_is_set_moves_what_is_written_and_nothing_else() {
    let world = World::settled();
    let topic = sns::Server::start();
    let scratch = Scratch::new();
    let offset = scratch.write("offset", "+0");
    let text = target_group(&world.arn, &format!("{WRITER}:5432"))
        .set("forget", "2s")
        .and(dns(world.dns.addr()))
        .and(http("127.0.0.1:0"));
    let config = scratch.write("config.toml", &text);
    let mut command = bare_command(&world.elb.url());
    command
        .args(["run", "--config"])
        .arg(config)
        .args(["--notify-topic", TOPIC])
        .env("AWS_ENDPOINT_URL_SNS", topic.url())
        .env("LD_PRELOAD", provided("RDS_TETHER_TEST_FAKETIME"))
        .env("FAKETIME_TIMESTAMP_FILE", &offset)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DISABLE_SHM", "1");
    let daemon = Daemon::start(&mut command);
    let address = daemon.told_after("serving http://");
    let status = || -> Value { serde_json::from_str(&ask(&*address, "GET", "/status").body).unwrap() };
    let wait_for = |what: &str, is_so: &dyn Fn(&Value) -> bool| {
        assert!(
            comes_true(PATIENCE, || is_so(&status())),
            "{what}\n{:#}\n{}",
            status(),
            daemon.log()
        );
    };
    let is_settled = |status: &Value| status.pointer("/settled") == Some(&true.into());
    wait_for("settled", &is_settled);

    let steps = [
        ("-3600", -HOUR, "set back by 3600 s"),
        ("+3600", HOUR, "set forward by 7200 s"),
        ("+0", SignedDuration::ZERO, "set back by 3600 s"),
    ];
    for (round, (written, ahead, said)) in steps.into_iter().enumerate() {
        scratch.write("offset", written);
        daemon.wait_for_log(&[said]);
        wait_for("the time of now", &|status| {
            is_close(moment(&status["at"]), Timestamp::now() + ahead)
        });
        let (old, new) = if round % 2 == 0 { (OLD, NEW) } else { (NEW, OLD) };
        let published = topic.calls().len();
        world.dns.set(WRITER, Behaviour::a(new, 1));
        wait_for("the failover is followed", &|status| {
            let targets = status
                .pointer("/target_groups/0/targets")
                .and_then(Value::as_array)
                .unwrap();
            let is = |ip: &str, state: &str| {
                targets
                    .iter()
                    .any(|target| target["target"] == format!("{ip}:5432") && target["state"] == state)
            };
            is_settled(status) && is(new, "healthy") && !is(old, "healthy")
        });
        let now = Timestamp::now() + ahead;
        let status = status();
        for place in [
            "/target_groups/0/at",
            "/target_groups/0/listed",
            "/target_groups/0/in_sync_since",
            "/started",
        ] {
            let at = moment(status.pointer(place).unwrap());
            assert!(is_close(at, now), "{place} is {at} at {now}");
        }
        let change = status["changes"].as_array().unwrap().last().unwrap();
        assert!(is_close(moment(&change["at"]), now), "{change} at {now}");
        assert!(
            topic.wait_for(PATIENCE, |all| all.len() > published),
            "nothing was published"
        );
        for message in &topic.calls()[published..] {
            let message: Value = serde_json::from_str(&message.message).unwrap();
            assert!(is_close(moment(&message["at"]), now), "{message:#} at {now}");
        }
    }
    let log = daemon.log();
    assert!(!log.contains("suspended"), "{log}");
}
